/// A bound over the skeletons of plans: how many pipelines there are and where each is cut, whoever the peers are.
///
/// For a time T, all skeletons are looked at by depth-first search from the first layer to the last: the next cut is at
/// some layer in one of the R pipelines. Every peer is taken for the fastest with the largest memory, every hop for the
/// best. A branch ends as soon as the pipelines cannot do all micro-batches in T, because of
///
/// - **stages**: what a closed stage allows (`SetCapacity` has the same three limits), its exchange included;
/// - **what is left**: the layers that are left need so many whole peers of those that are left (a knapsack over pipelines);
/// - **bytes**: R holders of some layers send 2 (R − 1) times their gradients in total. Over the layers from one
///   cut to another, however they stand, the holders' links to each other must carry that between their last passes and T. The
///   links are known, as the cuts are: where all pipelines are cut alike a peer has R − 1 partners, and each cut
///   that another lacks gives both sides one more, but makes stages unequal. With m_k micro-batches in pipeline k, a
///   stage of n layers of w seconds has T − a − m_k n w for them, times the rates of its d links, at best those of the
///   peer with the best d. The least of the sum over stages, for any m with Σ m = M, must not be above that.
///
/// If no skeleton is left, T is a bound.
///
/// Where others than holders may add up gradients (`CostTables.spreadsExchange`) these go over other links too, while those
/// peers still compute; then nothing is said that `PartitionBound` does not say with the links that there are.
struct SkeletonBound {
    private struct Stage {
        var pipeline: Int
        var start: Int
        /// When its first micro-batch can be there, and with the way back to the first stage.
        var arrival: Double
        var loop: Double
        /// Seconds of a micro-batch's passes, once closed.
        var seconds = 0.0
    }

    private struct Segment {
        var layers: Range<Int>
        /// The stages that hold it, a bit for each.
        var holders: UInt64
    }

    private let tables: CostTables
    private let replicas: Int
    private let stagesWanted: Int?
    private let figures: BestPeers
    private var time = 0.0
    private var nodes: Int

    private var stages: [Stage] = []
    private var segments: [Segment] = []
    /// By pipeline: its stages, the last one open; what the closed ones allow.
    private var rows: [[Int]]
    private var closed: [Int]
    /// Peers not used yet.
    private var free: Int
    /// By peers left, then by layers: what a stage that is still to come allows.
    private var later: [[Int]] = []

    init(_ problem: PlanningProblem, tables: CostTables, replicas: Int, nodes: Int) {
        self.tables = tables
        self.replicas = replicas
        self.nodes = nodes
        stagesWanted = problem.shape.stages
        figures = BestPeers(problem, tables: tables)
        rows = (0..<replicas).map { [$0] }
        closed = Array(repeating: tables.microBatches, count: replicas)
        free = tables.peers - replicas
        for replica in 0..<replicas { stages.append(Stage(pipeline: replica, start: 0, arrival: 0, loop: 0)) }
    }

    /// Whether some skeleton could do all micro-batches in the time, or too many had to be looked at: half of those left, so
    /// that easier times can still be tried after a hard one.
    mutating func suffices(_ time: Double) -> Bool {
        guard !tables.spreadsExchange else { return true }
        self.time = time
        later = (0...free).map { free in
            (0...tables.layers).map { $0 == 0 ? 0 : figures.most(layers: $0, links: links($0, free), time: time) }
        }
        let kept = nodes / 2
        nodes -= kept
        defer { nodes = max(0, nodes) + kept }
        return sweep(from: 0, after: replicas)
    }

    /// The most partners of a stage of so many layers while so many cuts are still to come.
    private func links(_ layers: Int, _ free: Int) -> Int {
        min(tables.peers - 1, min(layers * (replicas - 1), replicas - 1 + free))
    }

    private mutating func sweep(from position: Int, after last: Int) -> Bool {
        nodes -= 1
        guard nodes > 0 else { return true }
        let layers = tables.layers
        let before = closed
        var caps = before
        for end in position...layers {
            if end == position, last + 1 >= replicas { continue }
            if end > position {
                segments.append(
                    Segment(layers: position..<end, holders: rows.reduce(0) { $0 | 1 << UInt64($1[$1.count - 1]) }))
            }
            defer { if end > position { segments.removeLast() } }
            for pipeline in 0..<replicas {
                let index = rows[pipeline][rows[pipeline].count - 1]
                guard stages[index].start < end else { continue }
                stages[index].seconds = figures.seconds(stages[index].start..<end)
                caps[pipeline] = min(
                    before[pipeline],
                    figures.most(
                        stages[index].start..<end, arrival: stages[index].arrival, loop: stages[index].loop,
                        exchange: replicas > 1 ? figures.exchange(bytes: 0, links: 1) : 0, time: time))
            }
            guard caps.reduce(0, +) >= tables.microBatches else { continue }
            guard end == position || carriesBytes(caps) else { continue }
            if end == layers {
                for pipeline in 0..<replicas { caps[pipeline] = min(caps[pipeline], closing(pipeline, at: end)) }
                return rows.allSatisfy { $0.count == stagesWanted ?? $0.count }
                    && caps.reduce(0, +) >= tables.microBatches && carriesBytes(caps)
            }
            guard free > 0, canGoOn(caps, end: end) else { continue }
            if cut(at: end, after: end == position ? last : -1, caps) { return true }
        }
        return false
    }

