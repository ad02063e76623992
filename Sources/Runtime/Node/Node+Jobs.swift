internal import Compute
internal import Foundation
internal import Logging
internal import NIOCore
internal import Noise
internal import Overlay
internal import Pipeline
internal import Primitives
internal import Shards
internal import Topology
internal import Wire

extension Node {
    /// A stream message that has arrived; the next of its stream waits until this returns.
    func receive(_ message: ByteBuffer, from peer: PeerID, trafficClass: TrafficClass) async {
        let bytes = Array(message.readableBytesView)
        if trafficClass == .shards {
            await shardService.receive(bytes, from: peer)
        } else if let message = try? JobMessage(wireBytes: bytes) {
            await deliver(message, from: peer, trafficClass: trafficClass)
        } else {
            log.debug("dropped a job message that cannot be read", metadata: ["from": "\(peer.short)"])
        }
    }

    private func deliver(_ message: JobMessage, from peer: PeerID, trafficClass: TrafficClass) async {
        let coordinator = coordinators.first { $0.coordinates(message.run) }
        switch message {
        case .progress, .ready, .losses, .stepDone, .checkpointPart:
            guard let coordinator else { return await sendOver(message.run, to: peer) }
            await coordinator.mailbox.deposit(.message(message), from: peer, lane: Int(trafficClass.rawValue) + 2)
        case .abort where coordinator != nil && peer != identity.peer:
            await coordinator?.mailbox.deposit(.message(message), from: peer, lane: Int(trafficClass.rawValue) + 2)
        default: await participant?.receive(message, from: peer, trafficClass: trafficClass)
        }
    }

    /// Tells a worker that goes on with a run which this node does not coordinate any more: else it would stay busy for ever.
    private func sendOver(_ run: RunID, to peer: PeerID) async {
        let message = JobMessage.abort(run, .cancelled, detail: "this run is over")
        if peer == identity.peer {
            await participant?.receive(message, from: peer, trafficClass: .control)
        } else {
            let hub = hub
            Task { try? await hub.send(message.wireBytes, to: peer, class: .control) }
        }
    }

    /// Sends a job message; to this node itself without a detour.
    private func send(_ message: JobMessage, on lane: JobLane) async throws {
        if lane.peer == identity.peer {
            if case .abort = message, let own = coordinators.first(where: { $0.coordinates(message.run) }) {
                // An abort to oneself is from the worker to the coordinator or the other way round: both want it.
                await own.mailbox.deposit(.message(message), from: identity.peer, lane: 2)
                await participant?.receive(message, from: identity.peer, trafficClass: lane.trafficClass)
            } else {
                await deliver(message, from: identity.peer, trafficClass: lane.trafficClass)
            }
        } else {
            try await hub.send(message.wireBytes, to: lane.peer, class: lane.trafficClass)
        }
    }

    private func store(_ name: String, _ bytes: [UInt8]) async throws -> CheckpointPart {
        let manifest = try shardStore.add(bytes, name: name)
        return CheckpointPart(
            part: .tokenEmbedding, shard: manifest.id, byteCount: UInt64(bytes.count), holders: [identity.peer])
    }

    /// The whole of a shard, fetched first if it is not here.
    private func bytes(
        of id: ShardID, from sources: [PeerID], progress: @escaping @Sendable (UInt64, UInt64) -> Void
    ) async throws -> [UInt8] {
        _ = try await shardService.fetch(id, from: sources) { progress($0.doneBytes, $0.totalBytes) }
        guard let bytes = try shardStore.contents(of: id) else {
            throw ShardServiceError.unavailable(id, missingPieces: nil)
        }
        return bytes
    }

    func participantPort() -> JobParticipant.Port {
        JobParticipant.Port(
            send: { [weak self] message, lane in try await self?.send(message, on: lane) },
            fetch: { [weak self] id, sources, progress in
                guard let self else { throw CancellationError() }
                return try await self.bytes(of: id, from: sources, progress: progress)
            },
            store: { [weak self] name, bytes in
                guard let self else { throw CancellationError() }
                return try await self.store(name, bytes)
            },
            isAlive: { [driver] peer in
                (try? await driver.read { $0.member(peer)?.state.isLive ?? false }) ?? false
            }, now: { MonotonicClock.now })
    }

    private func coordinatorPort() -> JobCoordinator.Port {
        let own = identity.peer
        return JobCoordinator.Port(
            send: { [weak self] message, peer in
                try await self?.send(message, on: JobLane(peer: peer, trafficClass: .control))
            },
            graph: { [weak self] lost in
                guard let self else { throw CancellationError() }
                return try await self.completedGraph(without: lost)
            },
            name: { [weak self] peer in await self?.name(of: peer) ?? peer.short },
            fetch: { [weak self] id, holders in
                guard let self else { throw CancellationError() }
                return try await self.bytes(of: id, from: holders.filter { $0 != own }) { _, _ in }
            },
            store: { [weak self] name, bytes in
                guard let self else { throw CancellationError() }
                return try await self.store(name, bytes)
            }, now: { MonotonicClock.now })
    }

    /// Trains a job over the swarm with this node as its coordinator.
    package func train(_ request: TrainRequest) async throws -> AsyncThrowingStream<TrainEvent, any Error> {
        let prepared = try await prepare(request)
        let jobID = SystemEntropy().seed()
        let coordinator = JobCoordinator(jobID: jobID, signer: identity.signer, port: coordinatorPort(), log: log)
        coordinators.append(coordinator)
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: TrainEvent.self, throwing: (any Error).self)
        let own = identity.peer
        Task {
            do {
                try await coordinator.train(
                    spec: prepared.spec, text: prepared.text, resume: prepared.resume, output: prepared.output
                ) { continuation.yield($0) }
                continuation.finish()
            } catch { continuation.finish(throwing: NodeControlError(.failed, "\(error)")) }
            self.forget(coordinator)
        }
        continuation.onTermination = { reason in
            guard case .cancelled = reason else { return }
            Task { await coordinator.mailbox.deposit(.cancelled, from: own, lane: 0) }
        }
        return stream
    }

    private func forget(_ coordinator: JobCoordinator) { coordinators.removeAll { $0 === coordinator } }

    private struct PreparedJob: Sendable {
        let spec: JobSpec
        let text: [UInt8]
        let resume: CheckpointManifest?
        let output: JobOutput
    }

    private func prepare(_ request: TrainRequest) async throws -> PreparedJob {
        do {
            let document = try JobDocument(json: request.document)
            let spec = try document.spec()
            let path = document.data.hasPrefix("/") ? document.data : request.workingDirectory + "/" + document.data
            let text = try TextCorpus(contentsOf: path).bytes
            let directory = request.outputDirectory ?? "\(configuration.state.jobsPath)/\(spec.name)"
            let output = try JobOutput(path: directory)
            guard let from = request.resumeFrom else {
                return PreparedJob(spec: spec, text: text, resume: nil, output: output)
            }
            let checkpoint = try CheckpointDirectory.open(from)
            for (part, file) in zip(checkpoint.manifest.parts, checkpoint.files) {
                _ = try await store("\(spec.name) resumed \(part.part)", file.bytes)
            }
            var resume = checkpoint.manifest
            resume.parts = resume.parts.map { part in
                var held = part
                held.holders = [identity.peer]
                return held
            }
            return PreparedJob(spec: spec, text: text, resume: resume, output: output)
        } catch let error as NodeControlError {
            throw error
        } catch { throw NodeControlError(.invalidRequest, "\(error)") }
    }
}
