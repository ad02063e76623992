/// One pipeline's part of an iteration, pass by pass: what the simulator would see if the pipeline had its links for
/// itself, without a queue of events.
///
/// Stages act by the rules of `IterationSimulator`, so the result is the simulator's for a pipeline by itself. Where no access
/// link is shared, `LonePipeline` follows them; else the end of a transfer depends on those that start after it, stages act
/// in the order of their start times, and `FluidLinks` follows the transfers. Long iterations are cut: after a few rounds of
/// the deepest window every further round takes the same time.
struct PipelineRecurrence {
    private let tables: CostTables
    private let pipeline: [Layout.Stage]
    private let schedule: PlanSchedule
    private let count: Int

    /// Passes up to which every micro-batch is followed.
    private static let exactPasses = 1_600

    init(_ pipeline: [Layout.Stage], schedule: PlanSchedule, tables: CostTables) {
        self.tables = tables
        self.pipeline = pipeline
        self.schedule = schedule
        count = pipeline.count
    }

    /// How many micro-batches are followed, both runs of a long iteration together.
    static func followed(_ pipeline: [Layout.Stage], microBatches: Int) -> Int {
        let period = pipeline.reduce(1) { max($0, min($1.depth, microBatches)) }
        let shortest = shortest(period: period, stages: pipeline.count)
        return microBatches > shortest + period ? 2 * shortest + period : microBatches
    }

    private static func shortest(period: Int, stages: Int) -> Int {
        max(3 * period + 2 * stages, exactPasses / (2 * stages))
    }

    /// When each stage has done its work.
    func ends(microBatches: Int) -> StageEnds {
        var period = 1
        for stage in pipeline { period = max(period, min(stage.depth, microBatches)) }
        if schedule == .gpipe { period = 1 }
        let shortest = Self.shortest(period: period, stages: count)
        // Without sharing, GPipe settles within a few micro-batches.
        let settlesEarly = schedule == .gpipe && !tables.sharesAccess
        guard microBatches > (settlesEarly ? 4 * count + 8 : shortest + period) else { return run(microBatches) }
        // Rounds of a whole period are left out: two runs, one round apart, tell how long a round takes.
        let base = settlesEarly ? 2 * count + 4 : shortest
        let rounds = (microBatches - base) / period - 1
        let short = microBatches - rounds * period
        let one = run(short)
        let two = run(short - period)
        return one.later(by: zip(one.finishes, two.finishes).map { Double(rounds) * max(0, $0 - $1) })
    }

    private func run(_ microBatches: Int) -> StageEnds {
        guard tables.sharesAccess else {
            return LonePipeline(pipeline, schedule: schedule, tables: tables).ends(microBatches: microBatches)
        }
        var result: [Double] = []
        withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * count * microBatches + 7 * count) { memory in
            withUnsafeTemporaryAllocation(of: Int.self, capacity: 7 * count) { counters in
                guard let times = memory.baseAddress, let counts = counters.baseAddress else { return }
                times.initialize(repeating: 0, count: memory.count)
                counts.initialize(repeating: 0, count: counters.count)
                var state = State(
                    times: times, counts: counts, stages: count, microBatches: microBatches, schedule: schedule)
                load(&state)
                state.run()
                result = (0..<count).map { state.free[$0] }
            }
        }
        return StageEnds(finishes: result)
    }

    private func load(_ state: inout State) {
        for (index, stage) in pipeline.enumerated() {
            let backward = tables.backwardSeconds(stage.layers, on: stage.peer)
            state.forward[index] = tables.forwardSeconds(stage.layers, on: stage.peer)
            state.weight[index] = schedule == .zeroBubble ? backward * tables.weightGradientShare : 0
            state.backward[index] = backward - state.weight[index]
            state.depth[index] = max(1, min(stage.depth, state.microBatches))
            guard index + 1 < count else { continue }
            let next = pipeline[index + 1].peer
            let there = stage.peer * tables.peers + next
            let back = next * tables.peers + stage.peer
            state.latencyForward[index] = tables.latency[there]
            state.latencyBackward[index + 1] = tables.latency[back]
        }
        state.links = FluidLinks(pipeline, tables: tables)
        for microBatch in 0..<state.microBatches { state.activationAt[microBatch] = 0 }
        state.activations[0] = state.microBatches
    }
}

