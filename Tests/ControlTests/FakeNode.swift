import Primitives
import Runtime
import Synchronization
import Testing

/// A node that answers with fixed values and remembers what it was asked.
final class FakeNode: NodeControl {
    static let peer: PeerID = {
        guard let peer = PeerID(bytes: [UInt8](repeating: 7, count: 32)) else { preconditionFailure("32 bytes") }
        return peer
    }()

    /// How often a stream was ended by its consumer.
    let cancellations = Mutex(0)
    let calls = Mutex<[String]>([])

    private func note(_ call: String) { calls.withLock { $0.append(call) } }

    func status() async throws -> NodeStatus {
        NodeStatus(
            peer: Self.peer, name: "loom", swarm: "weavers", version: "1", processID: 1, stateDirectory: "/x",
            uptimeSeconds: 2.5, listenAddress: "127.0.0.1:1", addresses: ["127.0.0.1:1"], alivePeers: 1, knownPeers: 1,
            graphDigest: "d", measuredLinks: 0, totalLinks: 0, capability: capability, traffic: TrafficView())
    }

    private var capability: CapabilityView {
        CapabilityView(
            cores: 2, memoryBytes: 1 << 33, flopsPerSecond: 1e11, diskFreeBytes: 1 << 40, gpus: [], onBattery: false,
            coordinator: true, version: "1")
    }

    func peers() async throws -> PeerListing {
        PeerListing(peers: [
            PeerView(
                peer: Self.peer, name: "loom", state: .alive, isSelf: true, address: nil, roundTripSeconds: nil,
                stateSeconds: 1, incarnation: 9, capability: capability)
        ])
    }

    func admissions() async throws -> AdmissionListing {
        AdmissionListing(founder: nil, isFounder: false)
    }

    func admit(_ request: AdmissionRequest) async throws -> AdmissionView {
        AdmissionView(peer: Self.peer, name: request.peer, state: .admitted)
    }

    func revoke(_ request: AdmissionRequest) async throws -> AdmissionView {
        AdmissionView(peer: Self.peer, name: request.peer, state: .revoked)
    }

    func graph() async throws -> GraphView { GraphView(digest: "d", peers: [], links: []) }

    func ping(_ request: PingRequest) async throws -> AsyncThrowingStream<PingReply, any Error> {
        AsyncThrowingStream { continuation in
            let task = Task {
                var sequence = 0
                while !Task.isCancelled, sequence < request.count ?? .max {
                    continuation.yield(PingReply(sequence: sequence, address: nil, roundTripSeconds: 0.001))
                    sequence += 1
                    try await Task.sleep(for: .seconds(request.intervalSeconds))
                }
                continuation.finish()
            }
            continuation.onTermination = { [self] reason in
                task.cancel()
                if case .cancelled = reason { cancellations.withLock { $0 += 1 } }
            }
        }
    }

    func probe(_ request: ProbeRequest) async throws -> ProbeReport {
        throw NodeControlError(.notFound, "no peer \(request.peer.prefix(10))")
    }

    func plan(_ request: PlanRequest) async throws -> PlanView {
        note("plan \(request.objective) \(request.seed)")
        return PlanView(
            objective: .init(name: request.objective, seconds: 1.5, parts: ["compute": 1]), lowerBoundSeconds: 1,
            seed: request.seed, elapsedSeconds: 0.1, graphDigest: "d",
            pipelines: [[.init(peer: "p", name: "loom", stage: 0, firstLayer: 0, layerCount: 4, microBatches: 8)]],
            spares: [])
    }

    func train(_ request: TrainRequest) async throws -> AsyncThrowingStream<TrainEvent, any Error> {
        guard request.document != "busy" else { throw NodeControlError(.conflict, "a job runs already") }
        return AsyncThrowingStream { continuation in
            continuation.yield(
                .step(
                    .init(
                        step: 1, steps: 2, loss: 5.5, learningRate: 0.1, tokensPerSecond: 10, iterationSeconds: 0.5,
                        predictedIterationSeconds: nil)))
            continuation.yield(.notice(.init(message: "a peer was lost")))
            continuation.finish(throwing: NodeControlError(.failed, "too few peers\nare left"))
        }
    }

    func addShard(_ request: ShardAddRequest) async throws -> AsyncThrowingStream<ShardEvent, any Error> {
        AsyncThrowingStream { continuation in
            for done in 0..<100 as Range<UInt64> {
                continuation.yield(
                    .progress(.init(doneBytes: done, totalBytes: 100, bytesPerSecond: 1, sources: 0)))
            }
            continuation.yield(
                .finished(ShardView(shard: "s", name: request.path, bytes: 100, pieces: 1, heldPieces: 1)))
            continuation.finish()
        }
    }

    func fetchShard(_ request: ShardFetchRequest) async throws -> AsyncThrowingStream<ShardEvent, any Error> {
        AsyncThrowingStream { $0.finish() }
    }

    func shards() async throws -> ShardListing { ShardListing(shards: []) }
    func leave() async throws { note("leave") }
    func shutdown() async throws { note("shutdown") }

    func refreshMetrics() async { note("metrics") }
}
