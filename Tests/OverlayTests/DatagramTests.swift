import Overlay
import Primitives
import Testing
import Wire

@Suite("Parsing of overlay datagrams")
struct DatagramTests {
    /// One of every membership and gossip message.
    static var everyMessage: [OverlayMessage] {
        let accusation = Accusation(peer: Fixtures.peer(1), incarnation: 7, accuser: Fixtures.peer(2))
        var table = DigestTable()
        table.replace(Fixtures.peer(1), old: 0, new: 12345)
        let items = ItemDigests(
            mask: .max, range: 0...UInt64.max, items: [ItemDigests.Item(prefix: 5, hash: 6)])
        let membership: [MembershipMessage] = [
            .ping(sequence: 1, viewDigest: 2), .ack(sequence: 1, viewDigest: 2),
            .pingRequest(sequence: 3, target: Fixtures.peer(1), timeoutMilliseconds: 400),
            .relayedAck(sequence: 4), .nack(sequence: 5), .alive(Fixtures.record(1, incarnation: 9)),
            .suspect(accusation), .dead(accusation), .left(Farewell(incarnation: 3, signer: Fixtures.signer(1))),
            .join(Fixtures.record(2, incarnation: 1)), .stateRequest(after: nil, pages: 8),
            .stateRequest(after: Fixtures.peer(3), pages: 16),
            .statePage([Fixtures.record(1, incarnation: 9)], through: Fixtures.peer(1)), .statePage([], through: nil),
            .viewBuckets(table.digests), .viewItems(items), .viewRequest(prefixes: [1, 2, 3]),
        ]
        let gossip: [GossipMessage] = [
            .root(8), .entry(Fixtures.entry(1, .capability, version: 2, [1, 2, 3])), .buckets(table.digests),
            .owners(items),
            .versions(owner: Fixtures.peer(1), [EntryVersion(key: .links(page: 3), version: 4)]),
            .request(owner: Fixtures.peer(1), [.coordinate, .job(2)]),
        ]
        return membership.map { .membership($0) } + gossip.map { .gossip($0) }
    }

    private func bytes(_ message: OverlayMessage) -> [UInt8] {
        switch message {
        case .membership(let message): message.datagramBytes
        case .addresses(let message): message.datagramBytes
        case .gossip(let message): message.datagramBytes
        case .admission(let message): message.datagramBytes
        case .probing(let message): message.datagramBytes
        }
    }

    @Test("Every message survives its encoding, alone and among others")
    func roundTrip() throws {
        var all: [UInt8] = []
        for message in Self.everyMessage {
            #expect(try OverlayMessage.decode(bytes(message)) == [message])
            all += bytes(message)
        }
        #expect(try OverlayMessage.decode(all) == Self.everyMessage)
        #expect(try OverlayMessage.decode([]) == [])
    }

    @Test("A message cut anywhere is refused")
    func truncation() {
        for message in Self.everyMessage {
            let whole = bytes(message)
            for length in 1..<whole.count {
                #expect(throws: WireError.self, "\(message) cut to \(length)") {
                    try OverlayMessage.decode(Array(whole.prefix(length)))
                }
            }
        }
    }

    @Test(
        "Random and damaged bytes never do more than throw, and what is accepted is canonical",
        arguments: UInt64(1)...20)
    func damage(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let messages = Self.everyMessage.map(bytes)
        for round in 0..<300 {
            var input: [UInt8]
            if round.isMultiple(of: 3) {
                input = (0..<generator.index(below: 200)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
                if !input.isEmpty { input[0] = UInt8(generator.index(below: 0x30)) }
            } else {
                input = (0..<(1 + generator.index(below: 4)))
                    .flatMap { _ in messages[generator.index(below: messages.count)] }
                for _ in 0..<(1 + generator.index(below: 4)) {
                    input[generator.index(below: input.count)] = UInt8(truncatingIfNeeded: generator.next())
                }
            }
            guard let decoded = try? OverlayMessage.decode(input) else { continue }
            #expect(decoded.flatMap(bytes) == input, "seed \(seed), round \(round): two spellings of one message")
        }
    }

    @Test("A node survives any bytes from an insider, in bounded memory", arguments: UInt64(1)...4)
    func nodeUnderFire(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var node = OverlayNode(
            contact: Fixtures.contact(0), signer: Fixtures.signer(0), incarnation: 1000, seed: seed)
        var now = Instant.seconds(1)
        var effects: [OverlayEffect] = []
        node.handle(.start(known: []), at: now, into: &effects)
        let messages = Self.everyMessage.map(bytes)
        for _ in 0..<1500 {
            var input = (0..<(1 + generator.index(below: 5)))
                .flatMap { _ in messages[generator.index(below: messages.count)] }
            if generator.unit() < 0.5 {
                input[generator.index(below: input.count)] ^= 1 << UInt8(generator.index(below: 8))
            }
            effects = []
            now = now + .milliseconds(generator.index(below: 50))
            node.handle(.datagram(input, from: Fixtures.peer(1 + generator.index(below: 3))), at: now, into: &effects)
            for effect in effects {
                if case .send(let payload, _) = effect { #expect(payload.count <= Limits.datagramPayloadBytes) }
            }
            if let deadline = node.nextDeadline, deadline <= now { node.handle(.timer, at: now, into: &effects) }
        }
        #expect(node.members.count <= 6)
        #expect(node.counters[.malformed] > 0)
    }
}
