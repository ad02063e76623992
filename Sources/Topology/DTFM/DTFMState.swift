/// A balanced partition of peers over stages under DT-FM's objective, with everything that one swap changes kept ready.
///
/// `members` holds the peers stage by stage; what follows the last stage are spares.
struct DTFMState {
    private(set) var members: [Int]
    private(set) var exchanges: [Double]
    private(set) var edges: [Double]
    private(set) var path: Double
    /// By stage: the sum of its peers' signatures.
    private var sums: [UInt64]

    /// Keeps what a tried swap would change, to take it back.
    private var savedEdges: [Double]
    private var saved = (first: 0, second: 0, exchangeFirst: 0.0, exchangeSecond: 0.0, path: 0.0)

    init(members: [Int], evaluator: DTFMEvaluator) {
        self.members = members
        exchanges = Array(repeating: 0, count: evaluator.stages)
        edges = Array(repeating: 0, count: evaluator.stages * evaluator.stages)
        savedEdges = edges
        path = 0
        sums = (0..<evaluator.stages).map { stage in
            members[(stage * evaluator.replicas)..<((stage + 1) * evaluator.replicas)]
                .reduce(0) { $0 &+ evaluator.signature[$1] }
        }
        for stage in 0..<evaluator.stages {
            refreshExchange(stage, evaluator)
            for other in 0..<stage { setEdge(stage, other, rank: bottleneck(stage, other, evaluator), evaluator) }
        }
        path = edges.withUnsafeBufferPointer { $0.baseAddress.map { evaluator.shortestPath($0) } ?? 0 }
    }

    /// DP.
    var exchange: Double { exchanges.reduce(0, max) }

    /// DP + 2 PP.
    var seconds: Double { exchange + 2 * path }

    /// The mean of the stages' DP, by which the search tells two plans on the same plateau apart.
    var meanExchange: Double { exchanges.reduce(0, +) / Double(exchanges.count) }

    /// Swaps the peers at two positions of different stages if the guided objective (DP + 2 PP + `guide` × mean DP) is
    /// then at most `limit`; otherwise changes nothing.
    mutating func trySwap(
        _ first: Int, _ second: Int, limit: Double, guide: Double, evaluator: DTFMEvaluator
    ) -> Bool {
        let stageFirst = first / evaluator.replicas
        let stageSecond = second / evaluator.replicas
        guard stageFirst != stageSecond else { return false }
        savedEdges.withUnsafeMutableBufferPointer { target in
            edges.withUnsafeBufferPointer { source in
                for index in 0..<source.count { target[index] = source[index] }
            }
        }
        let touched = [stageFirst, stageSecond].filter { $0 < evaluator.stages }
        saved = (
            first, second, stageFirst < evaluator.stages ? exchanges[stageFirst] : 0,
            stageSecond < evaluator.stages ? exchanges[stageSecond] : 0, path
        )
        swapMembers(first, second, evaluator)
        for stage in touched { refreshExchange(stage, evaluator) }
        var base = exchange
        if guide > 0 { base += guide * meanExchange }
        // Edges only get dearer down to zero: refuse early if DP alone is over the limit.
        guard base <= limit else {
            undo(evaluator)
            return false
        }
        for stage in touched {
            for other in 0..<evaluator.stages where other != stage {
                if other == stageFirst, stage == stageSecond { continue }
                let pair = DTFMEdgeMemo.key(ofSum: sums[stage]) &+ DTFMEdgeMemo.key(ofSum: sums[other])
                let rank = evaluator.edges.rank(pair) { bottleneck(stage, other, evaluator) }
                setEdge(stage, other, rank: rank, evaluator)
            }
        }
        let accepted = edges.withUnsafeBufferPointer { edges -> Double? in
            guard let edges = edges.baseAddress else { return 0 }
            guard base + 2 * evaluator.spanningTree(edges) <= limit else { return nil }
            let path = evaluator.shortestPath(edges)
            return base + 2 * path <= limit ? path : nil
        }
        guard let accepted else {
            undo(evaluator)
            return false
        }
        path = accepted
        return true
    }

    private mutating func swapMembers(_ first: Int, _ second: Int, _ evaluator: DTFMEvaluator) {
        let change = evaluator.signature[members[second]] &- evaluator.signature[members[first]]
        let stageFirst = first / evaluator.replicas
        let stageSecond = second / evaluator.replicas
        if stageFirst < evaluator.stages { sums[stageFirst] &+= change }
        if stageSecond < evaluator.stages { sums[stageSecond] &-= change }
        members.swapAt(first, second)
    }

    private mutating func undo(_ evaluator: DTFMEvaluator) {
        swapMembers(saved.first, saved.second, evaluator)
        let stageFirst = saved.first / evaluator.replicas
        let stageSecond = saved.second / evaluator.replicas
        if stageFirst < evaluator.stages { exchanges[stageFirst] = saved.exchangeFirst }
        if stageSecond < evaluator.stages { exchanges[stageSecond] = saved.exchangeSecond }
        swap(&edges, &savedEdges)
        path = saved.path
    }

    private mutating func refreshExchange(_ stage: Int, _ evaluator: DTFMEvaluator) {
        exchanges[stage] = members.withUnsafeBufferPointer { members in
            members.baseAddress.map { evaluator.exchange($0 + stage * evaluator.replicas) } ?? 0
        }
    }

    private func bottleneck(_ left: Int, _ right: Int, _ evaluator: DTFMEvaluator) -> Int32 {
        members.withUnsafeBufferPointer { members in
            members.baseAddress.map {
                evaluator.bottleneckRank($0 + left * evaluator.replicas, $0 + right * evaluator.replicas)
            } ?? 0
        }
    }

    private mutating func setEdge(_ left: Int, _ right: Int, rank: Int32, _ evaluator: DTFMEvaluator) {
        let seconds = evaluator.transferSeconds[Int(rank)]
        edges[left * evaluator.stages + right] = seconds
        edges[right * evaluator.stages + left] = seconds
    }
}
