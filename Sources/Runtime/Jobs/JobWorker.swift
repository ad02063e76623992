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
    private let mailbox: JobMailbox<JobMessage>
    private let queues: SendQueues<JobLane, JobMessage>
    private let store: @Sendable (_ name: String, _ bytes: [UInt8]) async throws -> CheckpointPart
    private let now: @Sendable () -> Instant

    private let stage: TrainingStage
    private var machine: StageMachine
    private var exchange: GradientExchange
    private var pendingTask: (StageTask, StepPhase)?
    private var finishedPhase: StepPhase?
    private var inputs: [TensorKey: [Float]] = [:]
    private var results: [TensorKey: [Float]] = [:]
    private var reduced: ReducedGradients?
    private var outbox: [(JobLane, JobMessage)] = []
    private var computing = Duration.zero

    private struct TensorKey: Hashable {
        let phase: StepPhase
        let microBatch: Int
        let isGradient: Bool
    }

    private struct ReducedGradients {
        let step: UInt64
        let sums: [(part: ModelPart, values: [Float])]
        let tied: [Float]?
    }

    /// A worker for the preparation's layout; `stage` holds the weights already. `nil` if the layout does not give the peer
    /// what `stage` holds.
    package init?(
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
        let configuration = GradientExchange.Configuration(
            run: preparation.run, layout: preparation.layout, peer: peer, codec: preparation.spec.reduceCodec,
            firstStep: preparation.firstStep)
        guard let exchange = GradientExchange(configuration, elementCount: { stage.gradientCount(of: $0) }) else {
            return nil
        }
        self.exchange = exchange
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
        let share = layout.validationShare(of: position.pipeline, batches: spec.validation.batches)
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
        try exchange(.begin(step: step, try stage.takePartials(of: exchange.parts)))
        await flush()
        while reduced?.step != step {
            try await takeNext()
            await flush()
        }
        guard let gradients = reduced else { return }
        reduced = nil
        let start = now()
        try stage.apply(gradients.sums, tied: gradients.tied)
        computing += now() - start
    }

    private func exchange(_ input: GradientExchange.Input) throws {
        var effects: [GradientExchange.Effect] = []
        exchange.handle(input, at: now(), into: &effects)
        for effect in effects {
            switch effect {
            case .send(let message, let peer):
                outbox.append((JobLane(peer: peer, trafficClass: .gradients), message))
            case .finished(let step, let sums, let tied):
                reduced = ReducedGradients(step: step, sums: sums, tied: tied)
            case .refused(let peer, let what):
                throw JobRunError(.protocolViolation, "peer \(peer.short): \(what)")
            }
        }
    }

    private func exportCheckpoint(after step: UInt64) async throws {
        let own = exchange.parts.filter { $0 != .outputHead }
        for (exported, bytes) in zip(own, try stage.export(own)) {
            var part = try await store("\(spec.name) step \(step + 1) \(exported)", bytes)
            part.part = exported
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
        case .reducePart, .reducedPart, .tiedGradient: try exchange(.message(delivery.message, from: peer))
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

    private func strangeMessage(_ peer: PeerID) -> JobRunError {
        JobRunError(
            .protocolViolation, "peer \(peer.short) sent something that its place in the layout does not call for")
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
