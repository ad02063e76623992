/// The passes of a pipeline that has its links for itself: `PipelineRecurrence` where no access link is shared.
///
/// Nothing that happens at a neighbour from some time on can reach a stage before the neighbour's pass, the transfer and the
/// latency are over. Until then the stage acts without looking at the others, so that most passes cost a few comparisons
/// and no search for the stage that is next (the conservative time windows of parallel simulation; Lubachevsky 1989). The
/// order in which stages act is not that of the simulator, the times are.
struct LonePipeline {
    /// One stage, with what its passes and transfers take.
    private struct Stage {
        var forward = 0.0
        var backward = 0.0
        /// The part of a backward pass that is put off, if any.
        var weight = 0.0
        var depth = 1
        /// Backward passes that are done when forward passes begin to go first, and whether weights do until then.
        var turn = Int.max
        var isPrompt = false
        /// Seconds and latency of an activation to the next stage, and of a gradient to the one before.
        var sendForward = 0.0
        var latencyForward = 0.0
        var sendBackward = 0.0
        var latencyBackward = 0.0
        /// How long after a neighbour begins a pass its tensor can be here at the earliest.
        var horizon = Double.infinity
        // What changes:
        var free = 0.0
        var forwards = 0
        var backwards = 0
        var weights = 0
        /// When the last gradient for the stage before is ready.
        var inputs = 0.0
        /// When the links to the neighbours are free.
        var forwardLink = 0.0
        var backwardLink = 0.0
        /// The stage begins no pass before this.
        var next = 0.0
    }

    private let pipeline: [Layout.Stage]
    private let tables: CostTables
    private let schedule: PlanSchedule

    init(_ pipeline: [Layout.Stage], schedule: PlanSchedule, tables: CostTables) {
        self.pipeline = pipeline
        self.schedule = schedule
        self.tables = tables
    }

