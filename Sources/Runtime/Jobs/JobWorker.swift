package import Pipeline
package import Primitives
internal import Wire

/// Where a job's message goes: one ordered stream to a peer.
package struct JobLane: Hashable, Sendable {
    package let peer: PeerID
    package let trafficClass: TrafficClass

    package init(peer: PeerID, trafficClass: TrafficClass) {
        self.peer = peer
        self.trafficClass = trafficClass
    }
}

/// One peer's stage of a distributed run: computes what `StageMachine` says, exchanges tensors with its neighbours and
/// gradients with its replicas, and takes the optimiser's step.
///
/// The actor runs on a thread of its own, so its compute is in nobody's way. Messages wait in the mailbox while it
/// computes; sends happen in the background, which is what overlaps transfers with compute.
package actor JobWorker {
    private let thread: ComputeThread
    nonisolated package var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private let run: RunID
    private let spec: JobSpec
    private let layout: PipelineLayout
    private let coordinator: PeerID
    private let position: PipelineLayout.Position
    private let segments: [ReduceSegment]
    private let mailbox: JobMailbox<JobMessage>
    private let queues: SendQueues<JobLane, JobMessage>
    private let store: @Sendable (_ name: String, _ bytes: [UInt8]) async throws -> CheckpointPart
    private let now: @Sendable () -> Instant

    private let stage: TrainingStage
    private var machine: StageMachine
    private var reductions: [AllReduce]  // one a segment, in the order of `segments`
    private var pendingTask: (StageTask, StepPhase)?
    private var finishedPhase: StepPhase?
    private var inputs: [TensorKey: [Float]] = [:]
    private var results: [TensorKey: [Float]] = [:]
    private var sums: [[Float]?]
    private var tiedSums: [TiedKey: [Float]] = [:]
    private var outbox: [(JobLane, JobMessage)] = []
    private var computing = Duration.zero

    private struct TensorKey: Hashable {
        let phase: StepPhase
        let microBatch: Int
        let isGradient: Bool
    }

    private struct TiedKey: Hashable {
        let step: UInt64
        let segment: Int
    }

    /// A worker for the preparation's layout; `stage` holds the weights already.
    package init(
        preparation: JobPreparation, position: PipelineLayout.Position, peer: PeerID, stage: sending TrainingStage,
        mailbox: JobMailbox<JobMessage>, queues: SendQueues<JobLane, JobMessage>,
        store: @escaping @Sendable (_ name: String, _ bytes: [UInt8]) async throws -> CheckpointPart,
        now: @escaping @Sendable () -> Instant
    ) {
        thread = ComputeThread(name: "weft stage \(position.stage)")
        run = preparation.run
        spec = preparation.spec
        layout = preparation.layout
        coordinator = preparation.coordinator
        self.position = position
        self.stage = stage
        self.mailbox = mailbox
        self.queues = queues
        self.store = store
        self.now = now
        machine = StageMachine(
            StageMachine.Configuration(
                schedule: preparation.spec.schedule, stage: position.stage, stageCount: position.stageCount,
                microBatches: position.microBatches, extraInFlight: JobPlan.roundTripSlack))
        let own = ReduceSegment.segments(of: preparation.layout).filter { $0.members.contains(peer) }
        segments = own
        reductions = own.map { segment in
            AllReduce(
                AllReduce.Configuration(
                    rank: position.pipeline, shares: segment.shares, elementCount: stage.gradientCount(of: segment.part) ?? 0,
                    codec: preparation.spec.reduceCodec),
                firstStep: preparation.firstStep)
        }
        sums = Array(repeating: nil, count: own.count)
    }
}

// MARK: Steps

extension JobWorker {
    /// Does the steps with their validations and checkpoints; throws `JobRunError` if the run cannot go on.
    package func perform(steps: Range<UInt64>) async throws {
        for step in steps {
            let start = now()
            computing = .zero
            try await train(step)
            try await exchangeGradients(step)
            try await send(.stepDone(run, step: step, elapsed: now() - start, computing: computing), to: coordinator)
            if spec.validates(after: step) { try await validate(after: step) }
            if spec.checkpoints(after: step) { try await exportCheckpoint(after: step) }
        }
    }

    private func train(_ step: UInt64) async throws {
        let phase = StepPhase(step: step, pass: .training)
        try await drive(.beginTraining(step: step), through: phase)
        try await reportLosses()
    }

    private func validate(after step: UInt64) async throws {
        let share = ValidationShare.batches(
            of: position.pipeline, pipelineCount: layout.pipelines.count, batchCount: spec.validation.batches)
        guard !share.isEmpty else { return }
        let phase = StepPhase(step: step, pass: .validation)
        try await drive(.beginValidation(step: step, batches: share), through: phase)
        try await reportLosses()
    }

    private func reportLosses() async throws {
        guard let report = stage.takeLosses() else { return }
        try await send(.losses(run, report), to: coordinator)
    }

