package import Primitives

/// Decides what one stage of a pipeline computes next. It moves only names: the shell keeps the tensors.
///
/// The rule is work-conserving: a backward pass that is ready goes before a forward pass (with GPipe only once all forward
/// passes are done), and a forward pass starts only while fewer than `inFlightBound` micro-batches wait for their backward
/// pass. On equal stages without network delay this yields exactly `Schedule.tasks`. Micro-batches are taken in ascending
/// order in both directions. No bound of at least one can deadlock: the oldest micro-batch in flight is never waiting for
/// a younger one. A neighbour may be one step ahead; what it sends early is remembered.
package struct StageMachine: ProtocolCore {
    package struct Configuration: Sendable {
        package var schedule: Schedule
        /// This stage's place in its pipeline.
        package var stage: Int
        /// Stages in this pipeline.
        package var stageCount: Int
        /// The pipeline's own micro-batches of every step.
        package var microBatches: Range<Int>
        /// Micro-batches that may wait for their backward pass here. More than the schedule's own number hides network
        /// delay at the price of memory.
        package var inFlightBound: Int

        /// `extraInFlight` micro-batches more than the schedule needs on a network without delay.
        package init(
            schedule: Schedule, stage: Int, stageCount: Int, microBatches: Range<Int>, extraInFlight: Int = 0
        ) {
            self.schedule = schedule
            self.stage = stage
            self.stageCount = stageCount
            self.microBatches = microBatches
            inFlightBound =
                schedule.inFlight(stage: stage, stageCount: stageCount, microBatchCount: microBatches.count)
                + max(extraInFlight, 0)
        }
    }

    package enum Input: Hashable, Sendable {
        /// Starts a training step; steps ascend by one.
        case beginTraining(step: UInt64)
        /// Starts forward passes without backward passes over this pipeline's share of the validation batches, which
        /// come after training step `step`.
        case beginValidation(step: UInt64, batches: Range<Int>)
        /// The previous stage's activation is here (never for the first stage: its input is the data).
        case activationArrived(StepPhase, microBatch: Int)
        /// The next stage's gradient is here (never for the last stage: it makes its own from the loss).
        case gradientArrived(StepPhase, microBatch: Int)
        /// The shell has done the task and holds its result.
        case computeFinished(StageTask)
    }

    package enum Effect: Hashable, Sendable {
        /// Compute this now; the next `.compute` comes after `computeFinished`.
        case compute(StageTask, StepPhase)
        /// Send the result of the forward pass just finished to the next stage.
        case sendActivation(StepPhase, microBatch: Int)
        /// Send the result of the backward pass just finished to the previous stage.
        case sendGradient(StepPhase, microBatch: Int)
        /// All of this stage's work in the phase is done and sent.
        case finished(StepPhase)
        /// Something arrived that nobody may have sent (unknown micro-batch, twice, too far ahead); it was ignored.
        case refused(StepPhase, microBatch: Int)
    }

    package let configuration: Configuration
    private var current: Work?
    private var early: [Arrival] = []  // for phases that have not begun here; bounded by `earlyLimit`
    private var running: StageTask?

    private struct Arrival: Hashable {
        var phase: StepPhase
        var microBatch: Int
        var isGradient: Bool
    }

    /// One phase's progress. Arrivals are ordered streams, so counts say everything.
    private struct Work {
        let phase: StepPhase
        let range: Range<Int>
        var activationsArrived: Set<Int> = []
        var gradientsArrived: Set<Int> = []
        var nextForward: Int
        var nextBackward: Int
        var forwardsDone: Int
        var trains: Bool { phase.pass == .training }
    }

    package init(_ configuration: Configuration) { self.configuration = configuration }

    private var isFirst: Bool { configuration.stage == 0 }
    private var isLast: Bool { configuration.stage == configuration.stageCount - 1 }
    /// A neighbour can be ahead by what it may send before it needs something of this stage: one step with validation.
    private var earlyLimit: Int { 4 * configuration.microBatches.count + 4096 }

    package var nextDeadline: Instant? { nil }

    package mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        switch input {
        case .beginTraining(let step):
            begin(StepPhase(step: step, pass: .training), configuration.microBatches, into: &effects)
        case .beginValidation(let step, let batches):
            begin(StepPhase(step: step, pass: .validation), batches, into: &effects)
        case .activationArrived(let phase, let microBatch):
            arrive(Arrival(phase: phase, microBatch: microBatch, isGradient: false), into: &effects)
        case .gradientArrived(let phase, let microBatch):
            arrive(Arrival(phase: phase, microBatch: microBatch, isGradient: true), into: &effects)
        case .computeFinished(let task):
            finish(task, into: &effects)
        }
        startNext(into: &effects)
    }

    private mutating func begin(_ phase: StepPhase, _ range: Range<Int>, into effects: inout [Effect]) {
        guard current == nil else { return effects.append(.refused(phase, microBatch: range.lowerBound)) }
        current = Work(
            phase: phase, range: range, nextForward: range.lowerBound, nextBackward: range.lowerBound,
            forwardsDone: range.lowerBound)
        let waiting = early.filter { $0.phase == phase }
        early.removeAll { $0.phase <= phase }
        for arrival in waiting { arrive(arrival, into: &effects) }
        finishPhaseIfDone(into: &effects)
    }

    private mutating func arrive(_ arrival: Arrival, into effects: inout [Effect]) {
        let refusal = Effect.refused(arrival.phase, microBatch: arrival.microBatch)
        guard !(arrival.isGradient ? isLast : isFirst) else { return effects.append(refusal) }
        guard var work = current, arrival.phase <= work.phase else {
            guard early.count < earlyLimit, !early.contains(arrival) else { return effects.append(refusal) }
            return early.append(arrival)
        }
        guard arrival.phase == work.phase, work.range.contains(arrival.microBatch) else {
            return effects.append(refusal)
        }
        let isNew: Bool
        if arrival.isGradient {
            // A gradient needs this stage's own forward pass, and comes once, in training only.
            guard work.trains, arrival.microBatch < work.forwardsDone else { return effects.append(refusal) }
            isNew = work.gradientsArrived.insert(arrival.microBatch).inserted
        } else {
            isNew = work.activationsArrived.insert(arrival.microBatch).inserted
        }
        guard isNew else { return effects.append(refusal) }
        current = work
    }

    private mutating func finish(_ task: StageTask, into effects: inout [Effect]) {
        guard task == running, var work = current else { return }
        running = nil
        switch task {
        case .forward(let microBatch):
            work.forwardsDone += 1
            if !isLast {
                effects.append(.sendActivation(work.phase, microBatch: microBatch))
            } else if work.trains {
                work.gradientsArrived.insert(microBatch)
            }
        case .backward(let microBatch):
            work.nextBackward += 1
            if !isFirst { effects.append(.sendGradient(work.phase, microBatch: microBatch)) }
        }
        current = work
        finishPhaseIfDone(into: &effects)
    }

    private mutating func finishPhaseIfDone(into effects: inout [Effect]) {
        guard let work = current, running == nil else { return }
        let done = work.trains ? work.nextBackward : work.forwardsDone
        guard done == work.range.upperBound else { return }
        current = nil
        effects.append(.finished(work.phase))
    }

    private mutating func startNext(into effects: inout [Effect]) {
        guard running == nil, var work = current, let task = nextTask(of: work) else { return }
        if case .forward = task { work.nextForward += 1 }
        running = task
        current = work
        effects.append(.compute(task, work.phase))
    }

    private func nextTask(of work: Work) -> StageTask? {
        let forwardIsReady =
            work.nextForward < work.range.upperBound
            && (isFirst || work.activationsArrived.contains(work.nextForward))
        guard work.trains else { return forwardIsReady ? .forward(work.nextForward) : nil }
        let mayGoBackward =
            configuration.schedule == .oneForwardOneBackward || work.forwardsDone == work.range.upperBound
        // One forward, one backward: the warm-up fills the pipeline before the first backward pass.
        if mayGoBackward, work.gradientsArrived.contains(work.nextBackward) { return .backward(work.nextBackward) }
        let inFlight = work.nextForward - work.nextBackward
        return forwardIsReady && inFlight < configuration.inFlightBound ? .forward(work.nextForward) : nil
    }
}
