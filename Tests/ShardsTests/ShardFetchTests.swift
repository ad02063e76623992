import Primitives
import Shards
import Testing
import Wire

/// A peer as the fetch meets it.
private struct Behaviour {
    var held: PieceBitmap
    /// Pieces of which it sends other bytes.
    var corrupts: Set<Int> = []
    /// Answers this many messages and then falls silent.
    var answersBeforeSilence = Int.max
    /// When the stream to it breaks.
    var leavesAt: Instant?
    var delay = Duration.milliseconds(20)
    var manifest: ShardManifest?
    /// Gains a missing piece each time it is asked what it has.
    var gains = false
}

private func peer(_ index: Int) -> PeerID {
    guard let peer = PeerID(bytes: Array(repeating: UInt8(index + 1), count: 32)) else { preconditionFailure() }
    return peer
}

/// Runs a fetch against sources in virtual time.
private struct Swarm {
    let bytes: [UInt8]
    let manifest: ShardManifest
    var fetch: ShardFetch
    var sources: [PeerID: Behaviour] = [:]
    var now = Instant(nanoseconds: 0)
    var sequence = 0
    var queue: [(at: Instant, sequence: Int, input: ShardFetch.Input)] = []
    var accepted: [Int: [UInt8]] = [:]
    var dropped: [PeerID: ShardFetch.SourceFailure] = [:]
    var requestsSent = 0
    var firstRequests: [Int] = []
    var outcome: ShardFetch.Effect?
    var starvedAt: Instant?

    mutating func add(_ index: Int, _ behaviour: Behaviour) {
        sources[peer(index)] = behaviour
        push(.addSource(peer(index)), after: .zero)
        if let leavesAt = behaviour.leavesAt { push(.removeSource(peer(index)), after: leavesAt - now) }
    }

    mutating func push(_ input: ShardFetch.Input, after delay: Duration) {
        queue.append((now + delay, sequence, input))
        sequence += 1
    }

    /// Until the fetch completes, or starves with nothing more to come.
    mutating func run(limit: Int = 20_000) {
        for _ in 0..<limit {
            let next = queue.indices.min { (queue[$0].at, queue[$0].sequence) < (queue[$1].at, queue[$1].sequence) }
            let deadline = fetch.nextDeadline
            var effects: [ShardFetch.Effect] = []
            if let next, deadline.map({ queue[next].at <= $0 }) ?? true {
                let event = queue.remove(at: next)
                now = event.at
                if case .message(_, let from) = event.input, sources[from] == nil { continue }
                if case .removeSource(let from) = event.input { sources[from] = nil }
                fetch.handle(event.input, at: now, into: &effects)
            } else if let deadline {
                now = max(now, deadline)
                fetch.handle(.timer, at: now, into: &effects)
            } else {
                return
            }
            for effect in effects { perform(effect) }
            if outcome == .completed { return }
            // A starved fetch goes on asking partial sources; two minutes without news are the end here.
            if let starvedAt, starvedAt + .seconds(120) < now { return }
        }
        Issue.record("the fetch neither completes nor starves")
    }

    private mutating func perform(_ effect: ShardFetch.Effect) {
        switch effect {
        case .send(let message, let to): answer(message, from: to)
        case .manifest(let received): #expect(received == manifest)
        case .accepted(let piece, let data):
            #expect(accepted[piece] == nil, "piece \(piece) was accepted twice")
            accepted[piece] = data
            starvedAt = nil
        case .dropped(let source, let failure): dropped[source] = failure
        case .completed: outcome = effect
        case .starved:
            outcome = effect
            starvedAt = now
        }
    }

    private mutating func answer(_ message: ShardMessage, from source: PeerID) {
        if case .request(_, let piece) = message {
            requestsSent += 1
            firstRequests.append(piece)
        }
        guard var behaviour = sources[source], behaviour.answersBeforeSilence > 0 else { return }
        behaviour.answersBeforeSilence -= 1
        if behaviour.gains, case .query = message, let piece = behaviour.held.missing.first {
            behaviour.held.insert(piece)
        }
        sources[source] = behaviour
        for answer in ShardServer.answers(to: message, from: Store(swarm: self, behaviour: behaviour)) {
            push(.message(answer, from: source), after: behaviour.delay)
        }
    }