    /// Computes and exchanges tensors until the stage's part of the phase is done.
    private func drive(_ begin: StageMachine.Input, through phase: StepPhase) async throws {
        try feed(begin)
        while finishedPhase != phase {
            await flush()
            while let delivery = await mailbox.nextIfWaiting() { try take(delivery) }
            if let (task, phase) = pendingTask {
                pendingTask = nil
                try compute(task, in: phase)
                try feed(.computeFinished(task))
            } else if finishedPhase != phase {
                try await takeNext()
            }
        }
        await flush()
    }

    private func takeNext() async throws {
        guard let delivery = await mailbox.next() else { throw JobRunError(.cancelled, "the run was ended") }
        try take(delivery)
    }

    private func compute(_ task: StageTask, in phase: StepPhase) throws {
        let start = now()
        let microBatch = task.microBatch
        switch task {
        case .forward:
            let input = inputs.removeValue(forKey: TensorKey(phase: phase, microBatch: microBatch, isGradient: false))
            if let values = try stage.forward(input, microBatch: microBatch, in: phase) {
                results[TensorKey(phase: phase, microBatch: microBatch, isGradient: false)] = values
            }
        case .backward:
            let gradient = inputs.removeValue(forKey: TensorKey(phase: phase, microBatch: microBatch, isGradient: true))
            if let values = try stage.backward(gradient, microBatch: microBatch) {
                results[TensorKey(phase: phase, microBatch: microBatch, isGradient: true)] = values
            }
        }
        computing += now() - start
    }
}

// MARK: Gradients and checkpoints

extension JobWorker {
    /// Sums the step's gradients over all replicas, joins the two uses of the tied weight and takes the optimiser's step.
    private func exchangeGradients(_ step: UInt64) async throws {
        sums = Array(repeating: nil, count: segments.count)
        let partials = try stage.takePartials(of: segments.map(\.part))
        for index in segments.indices { try reduce(index, .begin(step: step, partials[index])) }
        await flush()
        let tied = tiedSegments()
        var tiedSent = false
        while true {
            if let tied, !tiedSent, let own = sums[tied.ownIndex] {
                tiedSent = true
                let chunk = ReduceChunk(step: step, node: 0..<spec.microBatchCount, offset: 0, values: own, codec: .f32)
                outbox.append(
                    (
                        JobLane(peer: tied.peer, trafficClass: .gradients),
                        .tiedGradient(run, segment: segments[tied.ownIndex].id, chunk)
                    ))
                await flush()
            }
            let isTiedDone = tied.map { tiedSums[TiedKey(step: step, segment: $0.otherID)] != nil } ?? true
            if isTiedDone, tiedSent || tied == nil, sums.allSatisfy({ $0 != nil }) { break }
            try await takeNext()
            await flush()
        }
        let start = now()
        var reduced: [(part: ModelPart, values: [Float])] = []
        for (segment, sum) in zip(segments, sums) { if let sum { reduced.append((segment.part, sum)) } }
        let tiedSum = tied.flatMap { tiedSums.removeValue(forKey: TiedKey(step: step, segment: $0.otherID)) }
        try stage.apply(reduced, tied: tiedSum)
        computing += now() - start
    }

    private struct Tied {
        let ownIndex: Int
        let otherID: Int
        let peer: PeerID
    }

    /// The tied weight's other use and who has it; `nil` unless exactly one of the two uses is here.
    private func tiedSegments() -> Tied? {
        guard position.isFirst != position.isLast else { return nil }
        let (ownPart, otherPart): (ModelPart, ModelPart) =
            position.isFirst ? (.tokenEmbedding, .outputHead) : (.outputHead, .tokenEmbedding)
        let stages = layout.pipelines[position.pipeline].stages
        let all = ReduceSegment.segments(of: layout)
        guard let own = segments.firstIndex(where: { $0.part == ownPart }),
            let other = all.first(where: { $0.part == otherPart }),
            let peer = position.isFirst ? stages.last?.peer : stages.first?.peer
        else { return nil }
        return Tied(ownIndex: own, otherID: other.id, peer: peer)
    }

    private func reduce(_ index: Int, _ input: AllReduce.Input) throws {
        var effects: [AllReduce.Effect] = []
        reductions[index].handle(input, at: now(), into: &effects)
        let segment = segments[index]
        for effect in effects {
            switch effect {
            case .sendPart(let chunk, let rank):
                let lane = JobLane(peer: segment.members[rank], trafficClass: .gradients)
                outbox.append((lane, .reducePart(run, segment: segment.id, chunk)))
            case .sendReduced(let chunk, let rank):
                let lane = JobLane(peer: segment.members[rank], trafficClass: .gradients)
                outbox.append((lane, .reducedPart(run, segment: segment.id, chunk)))
            case .finished(_, let sum): sums[index] = sum
            case .refused(let rank, let error):
                throw JobRunError(
                    .protocolViolation, "peer \(segment.members[rank].short) sent a gradient that does not fit: \(error)")
            }
        }
    }

