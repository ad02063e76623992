import Pipeline
import Primitives
import Testing

@Suite("Schedules")
struct ScheduleTests {
    @Test("do every micro-batch once forward and then once backward, within the bound", arguments: Schedule.allCases)
    func completeOrders(schedule: Schedule) {
        for stageCount in 1...6 {
            for count in 1...9 {
                for stage in 0..<stageCount {
                    let range = 3..<(3 + count)
                    let tasks = schedule.tasks(stage: stage, stageCount: stageCount, microBatches: range)
                    #expect(tasks.count == 2 * count)
                    var forwards = 0
                    var backwards = 0
                    for task in tasks {
                        switch task {
                        case .forward(let index):
                            #expect(index == 3 + forwards)
                            forwards += 1
                        case .backward(let index):
                            #expect(index == 3 + backwards)
                            backwards += 1
                        }
                        #expect(backwards <= forwards)
                        let bound = schedule.inFlight(stage: stage, stageCount: stageCount, microBatchCount: count)
                        #expect(forwards - backwards <= bound)
                    }
                }
            }
        }
    }

    @Test("1F1B on the second of four stages is the figure of the PipeDream-Flush paper")
    func textbook() {
        let tasks = Schedule.oneForwardOneBackward.tasks(stage: 1, stageCount: 4, microBatches: 0..<5)
        #expect(
            tasks == [
                .forward(0), .forward(1), .forward(2), .backward(0), .forward(3), .backward(1), .forward(4),
                .backward(2), .backward(3), .backward(4),
            ])
    }
}

/// A pipeline of stage machines with delays of any size between and within them.
private struct Line {
    enum Event {
        case input(Int, StageMachine.Input)
    }

    var machines: [StageMachine]
    var queue: [(at: Int, sequence: Int, event: Event)] = []
    var now = 0
    var sequence = 0
    var tasks: [[StageTask]]
    var finished: [[StepPhase]]
    var refused = 0
    var mostInFlight: [Int]
    var activationsSent: [Int]
    var transferDelay: () -> Int
    var computeDelay: (StageTask) -> Int
    /// The next phase for a stage that has finished one.
    var phases: [StageMachine.Input]
    var begun: [Int]
    /// When each stream delivers its last message: streams are ordered.
    var lastArrival: [[Int]]

    init(
        schedule: Schedule, stageCount: Int, microBatches: Range<Int>, extra: Int, phases: [StageMachine.Input],
        transferDelay: @escaping () -> Int, computeDelay: @escaping (StageTask) -> Int
    ) {
        machines = (0..<stageCount).map {
            StageMachine(
                .init(
                    schedule: schedule, stage: $0, stageCount: stageCount, microBatches: microBatches,
                    extraInFlight: extra))
        }
        tasks = Array(repeating: [], count: stageCount)
        finished = Array(repeating: [], count: stageCount)
        mostInFlight = Array(repeating: 0, count: stageCount)
        activationsSent = Array(repeating: 0, count: stageCount)
        begun = Array(repeating: 0, count: stageCount)
        lastArrival = Array(repeating: [0, 0], count: stageCount)
        self.phases = phases
        self.transferDelay = transferDelay
        self.computeDelay = computeDelay
        for stage in 0..<stageCount { push(stage, phases[0], after: transferDelay()) }
    }

    mutating func push(_ stage: Int, _ input: StageMachine.Input, after delay: Int) {
        queue.append((now + delay, sequence, .input(stage, input)))
        sequence += 1
    }

    /// Puts a message on the ordered stream to a stage.
    mutating func deliver(_ stage: Int, _ direction: Int, _ input: StageMachine.Input) {
        let at = max(now + transferDelay(), lastArrival[stage][direction])
        lastArrival[stage][direction] = at
        queue.append((at, sequence, .input(stage, input)))
        sequence += 1
    }

    mutating func run() {
        while let next = queue.indices.min(by: {
            (queue[$0].at, queue[$0].sequence) < (queue[$1].at, queue[$1].sequence)
        }) {
            let (at, _, event) = queue.remove(at: next)
            now = at
            guard case .input(let stage, let input) = event else { continue }
            var effects: [StageMachine.Effect] = []
            machines[stage].handle(input, at: Instant(nanoseconds: Int64(now)), into: &effects)
            for effect in effects { perform(effect, at: stage) }
        }
    }

    private mutating func perform(_ effect: StageMachine.Effect, at stage: Int) {
        switch effect {
        case .compute(let task, _):
            tasks[stage].append(task)
            let forwards = tasks[stage].count { if case .forward = $0 { true } else { false } }
            mostInFlight[stage] = max(mostInFlight[stage], 2 * forwards - tasks[stage].count)
            push(stage, .computeFinished(task), after: computeDelay(task))
        case .sendActivation(let phase, let microBatch):
            activationsSent[stage] += 1
            deliver(stage + 1, 0, .activationArrived(phase, microBatch: microBatch))
        case .sendGradient(let phase, let microBatch):
            deliver(stage - 1, 1, .gradientArrived(phase, microBatch: microBatch))
        case .finished(let phase):
            finished[stage].append(phase)
            begun[stage] += 1
            if begun[stage] < phases.count { push(stage, phases[begun[stage]], after: transferDelay()) }
        case .refused: refused += 1
        }
    }
}