    struct Store: ShardSource {
        let swarm: Swarm
        let behaviour: Behaviour

        func manifest(of shard: ShardID) -> ShardManifest? { behaviour.manifest ?? swarm.manifest }
        func heldPieces(of shard: ShardID) -> PieceBitmap? { behaviour.held }
        func bytes(of shard: ShardID, piece: Int) -> [UInt8]? {
            guard behaviour.held.contains(piece) else { return nil }
            var bytes = swarm.piece(piece)
            if behaviour.corrupts.contains(piece) { bytes[bytes.count / 3] ^= 0x40 }
            return bytes
        }
    }

    func piece(_ index: Int) -> [UInt8] {
        let range = manifest.byteRange(ofPiece: index)
        return Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)])
    }
}

@Suite("Fetching a shard")
struct ShardFetchTests {
    private static let bytes = pattern(6 * 1_048_576 + 1234, seed: 3)
    private static let manifest = ShardBuilder.manifest(name: "file", bytes: bytes)

    private static func swarm(
        resumed held: PieceBitmap? = nil, change: (inout ShardFetch.Configuration) -> Void = { _ in }
    ) throws -> Swarm {
        let manifest = try #require(Self.manifest)
        var configuration = ShardFetch.Configuration()
        change(&configuration)
        return Swarm(
            bytes: bytes, manifest: manifest,
            fetch: ShardFetch(
                shard: manifest.id, manifest: held == nil ? nil : manifest, held: held, configuration: configuration))
    }

    private static var full: PieceBitmap { PieceBitmap(pieceCount: 7, full: true) }

    private static func holding(_ pieces: [Int]) -> PieceBitmap {
        var bitmap = PieceBitmap(pieceCount: 7)
        for piece in pieces { bitmap.insert(piece) }
        return bitmap
    }

    private func expectComplete(_ swarm: Swarm) {
        #expect(swarm.outcome == .completed)
        #expect((0..<7).allSatisfy { swarm.accepted[$0] == swarm.piece($0) })
    }

    @Test("from one source asks once for everything")
    func oneSource() throws {
        var swarm = try Self.swarm()
        swarm.add(0, Behaviour(held: Self.full))
        swarm.run()
        expectComplete(swarm)
        #expect(swarm.requestsSent == 7)
    }