    /// What the open stage of a pipeline allows if it ends here.
    private func closing(_ pipeline: Int, at end: Int) -> Int {
        let index = rows[pipeline][rows[pipeline].count - 1]
        let stage = stages[index]
        let range = stage.start..<end
        let seconds =
            replicas > 1
            ? figures.exchange(bytes: figures.gradientBytes(range), links: partners(of: index)) : 0
        return figures.most(range, arrival: stage.arrival, loop: stage.loop, exchange: seconds, time: time)
    }

    private func partners(of stage: Int) -> Int {
        var holders: UInt64 = 0
        for segment in segments where segment.holders & (1 << UInt64(stage)) != 0 { holders |= segment.holders }
        return holders.nonzeroBitCount - 1
    }

    /// Cuts one of the pipelines at a layer, in their order where several are cut there; of those that are alike so far only the
    /// first.
    private mutating func cut(at end: Int, after last: Int, _ caps: [Int]) -> Bool {
        for pipeline in (last + 1)..<replicas {
            let index = rows[pipeline][rows[pipeline].count - 1]
            let stage = stages[index]
            guard stage.start < end, rows[pipeline].count < stagesWanted ?? .max,
                !(0..<pipeline).contains(where: { areAlike($0, pipeline) })
            else { continue }
            let kept = closed[pipeline]
            let range = stage.start..<end
            closed[pipeline] = min(caps[pipeline], closing(pipeline, at: end))
            let arrival = stage.arrival + figures.forward(range) + figures.forwardHop[end]
            let loop =
                stage.loop + figures.forward(range) + figures.forwardHop[end] + figures.backward(range)
                + figures.backwardHop[end]
            closed[pipeline] = min(closed[pipeline], figures.mostOverLink(at: end, loop: loop, time: time))
            var isFound = false
            if caps.reduce(0, +) - caps[pipeline] + closed[pipeline] >= tables.microBatches {
                rows[pipeline].append(stages.count)
                stages.append(Stage(pipeline: pipeline, start: end, arrival: arrival, loop: loop))
                free -= 1
                isFound = sweep(from: end, after: pipeline)
                free += 1
                stages.removeLast()
                rows[pipeline].removeLast()
            }
            closed[pipeline] = kept
            stages[index] = stage
            if isFound { return true }
        }
        return false
    }

    private func areAlike(_ left: Int, _ right: Int) -> Bool {
        rows[left].count == rows[right].count
            && zip(rows[left], rows[right]).allSatisfy { stages[$0].start == stages[$1].start }
    }

    /// Whether links can carry the gradients of the layers from any cut to here.
    private func carriesBytes(_ caps: [Int]) -> Bool {
        guard replicas > 1 else { return true }
        var partners = Array(repeating: UInt64(0), count: stages.count)
        var bytes = 0.0
        for segment in segments.reversed() {
            bytes += figures.gradientBytes(segment.layers) * 2 * Double(replicas - 1)
            var costs = Array(repeating: 0.0, count: replicas)
            var room = -bytes
            for index in stages.indices {
                if segment.holders & (1 << UInt64(index)) != 0 { partners[index] |= segment.holders }
                guard partners[index] != 0 else { continue }
                let rate = figures.rates[partners[index].nonzeroBitCount - 1]
                let stage = stages[index]
                room += rate * (figures.steps * (time - stage.arrival - figures.optimizer) - figures.latency)
                costs[stage.pipeline] += rate * figures.steps * stage.seconds
            }
            var left = tables.microBatches
            for pipeline in costs.indices.sorted(by: { (costs[$0], $0) < (costs[$1], $1) }) {
                let count = min(left, caps[pipeline])
                room -= Double(count) * costs[pipeline]
                left -= count
            }
            guard room >= -1e-9 * bytes else { return false }
        }
        return true
    }

    /// Whether the peers that are left could do the layers that are left.
    private func canGoOn(_ caps: [Int], end: Int) -> Bool {
        let sum = caps.reduce(0, +)
        let rest = tables.layers - end
        var best = Array(repeating: -1, count: free + 1)
        best[0] = 0
        var most = Array(repeating: 0, count: free + 1)
        for pipeline in 0..<replicas {
            let least = max(1, tables.microBatches - (sum - caps[pipeline]))
            for count in most.indices { most[count] = 0 }
            let stage = stages[rows[pipeline][rows[pipeline].count - 1]]
            for more in (stage.start == end ? 1 : 0)...rest {
                var can = caps[pipeline]
                if more > 0 {
                    can = min(
                        can,
                        figures.most(
                            stage.start..<(end + more), arrival: stage.arrival, loop: stage.loop,
                            exchange: replicas > 1 ? figures.exchange(bytes: 0, links: 1) : 0, time: time))
                }
                guard can >= least else { continue }
                let left = rest - more
                guard left > 0 else {
                    most[0] = can
                    break
                }
                for count in 1...min(left, free) {
                    most[count] = max(most[count], min(can, later[free][(left + count - 1) / count]))
                }
            }
            if let stagesWanted {
                for count in most.indices where rows[pipeline].count + count != stagesWanted { most[count] = 0 }
            }
            var next = Array(repeating: -1, count: free + 1)
            for used in best.indices where best[used] >= 0 {
                for count in 0...(free - used) where most[count] > 0 {
                    next[used + count] = max(next[used + count], best[used] + most[count])
                }
            }
            best = next
        }
        return (best.max() ?? 0) >= tables.microBatches
    }
}
