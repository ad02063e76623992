import Primitives
import Runtime
import Shards
import Synchronization
import Testing
import Wire

/// Services that reach each other in memory.
private final class MemoryNetwork: Sendable {
    struct Unreachable: Error {}

    private let services = Mutex<[PeerID: ShardService]>([:])
    private let corrupting = Mutex<Set<PeerID>>([])
    private let sent = Mutex<[PeerID: Int]>([:])

    func attach(_ service: ShardService, as peer: PeerID) { services.withLock { $0[peer] = service } }
    func detach(_ peer: PeerID) { services.withLock { $0[peer] = nil } }
    func corrupt(_ peer: PeerID) { corrupting.withLock { _ = $0.insert(peer) } }
    func piecesSent(by peer: PeerID) -> Int { sent.withLock { $0[peer] ?? 0 } }

    func send(_ bytes: [UInt8], from: PeerID, to: PeerID) async throws {
        guard let service = services.withLock({ $0[from] == nil ? nil : $0[to] }) else { throw Unreachable() }
        var bytes = bytes
        if bytes.first == 5 {
            sent.withLock { $0[from, default: 0] += 1 }
            if corrupting.withLock({ $0.contains(from) }) { bytes[bytes.count - 1] ^= 1 }
        }
        await service.receive(bytes, from: from)
    }
}

@Suite("The shard service")
struct ShardServiceTests {
    private let directory: TemporaryDirectory
    private let network = MemoryNetwork()
    private let bytes = shardBytes(5_000_000, seed: 2)

    init() throws { directory = try TemporaryDirectory() }

    private func peer(_ index: Int) -> PeerID {
        guard let peer = PeerID(bytes: Array(repeating: UInt8(index), count: 32)) else { preconditionFailure() }
        return peer
    }

    /// A node that goes on without any source for as long as a busy machine may take, unless giving up is the point.
    private func node(
        _ index: Int, patience: Duration = .seconds(60)
    ) throws -> (store: ShardStore, service: ShardService) {
        let store = try ShardStore(path: directory.path + "/node\(index)")
        var configuration = ShardService.Configuration()
        configuration.tick = .milliseconds(5)
        configuration.retryAfter = .milliseconds(20)
        configuration.patience = patience
        configuration.fetch.requeryInterval = .milliseconds(10)
        let (network, own) = (network, peer(index))
        let service = ShardService(store: store, configuration: configuration) {
            try await network.send($0, from: own, to: $1)
        }
        network.attach(service, as: own)
        return (store, service)
    }

    @Test("fetches from one peer, with progress")
    func oneSource() async throws {
        let (source, sink) = (try node(1), try node(2))
        let manifest = try source.store.add(bytes, name: "data.bin")
        let recorded = RecordedProgress()
        let got = try await sink.service.fetch(manifest.id, from: [peer(1)]) { recorded.append($0) }
        #expect(got == manifest)
        #expect(try sink.store.contents(of: manifest.id) == bytes)
        let steps = recorded.all
        #expect(steps.last?.doneBytes == 5_000_000 && steps.last?.totalBytes == 5_000_000)
        #expect(zip(steps, steps.dropFirst()).allSatisfy { $0.doneBytes <= $1.doneBytes })
        #expect(network.piecesSent(by: peer(1)) == 5)
    }

    @Test("eight peers that fetch together feed each other, past one that corrupts and one that is gone")
    func together() async throws {
        let source = try node(1)
        let manifest = try source.store.add(bytes, name: "data.bin")
        let liar = try node(2)
        _ = try liar.store.add(bytes, name: "data.bin")
        network.corrupt(peer(2))
        let others = try (3...10).map { try node($0) }
        let everyone = (1...11).map(peer)  // peer 11 does not exist
        try await withThrowingTaskGroup(of: ShardManifest.self) { group in
            for other in others {
                let id = manifest.id
                group.addTask { try await other.service.fetch(id, from: everyone) }
            }
            for try await got in group { #expect(got == manifest) }
        }
        for other in others { #expect(try other.store.contents(of: manifest.id) == bytes) }
    }

    @Test("says what is missing when nobody has it, and resumes when someone does")
    func unavailable() async throws {
        let (partial, sink) = (try node(1), try node(2, patience: .milliseconds(400)))
        let manifest = try #require(ShardBuilder.manifest(name: "data.bin", bytes: bytes))
        await #expect(throws: ShardServiceError.unavailable(manifest.id, missingPieces: nil)) {
            try await sink.service.fetch(manifest.id, from: [peer(1)])
        }
        await #expect(throws: ShardServiceError.unavailable(manifest.id, missingPieces: nil)) {
            try await sink.service.fetch(manifest.id, from: [])
        }
        try partial.store.begin(manifest)
        for piece in 0..<3 {
            let range = manifest.byteRange(ofPiece: piece)
            try partial.store.store(
                Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)]), asPiece: piece, of: manifest.id)
        }
        let fetching = Task { try await sink.service.fetch(manifest.id, from: [peer(1)]) }
        while sink.store.heldPieces(of: manifest.id)?.heldCount != 3 { try await Task.sleep(for: .milliseconds(5)) }
        network.detach(peer(1))
        await sink.service.peerLost(peer(1))
        await #expect(throws: ShardServiceError.unavailable(manifest.id, missingPieces: 2)) { try await fetching.value }
        let full = try node(3)
        _ = try full.store.add(bytes, name: "data.bin")
        #expect(try await sink.service.fetch(manifest.id, from: [peer(3)]) == manifest)
        #expect(network.piecesSent(by: peer(3)) == 2, "only what was missing")
        #expect(try sink.store.contents(of: manifest.id) == bytes)
    }

    @Test("a cancelled fetch ends at once")
    func cancellation() async throws {
        let sink = try node(1)
        _ = try node(2)
        let manifest = try #require(ShardBuilder.manifest(name: "data.bin", bytes: bytes))
        let fetching = Task { try await sink.service.fetch(manifest.id, from: [peer(2)]) }
        try await Task.sleep(for: .milliseconds(20))
        fetching.cancel()
        await #expect(throws: ShardServiceError.cancelled) { try await fetching.value }
    }

    @Test("drops what is no message")
    func garbage() async throws {
        let node = try node(1)
        var generator = SeededGenerator(seed: 3)
        for length in 0..<200 {
            let bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            await node.service.receive(bytes, from: peer(2))
        }
        #expect(node.store.list.isEmpty)
    }
}

private final class RecordedProgress: Sendable {
    private let values = Mutex<[ShardProgress]>([])

    func append(_ progress: ShardProgress) { values.withLock { $0.append(progress) } }
    var all: [ShardProgress] { values.withLock { $0 } }
}