    @Test("whatever subset of sources lies, fails or leaves: complete and right, or the missing pieces named")
    func anyFailures() throws {
        var starvations = 0
        for seed in 0..<40 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var swarm = try Self.swarm { $0.seed = seed }
            var reachable = PieceBitmap(pieceCount: 7)
            for index in 0..<(1 + generator.index(below: 5)) {
                var behaviour = Behaviour(held: PieceBitmap(pieceCount: 7))
                for piece in 0..<7 where generator.unit() < 0.6 { behaviour.held.insert(piece) }
                behaviour.delay = .milliseconds(1 + generator.index(below: 3000))
                switch generator.index(below: 5) {
                case 0: behaviour.corrupts = [generator.index(below: 7)]
                case 1: behaviour.answersBeforeSilence = generator.index(below: 6)
                case 2: behaviour.leavesAt = Instant(nanoseconds: Int64(generator.index(below: 5_000_000_000)))
                case 3: behaviour.gains = true
                default: for piece in 0..<7 where behaviour.held.contains(piece) { reachable.insert(piece) }
                }
                if behaviour.gains { reachable = Self.full }
                swarm.add(index, behaviour)
            }
            swarm.run()
            for (piece, bytes) in swarm.accepted {
                #expect(bytes == swarm.piece(piece), "seed \(seed): piece \(piece) is not what was asked for")
            }
            if swarm.outcome == .completed {
                #expect(swarm.accepted.count == 7, "seed \(seed)")
            } else {
                starvations += 1
                let missing = (0..<7).filter { swarm.accepted[$0] == nil }
                let expected: [Int]? = swarm.fetch.manifest == nil ? nil : missing
                #expect(swarm.outcome == .starved(missing: expected), "seed \(seed)")
                #expect(missing.allSatisfy { !reachable.contains($0) }, "seed \(seed): an honest source had \(missing)")
            }
        }
        #expect((1..<40).contains(starvations), "the seeds must show both ends, not \(starvations) starvations")
    }

    @Test("takes the rarest piece first")
    func rarestFirst() throws {
        var swarm = try Self.swarm { $0.initialWindow = 1 }
        swarm.add(0, Behaviour(held: Self.holding([0, 1, 2, 3, 4, 5]), delay: .milliseconds(1)))
        swarm.add(1, Behaviour(held: Self.holding([0, 1, 2, 4, 5]), delay: .milliseconds(1)))
        swarm.add(2, Behaviour(held: Self.full, delay: .milliseconds(2)))
        swarm.run()
        expectComplete(swarm)
        #expect(swarm.firstRequests.prefix(4).contains(6), "piece 6 has one holder; asked: \(swarm.firstRequests)")
    }

    @Test("resumes from what is held")
    func resume() throws {
        var swarm = try Self.swarm(resumed: Self.holding([0, 1, 2, 5, 6]))
        swarm.add(0, Behaviour(held: Self.full))
        swarm.run()
        #expect(swarm.outcome == .completed)
        #expect(swarm.accepted.keys.sorted() == [3, 4])
    }

    @Test("drops a source that corrupts, and says which piece")
    func corruption() throws {
        var swarm = try Self.swarm()
        swarm.add(0, Behaviour(held: Self.full, corrupts: Set(0..<7)))
        swarm.add(1, Behaviour(held: Self.full, delay: .milliseconds(60)))
        swarm.run()
        expectComplete(swarm)
        guard case .corruptPiece = swarm.dropped[peer(0)] else {
            Issue.record("dropped for \(String(describing: swarm.dropped[peer(0)]))")
            return
        }
    }

    @Test("drops a source with another manifest")
    func wrongManifest() throws {
        var swarm = try Self.swarm()
        let other = ShardBuilder.manifest(name: "file", bytes: pattern(10))
        swarm.add(0, Behaviour(held: Self.full, manifest: other))
        swarm.run()
        #expect(swarm.dropped[peer(0)] == .wrongManifest)
        #expect(swarm.outcome == .starved(missing: nil))
    }

    @Test("asks a second source for the last pieces when the first is slow")
    func endgame() throws {
        var swarm = try Self.swarm()
        swarm.add(0, Behaviour(held: Self.full, delay: .milliseconds(20)))
        swarm.add(1, Behaviour(held: Self.full, delay: .seconds(25)))
        swarm.run()
        // The slow source needs 25 s for its query and 25 s for a piece; nobody waits for it.
        expectComplete(swarm)
        var late = try Self.swarm()
        late.add(0, Behaviour(held: Self.full, delay: .milliseconds(400)))
        late.add(1, Behaviour(held: Self.full, answersBeforeSilence: 1))
        late.run()
        expectComplete(late)
        #expect(late.now < Instant(nanoseconds: 5_000_000_000), "took until \(late.now)")
    }

    @Test("of an empty file is done with its manifest")
    func emptyFile() throws {
        let manifest = try #require(ShardBuilder.manifest(name: "empty", bytes: []))
        var fetch = ShardFetch(shard: manifest.id)
        var effects: [ShardFetch.Effect] = []
        fetch.handle(.addSource(peer(0)), at: Instant(nanoseconds: 0), into: &effects)
        fetch.handle(.message(.manifest(manifest), from: peer(0)), at: Instant(nanoseconds: 1), into: &effects)
        #expect(effects.last == .completed)
    }

    @Test("same seed, same conversation")
    func deterministic() throws {
        func conversation() throws -> [Int] {
            var swarm = try Self.swarm { $0.seed = 9 }
            for index in 0..<3 {
                swarm.add(index, Behaviour(held: Self.full, delay: .milliseconds(10 * (index + 1))))
            }
            swarm.run()
            return swarm.firstRequests
        }
        #expect(try conversation() == conversation())
    }
}
