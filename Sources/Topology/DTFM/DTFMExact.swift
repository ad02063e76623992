/// The proven optimum of DT-FM's objective by enumerating partitions, cut off where DP alone is no better than the best.
struct DTFMExact {
    private let evaluator: DTFMEvaluator
    private var groups: [[Int]]
    private var sums: [[Double]]
    private(set) var best: DTFMState

    /// How many balanced partitions there are, saturated at `limit`.
    static func partitions(peers: Int, stages: Int, replicas: Int, limit: Int) -> Int {
        guard stages * replicas == peers else { return limit }
        var count = 1.0
        var rest = peers
        // The first free peer chooses its mates among the rest, group by group.
        while rest > 0 {
            for mate in 1..<max(1, replicas) { count = count * Double(rest - mate) / Double(mate) }
            rest -= replicas
            if count > Double(limit) { return limit }
        }
        return Int(count.rounded())
    }

    /// Searches from a start that is already good: the better it is, the more is cut off.
    init(evaluator: DTFMEvaluator, start: DTFMState) {
        self.evaluator = evaluator
        best = start
        groups = Array(repeating: [], count: evaluator.stages)
        sums = groups.map { _ in [] }
    }

    /// Runs to the end.
    mutating func run() { place(0) }

    private mutating func place(_ peer: Int) {
        guard peer < evaluator.peers else {
            let candidate = DTFMState(members: groups.flatMap(\.self), evaluator: evaluator)
            if candidate.seconds < best.seconds - 1e-12 { best = candidate }
            return
        }
        for stage in 0..<evaluator.stages {
            let isNew = groups[stage].isEmpty
            if groups[stage].count < evaluator.replicas {
                let before = sums[stage]
                var own = 0.0
                var worst = 0.0
                for (index, mate) in groups[stage].enumerated() {
                    let seconds = evaluator.exchangeSeconds[peer * evaluator.peers + mate]
                    own += seconds
                    sums[stage][index] += seconds
                    worst = max(worst, sums[stage][index])
                }
                if max(own, worst) < best.seconds {
                    groups[stage].append(peer)
                    sums[stage].append(own)
                    place(peer + 1)
                    groups[stage].removeLast()
                }
                sums[stage] = before
            }
            // Empty stages are all alike.
            if isNew { break }
        }
    }
}