extension PipelineRecurrence {
    /// Everything that changes where access links are shared, in scratch memory.
    struct State {
        let stages: Int
        let microBatches: Int
        let schedule: PlanSchedule
        /// What carries its tensors.
        var links: FluidLinks?
        let activationAt: UnsafeMutablePointer<Double>
        let gradientAt: UnsafeMutablePointer<Double>
        let free: UnsafeMutablePointer<Double>
        let forward: UnsafeMutablePointer<Double>
        let backward: UnsafeMutablePointer<Double>
        let weight: UnsafeMutablePointer<Double>
        let latencyForward: UnsafeMutablePointer<Double>
        let latencyBackward: UnsafeMutablePointer<Double>
        let depth: UnsafeMutablePointer<Int>
        let forwards: UnsafeMutablePointer<Int>
        let backwards: UnsafeMutablePointer<Int>
        let weights: UnsafeMutablePointer<Int>
        let activations: UnsafeMutablePointer<Int>
        let gradients: UnsafeMutablePointer<Int>
        let starts: UnsafeMutablePointer<Double>
        let kinds: UnsafeMutablePointer<Int>

        init(
            times: UnsafeMutablePointer<Double>, counts: UnsafeMutablePointer<Int>, stages: Int, microBatches: Int,
            schedule: PlanSchedule
        ) {
            self.stages = stages
            self.microBatches = microBatches
            self.schedule = schedule
            activationAt = times
            gradientAt = times + stages * microBatches
            var next = times + 2 * stages * microBatches
            func take() -> UnsafeMutablePointer<Double> {
                defer { next += stages }
                return next
            }
            free = take()
            forward = take()
            backward = take()
            weight = take()
            latencyForward = take()
            latencyBackward = take()
            starts = next
            kinds = counts + 6 * stages
            depth = counts
            forwards = counts + stages
            backwards = counts + 2 * stages
            weights = counts + 3 * stages
            activations = counts + 4 * stages
            gradients = counts + 5 * stages
        }

        mutating func run() {
            for stage in 0..<stages { decide(stage) }
            runSharing()
        }

        /// What the stage would do next and when, from what has been sent to it so far.
        mutating func decide(_ stage: Int) {
            var start = Double.infinity
            var kind = 0
            let held = forwards[stage] - (schedule == .zeroBubble ? weights[stage] : backwards[stage])
            if forwards[stage] < activations[stage], held < depth[stage] {
                start = max(free[stage], activationAt[stage * microBatches + forwards[stage]])
                kind = 1
            }
            if backwards[stage] < gradients[stage], schedule != .gpipe || forwards[stage] == microBatches {
                let at = max(free[stage], gradientAt[stage * microBatches + backwards[stage]])
                if at <= start + IterationSimulator.simultaneous {
                    start = at
                    kind = 2
                }
            }
            if schedule == .zeroBubble, weights[stage] < backwards[stage],
                free[stage] + IterationSimulator.simultaneous < start
            {
                start = free[stage]
                kind = 3
            }
            starts[stage] = start
            kinds[stage] = kind
        }

        mutating func act(_ stage: Int, at start: Double) {
            switch kinds[stage] {
            case 1:
                let end = start + forward[stage]
                free[stage] = end
                let microBatch = forwards[stage]
                forwards[stage] += 1
                if stage + 1 == stages {
                    gradientAt[stage * microBatches + microBatch] = end
                    gradients[stage] += 1
                } else {
                    links?.hold(stage, until: end, isForward: true)
                }
            case 2:
                let end = start + backward[stage]
                free[stage] = end
                backwards[stage] += 1
                if stage > 0 { links?.hold(stage, until: end, isForward: false) }
            default:
                free[stage] = start + weight[stage]
                weights[stage] += 1
            }
        }
    }
}