    private func exportCheckpoint(after step: UInt64) async throws {
        let own = segments.filter { $0.part != .outputHead }
        for (segment, bytes) in zip(own, try stage.export(own.map(\.part))) {
            var part = try await store("\(spec.name) step \(step + 1) \(segment.part)", bytes)
            part.part = segment.part
            try await send(.checkpointPart(run, step: step + 1, part), to: coordinator)
        }
    }
}

// MARK: Messages

extension JobWorker {
    private func send(_ message: JobMessage, to peer: PeerID) async throws {
        outbox.append((JobLane(peer: peer, trafficClass: .control), message))
        await flush()
    }

    private func flush() async {
        let messages = outbox
        outbox = []
        for (lane, message) in messages { await queues.enqueue(message, on: lane) }
    }

    private func feed(_ input: StageMachine.Input) throws {
        var effects: [StageMachine.Effect] = []
        machine.handle(input, at: now(), into: &effects)
        for effect in effects {
            switch effect {
            case .compute(let task, let phase): pendingTask = (task, phase)
            case .sendActivation(let phase, let microBatch):
                try queueTensor(phase, microBatch, isGradient: false, to: position.next)
            case .sendGradient(let phase, let microBatch):
                try queueTensor(phase, microBatch, isGradient: true, to: position.previous)
            case .finished(let phase): finishedPhase = phase
            case .refused(let phase, let microBatch):
                throw JobRunError(
                    .protocolViolation, "a tensor of micro-batch \(microBatch) at \(phase) came out of turn")
            }
        }
    }

    private func queueTensor(_ phase: StepPhase, _ microBatch: Int, isGradient: Bool, to peer: PeerID?) throws {
        let key = TensorKey(phase: phase, microBatch: microBatch, isGradient: isGradient)
        guard let peer, let values = results.removeValue(forKey: key) else { return }
        let message = TensorMessage(
            phase: phase, microBatch: microBatch, rows: values.count / spec.model.width, columns: spec.model.width,
            codec: spec.compression, values: values)
        let lane = JobLane(peer: peer, trafficClass: .activations)
        outbox.append((lane, isGradient ? .activationGradient(run, message) : .activation(run, message)))
    }

    private func take(_ delivery: JobMailbox<JobMessage>.Delivery) throws {
        let peer = delivery.from
        switch delivery.message {
        case .activation(_, let tensor) where peer == position.previous:
            try takeTensor(tensor, isGradient: false)
        case .activationGradient(_, let tensor) where peer == position.next:
            try takeTensor(tensor, isGradient: true)
        case .reducePart(_, let id, let chunk):
            guard let (index, rank) = member(id, peer) else { throw strangeMessage(peer) }
            try reduce(index, .part(chunk, rank: rank))
        case .reducedPart(_, let id, let chunk):
            guard let (index, rank) = member(id, peer) else { throw strangeMessage(peer) }
            try reduce(index, .reduced(chunk, rank: rank))
        case .tiedGradient(_, let id, let chunk):
            guard let tied = tiedSegments(), tied.peer == peer, tied.otherID == id, chunk.codec == .f32,
                chunk.offset == 0, chunk.count == spec.model.vocabulary * spec.model.width, tiedSums.count < 2
            else { throw strangeMessage(peer) }
            tiedSums[TiedKey(step: chunk.step, segment: id)] = try chunk.values()
        default: throw strangeMessage(peer)
        }
    }

    private func takeTensor(_ tensor: TensorMessage, isGradient: Bool) throws {
        let rows = spec.microBatchSequences * spec.model.context
        let values = try tensor.values(rows: rows, columns: spec.model.width, codec: spec.compression)
        inputs[TensorKey(phase: tensor.phase, microBatch: tensor.microBatch, isGradient: isGradient)] = values
        try feed(
            isGradient
                ? .gradientArrived(tensor.phase, microBatch: tensor.microBatch)
                : .activationArrived(tensor.phase, microBatch: tensor.microBatch))
    }

    private func member(_ id: Int, _ peer: PeerID) -> (index: Int, rank: Int)? {
        guard let index = segments.firstIndex(where: { $0.id == id }), let rank = segments[index].rank(of: peer) else {
            return nil
        }
        return (index, rank)
    }

    private func strangeMessage(_ peer: PeerID) -> JobRunError {
        JobRunError(.protocolViolation, "peer \(peer.short) sent something that its place in the layout does not call for")
    }
}

/// Which validation batches a pipeline computes: contiguous shares that differ by one batch at most.
package enum ValidationShare {
    package static func batches(of pipeline: Int, pipelineCount: Int, batchCount: Int) -> Range<Int> {
        (batchCount * pipeline / pipelineCount)..<(batchCount * (pipeline + 1) / pipelineCount)
    }
}

/// Why a run ended before its time.
package struct JobRunError: Error, Hashable, Sendable, CustomStringConvertible {
    package let reason: JobMessage.AbortReason
    /// What happened, to what; one line.
    package let detail: String

    package init(_ reason: JobMessage.AbortReason, _ detail: String) {
        self.reason = reason
        self.detail = detail
    }

    package var description: String { detail }
}