    /// When each stage has done its work.
    func ends(microBatches: Int) -> StageEnds {
        let count = pipeline.count
        let width = microBatches + 1
        var result = StageEnds(finishes: [])
        withUnsafeTemporaryAllocation(of: Stage.self, capacity: count) { stages in
            withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * count * width) { arrivals in
                guard let first = stages.baseAddress, let times = arrivals.baseAddress else { return }
                // What has not been sent arrives never, and neither does what comes after the last.
                times.initialize(repeating: .infinity, count: arrivals.count)
                times.update(repeating: 0, count: microBatches)
                for index in 0..<count { (first + index).initialize(to: stage(index, microBatches: microBatches)) }
                for index in 0..<count {
                    if index > 0 {
                        first[index].horizon =
                            first[index - 1].forward + first[index - 1].sendForward + first[index - 1].latencyForward
                    }
                    guard index + 1 < count else { break }
                    let next = first[index + 1]
                    first[index].horizon = min(
                        first[index].horizon, next.backward + next.sendBackward + next.latencyBackward)
                }
                run(first, times, microBatches: microBatches)
                result = StageEnds(finishes: (0..<count).map { first[$0].free })
                for index in 0..<count {
                    result.inputs[index] = first[index].inputs
                    result.forwardLinks[index] = first[index].forwardLink
                    result.backwardLinks[index] = first[index].backwardLink
                }
            }
        }
        return result
    }

    private func stage(_ index: Int, microBatches: Int) -> Stage {
        let held = pipeline[index]
        var stage = Stage()
        let backward = tables.backwardSeconds(held.layers, on: held.peer)
        stage.forward = tables.forwardSeconds(held.layers, on: held.peer)
        stage.weight = schedule == .zeroBubble ? backward * tables.weightGradientShare : 0
        stage.backward = backward - stage.weight
        stage.depth = max(1, min(held.depth, microBatches))
        if schedule == .zeroBubble {
            if held.ending.forwardsFirst > 0 { stage.turn = microBatches - held.ending.forwardsFirst }
            stage.isPrompt = held.ending.isPrompt
        }
        if index + 1 < pipeline.count {
            let link = held.peer * tables.peers + pipeline[index + 1].peer
            stage.sendForward = tables.forwardBytes(held.layers.upperBound, link: link) * tables.secondsPerByte[link]
            stage.latencyForward = tables.latency[link]
        }
        if index > 0 {
            let link = held.peer * tables.peers + pipeline[index - 1].peer
            stage.sendBackward = tables.backwardBytes(held.layers.lowerBound, link: link) * tables.secondsPerByte[link]
            stage.latencyBackward = tables.latency[link]
        }
        return stage
    }

    private func run(
        _ stages: UnsafeMutablePointer<Stage>, _ arrivals: UnsafeMutablePointer<Double>, microBatches: Int
    ) {
        while true {
            var earliest = Double.infinity
            for index in pipeline.indices { earliest = min(earliest, stages[index].next) }
            guard earliest < .infinity else { return }
            for index in pipeline.indices where stages[index].next < earliest + stages[index].horizon {
                proceed(index, stages, arrivals, microBatches: microBatches, before: earliest + stages[index].horizon)
            }
        }
    }

    /// Does all that the stage begins before a time at which something unknown may arrive.
    private func proceed(
        _ index: Int, _ stages: UnsafeMutablePointer<Stage>, _ arrivals: UnsafeMutablePointer<Double>,
        microBatches: Int, before horizon: Double
    ) {
        let width = microBatches + 1
        let isFirst = index == 0
        let isLast = index + 1 == pipeline.count
        let activations = arrivals + 2 * index * width
        let gradients = activations + width
        // The neighbours' gradients and activations.
        let ahead = isLast ? activations : activations + 2 * width
        let behind = isFirst ? gradients : gradients - 2 * width
        let isGPipe = schedule == .gpipe
        let putsOff = schedule == .zeroBubble
        let simultaneous = min(IterationSimulator.simultaneous, stages[index].horizon / 4)
        var stage = stages[index]
        while true {
            let held = stage.forwards - (putsOff ? stage.weights : stage.backwards)
            let activation = activations[stage.forwards]
            let gradient = gradients[stage.backwards]
            let forward = held < stage.depth ? max(stage.free, activation) : .infinity
            let backward = !isGPipe || stage.forwards == microBatches ? max(stage.free, gradient) : .infinity
            let start = min(forward, backward)
            let hasTurned = stage.backwards >= stage.turn
            if putsOff, stage.weights < stage.backwards,
                stage.free + simultaneous < (stage.isPrompt && !hasTurned ? backward : start)
            {
                stage.next = stage.free
                guard stage.free + simultaneous < horizon else { break }
                stage.free += stage.weight
                stage.weights += 1
                continue
            }
            stage.next = start
            // A backward pass that is ready at the same time but for rounding may still come.
            guard start + simultaneous < horizon else { break }
            if hasTurned ? backward + simultaneous < forward : backward <= forward + simultaneous {
                let end = start + stage.backward
                stage.free = end
                stage.inputs = end
                if !isFirst {
                    stage.backwardLink = max(end, stage.backwardLink) + stage.sendBackward
                    let arrival = stage.backwardLink + stage.latencyBackward
                    behind[stage.backwards] = arrival
                    stages[index - 1].next = min(stages[index - 1].next, arrival)
                }
                stage.backwards += 1
            } else {
                let end = start + stage.forward
                stage.free = end
                if isLast {
                    gradients[stage.forwards] = end
                } else {
                    stage.forwardLink = max(end, stage.forwardLink) + stage.sendForward
                    let arrival = stage.forwardLink + stage.latencyForward
                    ahead[stage.forwards] = arrival
                    stages[index + 1].next = min(stages[index + 1].next, arrival)
                }
                stage.forwards += 1
            }
        }
        stages[index] = stage
    }
}