@Suite("The stage machine")
struct StageMachineTests {
    @Test("without network delay follows the textbook order", arguments: Schedule.allCases)
    func textbookOrder(schedule: Schedule) {
        for stageCount in 1...5 {
            for count in [1, 2, 4, 7] {
                var line = Line(
                    schedule: schedule, stageCount: stageCount, microBatches: 0..<count, extra: 0,
                    phases: [.beginTraining(step: 0)], transferDelay: { 0 },
                    computeDelay: { if case .forward = $0 { 10 } else { 20 } })
                line.run()
                for stage in 0..<stageCount {
                    let expected = schedule.tasks(stage: stage, stageCount: stageCount, microBatches: 0..<count)
                    #expect(line.tasks[stage] == expected, "\(schedule), stage \(stage) of \(stageCount), \(count)")
                }
            }
        }
    }

    @Test("finishes every step under any delays, within its bound and in order")
    func neverDeadlocks() {
        for seed in 0..<120 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let stageCount = 1 + generator.index(below: 6)
            let count = 1 + generator.index(below: 10)
            let first = generator.index(below: 5)
            let extra = generator.index(below: 3)
            let schedule = Schedule.allCases[generator.index(below: 2)]
            let phases: [StageMachine.Input] = [
                .beginTraining(step: 4), .beginValidation(step: 4, batches: 2..<4), .beginTraining(step: 5),
                .beginValidation(step: 5, batches: 0..<0), .beginTraining(step: 6),
            ]
            var delays = generator.split()
            var line = Line(
                schedule: schedule, stageCount: stageCount, microBatches: first..<(first + count), extra: extra,
                phases: phases, transferDelay: { delays.index(below: 100) },
                computeDelay: { _ in generator.index(below: 30) })
            line.run()
            let expected: [StepPhase] = [
                StepPhase(step: 4, pass: .training), StepPhase(step: 4, pass: .validation),
                StepPhase(step: 5, pass: .training), StepPhase(step: 5, pass: .validation),
                StepPhase(step: 6, pass: .training),
            ]
            for stage in 0..<stageCount {
                #expect(line.finished[stage] == expected, "seed \(seed), stage \(stage) of \(stageCount)")
                #expect(line.tasks[stage].count == 6 * count + 2, "seed \(seed)")
                let backwards = line.tasks[stage].filter { if case .backward = $0 { true } else { false } }
                let wanted = (0..<3).flatMap { _ in (first..<(first + count)).map(StageTask.backward) }
                #expect(backwards == wanted, "seed \(seed)")
            }
            #expect(line.refused == 0, "seed \(seed): \(line.refused) refusals")
        }
    }

    @Test("refuses what nobody may send")
    func refusals() {
        let phase = StepPhase(step: 0, pass: .training)
        var machine = StageMachine(
            .init(schedule: .oneForwardOneBackward, stage: 1, stageCount: 3, microBatches: 0..<4))
        func refuses(_ input: StageMachine.Input) -> Bool {
            var effects: [StageMachine.Effect] = []
            machine.handle(input, at: Instant(nanoseconds: 0), into: &effects)
            return effects.contains { if case .refused = $0 { true } else { false } }
        }
        #expect(!refuses(.activationArrived(phase, microBatch: 0)), "one stage may begin later than its neighbour")
        #expect(refuses(.activationArrived(phase, microBatch: 0)), "twice before the beginning")
        #expect(!refuses(.beginTraining(step: 0)))
        #expect(refuses(.beginTraining(step: 1)), "before the first step is done")
        #expect(refuses(.activationArrived(phase, microBatch: 0)), "twice")
        #expect(refuses(.activationArrived(phase, microBatch: 4)), "another pipeline's micro-batch")
        #expect(refuses(.gradientArrived(phase, microBatch: 2)), "before its forward pass")
        var first = StageMachine(.init(schedule: .gpipe, stage: 0, stageCount: 2, microBatches: 0..<1))
        var effects: [StageMachine.Effect] = []
        first.handle(.activationArrived(phase, microBatch: 0), at: Instant(nanoseconds: 0), into: &effects)
        #expect(effects == [.refused(phase, microBatch: 0)], "the first stage has no previous one")
        for microBatch in 0..<100_000 {
            var quiet: [StageMachine.Effect] = []
            let far = StepPhase(step: 9, pass: .training)
            machine.handle(.activationArrived(far, microBatch: microBatch), at: Instant(nanoseconds: 0), into: &quiet)
            if !quiet.isEmpty { return }
        }
        Issue.record("early arrivals must be bounded")
    }
}
