/// The fast cost model: the time of one iteration from a handful of sums and maxima, for the search. The simulator
/// (`IterationSimulator`) is the judge; tests hold the two together.
package struct ClosedForm: Sendable {
    package let tables: CostTables

    package init(tables: CostTables) { self.tables = tables }

    /// What a pipeline costs apart from how many micro-batches it gets.
    struct PipelineCost {
        /// Seconds from the first forward to the last backward of a single micro-batch.
        var fill: Double
        /// Seconds between micro-batches that no schedule can beat: the busiest stage or link.
        var cycle: Double
        /// The same for the forward and the backward phase by themselves (GPipe).
        var forwardCycle: Double
        var backwardCycle: Double
    }

    /// Seconds of one iteration; infinite if a stage does not fit its peer's memory.
    package func seconds(_ layout: Layout) -> Double {
        var finishes: [[Double]] = []
        finishes.reserveCapacity(layout.pipelines.count)
        for (rank, pipeline) in layout.pipelines.enumerated() {
            let microBatches = layout.microBatches[rank]
            for stage in pipeline
            where tables.stageBytes(stage.layers, depth: min(stage.depth, microBatches))
                > tables.memoryBytes[stage.peer]
            {
                return .infinity
            }
            finishes.append(stageFinishes(pipeline, microBatches: microBatches, schedule: layout.schedule))
        }
        return exchangeFinish(layout, finishes: finishes)
    }

    func cost(of pipeline: [Layout.Stage]) -> PipelineCost {
        var cost = PipelineCost(fill: 0, cycle: 0, forwardCycle: 0, backwardCycle: 0)
        for (index, stage) in pipeline.enumerated() {
            let forward = tables.forwardSeconds(stage.layers, on: stage.peer)
            let backward = tables.backwardSeconds(stage.layers, on: stage.peer)
            cost.fill += forward + backward
            cost.forwardCycle = max(cost.forwardCycle, forward)
            cost.backwardCycle = max(cost.backwardCycle, backward)
            cost.cycle = max(cost.cycle, forward + backward)
            guard index + 1 < pipeline.count else { continue }
            let hop = hop(from: stage, to: pipeline[index + 1])
            cost.fill += hop.forward + hop.backward
            cost.forwardCycle = max(cost.forwardCycle, hop.forwardTransfer)
            cost.backwardCycle = max(cost.backwardCycle, hop.backwardTransfer)
            cost.cycle = max(cost.cycle, max(hop.forwardTransfer, hop.backwardTransfer))
        }
        if tables.sharesAccess { cost.cycle = max(cost.cycle, accessCycle(of: pipeline)) }
        return cost
    }

    /// Seconds between micro-batches that the shared access links allow: a middle stage sends an activation one way and
    /// a gradient the other for every micro-batch, and receives as much.
    private func accessCycle(of pipeline: [Layout.Stage]) -> Double {
        var longest = 0.0
        for (index, stage) in pipeline.enumerated() {
            var sent = 0.0
            var received = 0.0
            if index + 1 < pipeline.count {
                sent += tables.forwardBytes[stage.layers.upperBound]
                received += tables.backwardBytes[stage.layers.upperBound]
            }
            if index > 0 {
                sent += tables.backwardBytes[stage.layers.lowerBound]
                received += tables.forwardBytes[stage.layers.lowerBound]
            }
            longest = max(
                longest,
                max(
                    sent * tables.uplinkSecondsPerByte[stage.peer], received * tables.downlinkSecondsPerByte[stage.peer]
                ))
        }
        return longest
    }

    struct Hop {
        var forward: Double
        var backward: Double
        var forwardTransfer: Double
        var backwardTransfer: Double
    }

    func hop(from stage: Layout.Stage, to next: Layout.Stage) -> Hop {
        let there = stage.peer * tables.peers + next.peer
        let back = next.peer * tables.peers + stage.peer
        let boundary = stage.layers.upperBound
        let forward = tables.forwardBytes[boundary] * secondsPerByte(from: stage.peer, to: next.peer)
        let backward = tables.backwardBytes[boundary] * secondsPerByte(from: next.peer, to: stage.peer)
        return Hop(
            forward: forward + tables.latency[there], backward: backward + tables.latency[back],
            forwardTransfer: forward, backwardTransfer: backward)
    }

    /// A link alone on its access links.
    private func secondsPerByte(from source: Int, to target: Int) -> Double {
        max(
            tables.secondsPerByte[source * tables.peers + target],
            max(tables.uplinkSecondsPerByte[source], tables.downlinkSecondsPerByte[target]))
    }

    /// When each stage ends its last backward pass.
    func stageFinishes(_ pipeline: [Layout.Stage], microBatches: Int, schedule: PlanSchedule) -> [Double] {
        let cost = cost(of: pipeline)
        var total: Double
        if schedule == .gpipe {
            total = cost.fill + Double(microBatches - 1) * (cost.forwardCycle + cost.backwardCycle)
        } else {
            total = windowedSeconds(pipeline, cost: cost, microBatches: microBatches)
        }
        var finishes: [Double] = []
        finishes.reserveCapacity(pipeline.count)
        for (index, stage) in pipeline.enumerated() {
            finishes.append(total)
            guard index + 1 < pipeline.count else { break }
            // The next stage's last gradient left one hop and one backward pass earlier.
            total -= tables.backwardSeconds(stage.layers, on: stage.peer)
            total -= hop(from: stage, to: pipeline[index + 1]).backward
        }
        return finishes
    }

    /// 1F1B: a stage that may hold w micro-batches cannot start micro-batch m before m − w is back, so its round trip
    /// to the end of the pipeline and back limits the rate when the depth does not cover it.
    private func windowedSeconds(_ pipeline: [Layout.Stage], cost: PipelineCost, microBatches: Int) -> Double {
        var loop = cost.fill
        var upstream = 0.0
        var worst = cost.fill + Double(microBatches - 1) * cost.cycle
        for (index, stage) in pipeline.enumerated() {
            let depth = max(1, min(stage.depth, microBatches))
            let rounds = (microBatches + depth - 1) / depth
            let rest = (microBatches - 1) % depth
            worst = max(worst, upstream + Double(rounds) * loop + Double(rest) * cost.cycle)
            guard index + 1 < pipeline.count else { break }
            let hop = hop(from: stage, to: pipeline[index + 1])
            let step =
                tables.forwardSeconds(stage.layers, on: stage.peer)
                + tables.backwardSeconds(stage.layers, on: stage.peer) + hop.forward + hop.backward
            loop -= step
            upstream += step
        }
        return worst
    }

    /// When the last peer has exchanged gradients and stepped.
    private func exchangeFinish(_ layout: Layout, finishes: [[Double]]) -> Double {
        let exchange = GradientExchange(layout: layout, tables: tables)
        var last = 0.0
        var ends = finishes
        for segment in exchange.segments {
            var start = 0.0
            for (rank, stage) in segment.stages.enumerated() { start = max(start, finishes[rank][stage]) }
            let end = start + exchange.seconds(of: segment)
            for (rank, stage) in segment.stages.enumerated() { ends[rank][stage] = max(ends[rank][stage], end) }
        }
        for (rank, pipeline) in layout.pipelines.enumerated() {
            if tables.tiedParameters > 0, pipeline.count > 1 {
                let first = pipeline[0].peer
                let end = pipeline[pipeline.count - 1].peer
                let start = max(ends[rank][0], ends[rank][pipeline.count - 1])
                let bytes = tables.tiedBytes(replicas: layout.pipelines.count)
                let there = bytes * secondsPerByte(from: first, to: end) + tables.latency[first * tables.peers + end]
                let back = bytes * secondsPerByte(from: end, to: first) + tables.latency[end * tables.peers + first]
                ends[rank][0] = start + max(there, back)
                ends[rank][pipeline.count - 1] = ends[rank][0]
            }
            for (index, stage) in pipeline.enumerated() {
                last = max(last, ends[rank][index] + tables.optimizerSeconds(stage.layers, on: stage.peer))
            }
        }
        return last
    }
}
