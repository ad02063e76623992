internal import Compute
package import Logging
package import Pipeline
package import Primitives
package import Shards
package import Topology
internal import Wire

/// Runs one job over the swarm: plans it, prepares the stages, follows the steps, gathers checkpoints, and goes on from
/// the last checkpoint on a new plan when a peer is lost.
///
/// The node that a job is given to coordinates it: it has the text, and the person who watches sits there.
package actor JobCoordinator {
    /// What a coordinator needs of its node.
    package struct Port: Sendable {
        /// Sends a job message on the control class.
        package var send: @Sendable (JobMessage, PeerID) async throws -> Void
        /// The graph of the live members without some.
        package var graph: @Sendable (_ without: Set<PeerID>) async throws -> LinkGraph
        package var name: @Sendable (PeerID) async -> String
        /// The bytes of a shard, from the store or from its holders.
        package var fetch: @Sendable (ShardID, [PeerID]) async throws -> [UInt8]
        /// Puts bytes into the shard store.
        package var store: @Sendable (_ name: String, _ bytes: [UInt8]) async throws -> CheckpointPart
        package var now: @Sendable () -> Instant

        package init(
            send: @escaping @Sendable (JobMessage, PeerID) async throws -> Void,
            graph: @escaping @Sendable (Set<PeerID>) async throws -> LinkGraph,
            name: @escaping @Sendable (PeerID) async -> String,
            fetch: @escaping @Sendable (ShardID, [PeerID]) async throws -> [UInt8],
            store: @escaping @Sendable (String, [UInt8]) async throws -> CheckpointPart,
            now: @escaping @Sendable () -> Instant
        ) {
            self.send = send
            self.graph = graph
            self.name = name
            self.fetch = fetch
            self.store = store
            self.now = now
        }
    }

    /// What reaches the coordinator while a run is on.
    package enum Signal: Sendable {
        case message(JobMessage)
        case lost(PeerID)
        /// Whoever gave the job does not want it any more.
        case cancelled
        /// Nothing came for as long as this wait has patience.
        case timedOut(wait: UInt64)
    }

    /// Attempts before the job is given up; every attempt goes on from the last checkpoint.
    package static let maximumAttempts: UInt32 = 8
    /// How long a peer may take to get ready without any sign of progress.
    package static let preparationPatience = Duration.seconds(60)

    /// How long the first step of a run may take.
    package static let firstStepPatience = Duration.seconds(1800)
    /// How long a plan waits for links that nobody has measured yet.
    package static let measurementPatience = Duration.seconds(20)

    /// How long a search for a plan may take.
    private static let planningTime = Duration.seconds(2)

    private let signer: Signer
    private let port: Port
    private let log: Logger
    private let jobID: UInt64
    private var waits: UInt64 = 0
    /// What the peers hold layers for.
    private var planInForce: Plan?
    /// Names of workers: of one that is gone the swarm knows none any more.
    private var names: [PeerID: String] = [:]
    package nonisolated let mailbox = JobMailbox<Signal>(capacityPerLane: 4096)

    /// `jobID` is random.
    package init(jobID: UInt64, signer: Signer, port: Port, log: Logger) {
        self.jobID = jobID
        self.signer = signer
        self.port = port
        self.log = log
    }

    /// Whether a run is of this job.
    package nonisolated func coordinates(_ run: RunID) -> Bool { run.job == jobID }

    /// Trains to the end, or throws `JobRunError`, `PlanningError` or what storing files threw.
    ///
    /// `text` is the training text, `resume` where to go on; `output` gets checkpoints and the loss curve.
    package func train(
        spec named: JobSpec, text: [UInt8], resume: CheckpointManifest?, output: JobOutput,
        report: @escaping @Sendable (TrainEvent) -> Void
    ) async throws {
        let data = try await port.store("\(named.name) text", text)
        var spec = named
        spec.data = .shard(data.shard)
        if let resume, !resume.spec.hasSameResult(as: spec) {
            throw JobRunError(
                .refused, "the checkpoint is of another job: compare model, seed, batch and optimiser with its job file"
            )
        }
        if let resume, case .shard(let former) = resume.spec.data, former != data.shard {
            throw JobRunError(.refused, "the checkpoint was trained on another text: give the job the same data")
        }
        let batches = try spec.batches(of: text)
        try await announce(spec, batches, report)
        var checkpoint: CheckpointManifest
        if let resume {
            guard let adopted = CheckpointManifest(step: resume.step, spec: spec, parts: resume.parts) else {
                throw JobRunError(.refused, "the checkpoint is not complete: use an older one")
            }
            guard adopted.step < spec.steps else {
                throw JobRunError(
                    .refused, "the checkpoint is at step \(adopted.step), the job's last: there is nothing left to do")
            }
            checkpoint = adopted
        } else {
            checkpoint = try await initialCheckpoint(spec, batches)
        }
        let baseline = ByteEntropy.crossEntropy(of: batches.validation, training: batches.training)
        let progress = JobProgress(spec: spec, start: port.now(), unigramLoss: baseline)
        var lost: Set<PeerID> = []
        var unexplained = 0
        for attempt in 1...Self.maximumAttempts {
            let run = RunID(job: jobID, attempt: attempt)
            do {
                try await perform(
                    run, spec, data.shard, from: &checkpoint, without: lost, progress, output: output, report)
                return
            } catch let failure as AttemptFailure {
                if let peer = failure.lost {
                    lost.insert(peer)
                    unexplained = 0
                } else {
                    // The first may be a stream that broke before its peer was known to be dead. Afterwards the plan itself is
                    // in question, as when two peers cannot reach each other that others see alive.
                    unexplained += 1
                    if unexplained > 1 { planInForce = nil }
                }
                guard failure.canRetry, attempt < Self.maximumAttempts else { throw failure.error }
                report(
                    .notice(
                        .init(
                            message: "\(failure.error.detail); planning again, going on from step \(checkpoint.step)")))
                // The peers' views of who is alive may still differ for a moment.
                try await Task.sleep(for: .seconds(1))
            }
        }
    }

    private struct AttemptFailure: Error {
        let error: JobRunError
        let lost: PeerID?

        var canRetry: Bool {
            switch error.reason {
            case .peerLost, .dataUnavailable, .workerFailed: true
            case .cancelled, .refused, .protocolViolation, .diverged: false
            }
        }
    }

    // MARK: Before the first step

    private func announce(
        _ spec: JobSpec, _ batches: TokenBatches, _ report: (TrainEvent) -> Void
    ) async throws {
        report(
            .accepted(
                .init(
                    job: spec.name, coordinator: signer.peer.description,
                    coordinatorName: await port.name(signer.peer), steps: Int(spec.steps),
                    parameterCount: try spec.model.configuration().parameterCount,
                    trainingBytes: batches.training.count, validationBytes: batches.validation.count)))
    }

    /// The initial weights as shards, one a layer, so that every stage can fetch just its own.
    private func initialCheckpoint(_ spec: JobSpec, _ batches: TokenBatches) async throws -> CheckpointManifest {
        let whole = try TrainingStage(
            spec: spec, layers: 0..<spec.model.layers, microBatches: 0..<spec.microBatchCount, data: batches)
        var parts: [CheckpointPart] = []
        let units = [ModelPart.tokenEmbedding] + (0..<spec.model.layers).map { .layers($0..<($0 + 1)) }
        for (unit, bytes) in zip(units, try whole.export(units)) {
            var part = try await port.store("\(spec.name) initial \(unit)", bytes)
            part.part = unit
            parts.append(part)
        }
        guard let manifest = CheckpointManifest(step: 0, spec: spec, parts: parts) else {
            throw JobRunError(.workerFailed, "the initial weights could not be stored whole")
        }
        return manifest
    }

    // MARK: One attempt

    private func perform(
        _ run: RunID, _ spec: JobSpec, _ data: ShardID, from checkpoint: inout CheckpointManifest,
        without lost: Set<PeerID>, _ progress: JobProgress, output: JobOutput,
        _ report: @escaping @Sendable (TrainEvent) -> Void
    ) async throws {
        let graph = try await measuredGraph(without: lost, report)
        let plan = try nextPlan(spec, graph, from: checkpoint.step)
        if let movement = plan.movement { report(.notice(.init(message: movement.description))) }
        report(.planned(plan.view))
        let preparation = JobPreparation(
            run: run, spec: spec, data: data, layout: plan.layout, plan: plan.report.plan.wireBytes,
            checkpoint: checkpoint, signer: signer)
        let workers = plan.layout.peers
        for worker in workers { names[worker] = await port.name(worker) }
        do {
            for worker in workers { try await send(.prepare(preparation), to: worker) }
            try await awaitReady(run, spec, workers, report)
            planInForce = plan.report.plan
            report(
                .ready(
                    .init(
                        stages: plan.layout.pipelines.map(\.stages.count).max() ?? 1,
                        replicas: plan.layout.pipelines.count, firstStep: Int(checkpoint.step) + 1)))
            for worker in workers { try await send(.begin(run, steps: checkpoint.step..<spec.steps), to: worker) }
            try await follow(run, spec, plan, from: &checkpoint, progress, output: output, report)
            for worker in workers { try? await port.send(.finish(run), worker) }
        } catch {
            // All at once, and not to the peer that is gone: an unreachable peer takes seconds to be given up.
            let (port, gone) = (port, (error as? AttemptFailure)?.lost)
            await withTaskGroup(of: Void.self) { group in
                for worker in workers where worker != gone {
                    group.addTask {
                        try? await port.send(.abort(run, .cancelled, detail: "the coordinator ended the run"), worker)
                    }
                }
            }
            throw error
        }
    }

    /// The first plan, or the one that follows the plan in force with little movement.
    private func nextPlan(_ spec: JobSpec, _ graph: LinkGraph, from step: UInt64) throws -> JobPlan {
        let limit = Self.planningTime
        if let planInForce {
            do {
                return try JobPlan(
                    spec: spec, graph: graph, after: planInForce, steps: spec.steps - step, timeLimit: limit)
            } catch let error as PlanningError {
                log.info("The plan in force cannot be mended", metadata: ["reason": "\(error)"])
            }
        }
        return try JobPlan(spec: spec, graph: graph, timeLimit: limit)
    }

    /// The graph, once every link of it is measured or predicted: a job may be given to a swarm that has only just met.
    private func measuredGraph(
        without lost: Set<PeerID>, _ report: (TrainEvent) -> Void
    ) async throws -> LinkGraph {
        let start = port.now()
        var isTold = false
        while true {
            let graph = try await port.graph(lost)
            let unknown = graph.coverage.unknown
            // After that long the planner says itself which link is missing.
            guard unknown > 0 || graph.count == 0, port.now() - start < Self.measurementPatience else { return graph }
            if !isTold { report(.notice(.init(message: "waiting for the peers to measure \(unknown) links"))) }
            isTold = true
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    private func name(_ peer: PeerID) async -> String {
        if let known = names[peer] { return known }
        return await port.name(peer)
    }

    private func send(_ message: JobMessage, to peer: PeerID) async throws {
        do { try await port.send(message, peer) } catch {
            let name = await name(peer)
            throw AttemptFailure(error: JobRunError(.peerLost, "\(name) cannot be reached (\(error))"), lost: peer)
        }
    }

    /// The next message of the run; throws when the run cannot go on, or when nothing comes for as long as `patience`.
    private func next(_ run: RunID, workers: [PeerID], patience: Duration) async throws -> (PeerID, JobMessage) {
        waits += 1
        let (wait, mailbox, own) = (waits, mailbox, signer.peer)
        let alarm = Task {
            try await Task.sleep(for: patience)
            await mailbox.deposit(.timedOut(wait: wait), from: own, lane: 1)
        }
        defer { alarm.cancel() }
        while true {
            guard let delivery = await mailbox.next() else { throw ended() }
            switch delivery.message {
            case .cancelled: throw ended()
            case .timedOut(let late):
                guard late == wait else { continue }
                let waited = Int(patience.seconds)
                throw AttemptFailure(
                    error: JobRunError(.workerFailed, "no peer reported anything for \(waited) s"), lost: nil)
            case .lost(let peer) where workers.contains(peer):
                let name = await name(peer)
                throw AttemptFailure(error: JobRunError(.peerLost, "\(name) is gone"), lost: peer)
            case .lost: continue
            case .message(let message):
                guard message.run == run, workers.contains(delivery.from) else { continue }
                if case .abort(_, let reason, let detail) = message {
                    let name = await name(delivery.from)
                    throw AttemptFailure(error: JobRunError(reason, "\(name): \(detail)"), lost: nil)
                }
                return (delivery.from, message)
            }
        }
    }

    private func ended() -> AttemptFailure {
        AttemptFailure(error: JobRunError(.cancelled, "the job was ended"), lost: nil)
    }

    private func awaitReady(
        _ run: RunID, _ spec: JobSpec, _ workers: [PeerID], _ report: (TrainEvent) -> Void
    ) async throws {
        var waiting = Set(workers)
        while !waiting.isEmpty {
            let (peer, message) = try await next(run, workers: workers, patience: Self.preparationPatience)
            switch message {
            case .ready: waiting.remove(peer)
            case .progress(_, let done, let total):
                report(
                    .fetching(
                        .init(
                            peer: peer.description, peerName: await name(peer), shard: "", shardName: spec.name,
                            doneBytes: done, totalBytes: total, sources: workers.count)))
            default: log.debug("unexpected message before a run", metadata: ["from": "\(peer.short)"])
            }
        }
    }

    /// Follows the steps to the end of the job.
    private func follow(
        _ run: RunID, _ spec: JobSpec, _ plan: JobPlan, from checkpoint: inout CheckpointManifest,
        _ progress: JobProgress, output: JobOutput, _ report: (TrainEvent) -> Void
    ) async throws {
        let workers = plan.layout.peers
        var steps = StepFollower(spec: spec, layout: plan.layout, firstStep: checkpoint.step)
        // A lost message would otherwise hang the job for ever. Until the first step is done nobody knows how long one takes.
        var patience = Self.firstStepPatience
        while !steps.isFinished {
            let (peer, message) = try await next(run, workers: workers, patience: patience)
            let outcomes: [StepFollower.Outcome]
            do { outcomes = try steps.take(message, from: peer) } catch {
                throw AttemptFailure(error: error, lost: nil)
            }
            for outcome in outcomes {
                switch outcome {
                case .step(let step, let loss, let elapsed):
                    patience = max(Self.preparationPatience * 2, elapsed * 20)
                    let event = progress.step(
                        step, loss: loss, elapsed: elapsed, predicted: plan.report.plan.predictedIterationSeconds)
                    try output.append(event)
                    report(.step(event))
                case .validation(let step, let loss): report(.validation(progress.validation(step, loss: loss)))
                case .checkpoint(let manifest):
                    report(.checkpoint(try await save(run, manifest, workers, output)))
                    checkpoint = manifest
                }
            }
        }
        report(.finished(progress.finished(at: port.now(), output: output)))
    }

    /// Fetches a checkpoint's parts, so that this node holds a second copy, and writes them out.
    private func save(
        _ run: RunID, _ manifest: CheckpointManifest, _ workers: [PeerID], _ output: JobOutput
    ) async throws -> TrainEvent.Checkpoint {
        var files: [(part: ModelPart, bytes: [UInt8])] = []
        do {
            for part in manifest.parts { files.append((part.part, try await port.fetch(part.shard, part.holders))) }
        } catch { throw AttemptFailure(error: JobRunError(.dataUnavailable, "\(error)"), lost: nil) }
        for worker in workers { try await send(.checkpoint(run, manifest), to: worker) }
        let path = try output.save(manifest, parts: files)
        var holders: Set<PeerID> = [signer.peer]
        for part in manifest.parts { holders.formUnion(part.holders) }
        var names: [String] = []
        for holder in holders.sorted() { names.append(await name(holder)) }
        return TrainEvent.Checkpoint(
            step: Int(manifest.step), path: path, shard: nil,
            bytes: manifest.parts.reduce(0) { $0 + $1.byteCount }, holders: names)
    }
}
