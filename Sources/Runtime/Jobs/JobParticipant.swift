internal import Compute
package import Logging
package import Pipeline
package import Primitives
package import Shards
internal import Wire

/// Takes part in other peers' jobs: prepares stages, runs them and lets them go.
///
/// A node works on one run at a time. A newer attempt of the same job replaces the older one; a second job is refused with
/// a clear reason until the first is over.
package actor JobParticipant {
    /// What a participant needs of its node.
    package struct Port: Sendable {
        /// Sends a job message in a traffic class; suspends while the peer reads slowly.
        package var send: @Sendable (JobMessage, JobLane) async throws -> Void
        /// The bytes of a shard, from the store or from peers that may have it; reports bytes done and in all.
        package var fetch:
            @Sendable (ShardID, [PeerID], @escaping @Sendable (UInt64, UInt64) -> Void) async throws -> [UInt8]
        /// Stores a checkpoint's part as a shard.
        package var store: @Sendable (String, [UInt8]) async throws -> CheckpointPart
        /// Whether a peer is a live member.
        package var isAlive: @Sendable (PeerID) async -> Bool
        package var now: @Sendable () -> Instant

        package init(
            send: @escaping @Sendable (JobMessage, JobLane) async throws -> Void,
            fetch:
                @escaping @Sendable (ShardID, [PeerID], @escaping @Sendable (UInt64, UInt64) -> Void) async throws ->
                [UInt8],
            store: @escaping @Sendable (String, [UInt8]) async throws -> CheckpointPart,
            isAlive: @escaping @Sendable (PeerID) async -> Bool, now: @escaping @Sendable () -> Instant
        ) {
            self.send = send
            self.fetch = fetch
            self.store = store
            self.isAlive = isAlive
            self.now = now
        }
    }

    private final class Run {
        let preparation: JobPreparation
        let position: PipelineLayout.Position
        let mailbox: JobMailbox<JobMessage>
        let queues: SendQueues<JobLane, JobMessage>
        var worker: JobWorker?
        var task: Task<Void, Never>?
        var stepsDone: UInt64

        init(
            _ preparation: JobPreparation, _ position: PipelineLayout.Position, _ mailbox: JobMailbox<JobMessage>,
            _ queues: SendQueues<JobLane, JobMessage>
        ) {
            self.preparation = preparation
            self.position = position
            self.mailbox = mailbox
            self.queues = queues
            stepsDone = preparation.firstStep
        }
    }

    private let signer: Signer
    private let port: Port
    private let log: Logger
    private var current: Run?

    package init(signer: Signer, port: Port, log: Logger) {
        self.signer = signer
        self.port = port
        self.log = log
    }

    /// What the node works on, for `weft status`.
    package var view: JobView? {
        current.map { run in
            let layers = run.position.layers
            let place = "stage \(run.position.stage + 1) of \(run.position.stageCount)"
            return JobView(
                name: run.preparation.spec.name, coordinator: run.preparation.coordinator,
                role: "\(place), layers \(layers.lowerBound)-\(layers.upperBound - 1)", step: Int(run.stepsDone),
                steps: Int(run.preparation.spec.steps))
        }
    }

    /// Handles a message meant for a worker. Returns when there is room for the next one of its stream.
    package func receive(_ message: JobMessage, from peer: PeerID, trafficClass: TrafficClass) async {
        if case .prepare(let preparation) = message { return await prepare(preparation, from: peer) }
        guard let run = current, run.preparation.run == message.run else { return }
        let isFromCoordinator = peer == run.preparation.coordinator
        switch message {
        case .begin(_, let steps) where isFromCoordinator: begin(run, steps)
        case .finish where isFromCoordinator, .abort where isFromCoordinator: await end(run)
        case .checkpoint where isFromCoordinator: break
        case .activation, .activationGradient, .reducePart, .reducedPart, .tiedGradient:
            guard run.preparation.layout.position(of: peer) != nil else { return }
            await run.mailbox.deposit(message, from: peer, lane: Int(trafficClass.rawValue))
        default: log.debug("ignored a job message", metadata: ["from": "\(peer.short)"])
        }
    }

    /// A coordinator that is gone cannot end its run any more.
    package func peerLost(_ peer: PeerID) async {
        if let run = current, run.preparation.coordinator == peer { await end(run) }
    }

    /// Ends whatever runs, as on shutdown.
    package func stop() async {
        if let run = current { await end(run) }
    }

    // MARK: Life of a run

    private func prepare(_ preparation: JobPreparation, from peer: PeerID) async {
        let lane = JobLane(peer: peer, trafficClass: .control)
        func refuse(_ reason: JobMessage.AbortReason, _ detail: String) async {
            try? await self.port.send(.abort(preparation.run, reason, detail: detail), lane)
        }
        guard preparation.isAcceptable(from: peer, signer), let position = preparation.layout.position(of: signer.peer)
        else { return await refuse(.refused, "the preparation's signature or layout is not valid") }
        for member in preparation.layout.peers where member != signer.peer {
            guard await port.isAlive(member) else {
                // Views of who is alive differ for a moment after a change: worth another attempt.
                return await refuse(.peerLost, "the layout names peer \(member.short), which is not alive here")
            }
        }
        // From here to `current = run` nothing is awaited, so that two coordinators cannot both find the node free.
        let old = current
        if let busy = old {
            guard busy.preparation.run.job == preparation.run.job, busy.preparation.run < preparation.run else {
                return await refuse(.refused, "it is working on the job '\(busy.preparation.spec.name)' already")
            }
        }
        let (port, runID) = (port, preparation.run)
        let mailbox = JobMailbox<JobMessage>(capacityPerLane: 64 + 4 * preparation.spec.microBatchCount)
        let queues = SendQueues<JobLane, JobMessage>(
            send: { lane, message in try await port.send(message, lane) },
            onFailure: { failed, error in
                Task { [weak self] in
                    let detail = "peer \(failed.peer.short) cannot be reached: \(error)"
                    await self?.fail(runID, JobRunError(.peerLost, detail))
                }
            })
        let run = Run(preparation, position, mailbox, queues)
        current = run
        if let old { await end(old) }
        guard current === run else { return }
        run.task = Task { await self.load(run) }
    }

    /// Fetches data and weights, builds the stage and says so.
    private func load(_ run: Run) async {
        let (preparation, position, port) = (run.preparation, run.position, port)
        let lane = JobLane(peer: preparation.coordinator, trafficClass: .control)
        let peers = [preparation.coordinator] + preparation.layout.peers.filter { $0 != preparation.coordinator }
        let progress = FetchProgress(run: preparation.run) { message in try? await port.send(message, lane) }
        do {
            let sources = peers.filter { $0 != signer.peer }
            var batches: TokenBatches?
            if position.isFirst || position.isLast {
                let text = try await port.fetch(preparation.data, sources) { progress.update("data", $0, $1) }
                batches = try preparation.spec.batches(of: text)
            }
            var files: [SafetensorsFile] = []
            for part in preparation.checkpoint?.parts(forLayers: position.layers) ?? [] {
                let holders = part.holders + sources.filter { !part.holders.contains($0) }
                let bytes = try await port.fetch(part.shard, holders) { progress.update("\(part.part)", $0, $1) }
                files.append(try SafetensorsFile(bytes))
            }
            let stage = try TrainingStage(
                spec: preparation.spec, layers: position.layers, microBatches: position.microBatches,
                data: batches)
            if let checkpoint = preparation.checkpoint { try stage.restore(files, step: checkpoint.step) }
            await progress.finish()
            guard current === run else { return }
            let worker = JobWorker(
                preparation: preparation, position: position, peer: signer.peer, stage: stage, mailbox: run.mailbox,
                queues: run.queues, store: port.store, now: port.now)
            guard let worker else { throw JobRunError(.refused, "the layout's parts do not fit its stages") }
            run.worker = worker
            try await port.send(.ready(preparation.run), lane)
        } catch {
            await progress.finish()
            await fail(run, error)
        }
    }

    private func begin(_ run: Run, _ steps: Range<UInt64>) {
        guard let worker = run.worker else { return }
        let loading = run.task
        run.task = Task {
            await loading?.value
            do {
                for step in steps {
                    try await worker.perform(steps: step..<(step + 1))
                    run.stepsDone = step + 1
                }
                await run.queues.drain()
            } catch { await self.fail(run, error) }
        }
    }

    private func fail(_ id: RunID, _ error: JobRunError) async {
        if let run = current, run.preparation.run == id { await fail(run, error) }
    }

    /// What an error means for the job: whether it can be tried again depends on it.
    private static func reason(of error: any Error) -> JobMessage.AbortReason {
        switch error {
        case let error as JobRunError: error.reason
        case TrainingError.diverged: .diverged
        case is WireError: .protocolViolation
        case is ShardServiceError: .dataUnavailable
        default: .workerFailed
        }
    }

    private func fail(_ run: Run, _ error: any Error) async {
        guard current === run else { return }
        let reason = Self.reason(of: error)
        guard reason != .cancelled else { return await end(run) }
        log.warning("job failed here", metadata: ["job": "\(run.preparation.spec.name)", "reason": "\(error)"])
        let lane = JobLane(peer: run.preparation.coordinator, trafficClass: .control)
        try? await port.send(.abort(run.preparation.run, reason, detail: "\(error)"), lane)
        await end(run)
    }

    private func end(_ run: Run) async {
        if current === run { current = nil }
        run.task?.cancel()
        await run.mailbox.close()
        await run.queues.close()
    }
}

/// Tells the coordinator how much has been fetched, every 256 KiB and at the end of each part.
private final class FetchProgress: Sendable {
    private let updates: AsyncStream<(String, UInt64, UInt64)>.Continuation
    private let reporter: Task<Void, Never>

    init(run: RunID, send: @escaping @Sendable (JobMessage) async -> Void) {
        let (stream, continuation) = AsyncStream.makeStream(of: (String, UInt64, UInt64).self)
        updates = continuation
        reporter = Task {
            var parts: [String: (done: UInt64, total: UInt64)] = [:]
            var reported: UInt64 = 0
            for await (part, done, total) in stream {
                parts[part] = (done, total)
                let sum = parts.values.reduce((done: UInt64(0), total: UInt64(0))) {
                    ($0.done + $1.done, $0.total + $1.total)
                }
                // Every 256 KiB and at the end of each part is often enough for a progress bar.
                guard sum.done >= reported + (256 << 10) || done == total else { continue }
                reported = sum.done
                await send(.progress(run, done: sum.done, total: sum.total))
            }
        }
    }

    func update(_ part: String, _ done: UInt64, _ total: UInt64) { updates.yield((part, done, total)) }

    func finish() async {
        updates.finish()
        await reporter.value
    }
}
