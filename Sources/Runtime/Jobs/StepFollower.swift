package import Pipeline
package import Primitives

/// Puts what the workers report together: a step is done when every loss is known and every worker has taken it.
package struct StepFollower: Sendable {
    /// What has become known, in the order of the steps.
    package enum Outcome: Hashable, Sendable {
        /// Everyone has done the step (the first is 0); the slowest worker took `elapsed`.
        case step(UInt64, loss: Float, elapsed: Duration)
        case validation(UInt64, loss: Float)
        /// All parts of a checkpoint are stored.
        case checkpoint(CheckpointManifest)
    }

    private struct Step {
        var losses: LossCollector
        var validation: LossCollector?
        var done: Set<PeerID> = []
        var elapsed = Duration.zero
        var isStepTold = false
        var isValidationTold = false
    }

    private let spec: JobSpec
    private let layout: PipelineLayout
    private let parts: [ReduceSegment]
    private var next: UInt64
    private var steps: [UInt64: Step] = [:]
    private var stored: [UInt64: [CheckpointPart]] = [:]
    private var checkpointsOpen: Int

    /// Steps that workers may be ahead of the one that is followed; a report further ahead makes no sense.
    private static let lookahead: UInt64 = 1024

    package init(spec: JobSpec, layout: PipelineLayout, firstStep: UInt64) {
        self.spec = spec
        self.layout = layout
        parts = ReduceSegment.checkpointParts(of: layout)
        next = firstStep
        checkpointsOpen = (firstStep..<spec.steps).reduce(0) { $0 + (spec.checkpoints(after: $1) ? 1 : 0) }
    }

    /// Whether every step is done, and every validation and checkpoint told.
    package var isFinished: Bool { next == spec.steps && checkpointsOpen == 0 }

    /// Takes a worker's report; throws when the workers contradict each other.
    package mutating func take(_ message: JobMessage, from peer: PeerID) throws(JobRunError) -> [Outcome] {
        switch message {
        case .losses(_, let report):
            guard isExpected(report.phase.step) else { throw strange(peer) }
            var step = step(report.phase.step)
            let accepted =
                report.phase.pass == .training ? step.losses.add(report) : step.validation?.add(report) ?? false
            guard accepted else { throw strange(peer) }
            steps[report.phase.step] = step
        case .stepDone(_, let number, let elapsed, _):
            guard isExpected(number) else { throw strange(peer) }
            var step = step(number)
            guard step.done.insert(peer).inserted else { throw strange(peer) }
            step.elapsed = max(step.elapsed, elapsed)
            steps[number] = step
        case .checkpointPart(_, let step, let part):
            return try takePart(part, after: step, from: peer)
        default: return []
        }
        return advance()
    }

    private func isExpected(_ step: UInt64) -> Bool {
        step >= next && step < spec.steps && step - next <= Self.lookahead
    }

    private func step(_ number: UInt64) -> Step {
        if let known = steps[number] { return known }
        return Step(
            losses: LossCollector(phase: StepPhase(step: number, pass: .training), count: spec.microBatchCount),
            validation: spec.validates(after: number)
                ? LossCollector(phase: StepPhase(step: number, pass: .validation), count: spec.validation.batches) : nil
        )
    }

    private mutating func advance() -> [Outcome] {
        var outcomes: [Outcome] = []
        while next < spec.steps, var step = steps[next] {
            if !step.isStepTold, let loss = step.losses.loss, step.done.count == layout.peers.count {
                step.isStepTold = true
                outcomes.append(.step(next, loss: loss, elapsed: step.elapsed))
            }
            if step.isStepTold, !step.isValidationTold, let loss = step.validation?.loss {
                step.isValidationTold = true
                outcomes.append(.validation(next, loss: loss))
            }
            steps[next] = step
            guard step.isStepTold, step.isValidationTold || step.validation == nil else { break }
            steps[next] = nil
            next += 1
        }
        return outcomes
    }

    private mutating func takePart(
        _ part: CheckpointPart, after step: UInt64, from peer: PeerID
    ) throws(JobRunError) -> [Outcome] {
        guard step > 0, step <= spec.steps, spec.checkpoints(after: step - 1),
            let segment = parts.first(where: { $0.part == part.part }), segment.members.contains(peer)
        else { throw strange(peer) }
        var known = stored[step] ?? []
        if let position = known.firstIndex(where: { $0.part == part.part }) {
            // Replicas hold equal bits, so a difference means that one of them computed something else.
            guard known[position].shard == part.shard else {
                throw JobRunError(
                    .diverged,
                    "peer \(peer.short) has other weights for \(part.part) than its replica after step \(step)")
            }
            known[position].holders = (known[position].holders + [peer]).sorted()
        } else {
            var first = part
            first.holders = [peer]
            known.append(first)
        }
        stored[step] = known
        let isComplete = parts.allSatisfy { segment in
            known.first { $0.part == segment.part }?.holders.count == segment.members.count
        }
        guard isComplete else { return [] }
        stored[step] = nil
        let ordered = parts.compactMap { segment in known.first { $0.part == segment.part } }
        guard let manifest = CheckpointManifest(step: step, spec: spec, parts: ordered) else { throw strange(peer) }
        checkpointsOpen -= 1
        return [.checkpoint(manifest)]
    }

    private func strange(_ peer: PeerID) -> JobRunError {
        JobRunError(.protocolViolation, "peer \(peer.short) reported something that the job does not call for")
    }
}
