/// The end of a pipeline's iteration where access links are shared: gradients of activations that are still under way when
/// their sender has ended its last pass and begins to exchange gradients of weights over the same access link.
struct PipelineTail {
    private let pipeline: [Layout.Stage]
    private let microBatches: Int
    private let rank: Int
    private let tables: CostTables

    init(_ layout: Layout, rank: Int, tables: CostTables) {
        pipeline = layout.pipelines[rank]
        microBatches = layout.microBatches[rank]
        self.rank = rank
        self.tables = tables
    }

    /// Bytes that each stage has not sent to the stage before when it ends its last pass: what its link carries, alone,
    /// until the last of them must have arrived so that the stage before ends when it does; none where that one ends
    /// without waiting.
    func backlogs(finishes: [Double]) -> [Double] {
        pipeline.indices.map { position in
            guard position > 0 else { return 0 }
            let seconds = arrival(position, finishes) - finishes[position]
            let cost = secondsPerByte(position)
            guard seconds > 0, cost > 0 else { return 0 }
            let link = link(position)
            let all = tables.backwardBytes(pipeline[position].layers.lowerBound, link: link) * Double(microBatches)
            return min(seconds / cost, all)
        }
    }

    /// What is left of a stage's backlog if it ends so much later than it would alone: its link has been sending meanwhile, but
    /// the last gradient is only ready at the end.
    func rest(of backlog: Double, at position: Int, late: Double) -> Double {
        guard backlog > 0, late > 0 else { return backlog }
        let one = tables.backwardBytes(pipeline[position].layers.lowerBound, link: link(position))
        return max(min(backlog, one), backlog - late / secondsPerByte(position))
    }

    /// When the stages end if the backlog of each shares its uplink fairly with the exchange that begins at the same time:
    /// beside flows of x bytes each, b bytes are out after b + Σ min(x, b).
    func delayed(finishes: [Double], by exchange: GradientExchange) -> [Double] {
        let backlogs = backlogs(finishes: finishes)
        var ends = finishes
        for position in pipeline.indices.reversed() where position > 0 && backlogs[position] > 0 {
            let stage = pipeline[position]
            let backlog = rest(of: backlogs[position], at: position, late: ends[position] - finishes[position])
            var flows: [Int: Double] = [:]
            for segment in exchange.segments where segment.stages[rank] == position {
                let slices = exchange.slices(of: segment)
                for other in segment.stages.indices where other != rank {
                    let target = exchange.holder(of: segment, rank: other)
                    let factor = tables.exchangeFactor(link: stage.peer * tables.peers + target)
                    flows[target, default: 0] += segment.bytes * slices[other] * exchange.partials[rank] * factor
                }
            }
            // Sums of minima do not depend on the order of the flows beyond rounding; they are added in order all the same.
            let shared = flows.sorted { $0.key < $1.key }.reduce(backlog) { $0 + min($1.value, backlog) }
            let seconds = max(
                backlog * secondsPerByte(position), shared * tables.uplinkSecondsPerByte[stage.peer])
            let before = pipeline[position - 1]
            let arrived = ends[position] + seconds + tables.latency[link(position)]
            ends[position - 1] = max(
                ends[position - 1], arrived + tables.backwardSeconds(before.layers, on: before.peer))
        }
        return ends
    }

    private func link(_ position: Int) -> Int {
        pipeline[position].peer * tables.peers + pipeline[position - 1].peer
    }

    /// When the last gradient must have left so that the stage before ends when it does.
    private func arrival(_ position: Int, _ finishes: [Double]) -> Double {
        let before = pipeline[position - 1]
        return finishes[position - 1] - tables.backwardSeconds(before.layers, on: before.peer)
            - tables.latency[link(position)]
    }

    /// The link alone on its access links.
    private func secondsPerByte(_ position: Int) -> Double {
        max(
            tables.secondsPerByte[link(position)],
            max(
                tables.uplinkSecondsPerByte[pipeline[position].peer],
                tables.downlinkSecondsPerByte[pipeline[position - 1].peer]))
    }
}
