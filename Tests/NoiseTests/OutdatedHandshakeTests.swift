import Noise
import Primitives
import Testing
import Wire

@Suite("Initiations of a peer whose clock is behind what others have seen of it")
struct OutdatedHandshakeTests {
    private let epoch: UInt64 = 1_700_000_000_000

    /// Two peers with a session, and the initiation that began it.
    private func afterFirstInitiation() throws -> (SessionNetwork, SessionNetwork.Datagram) {
        let net = try SessionNetwork()
        net.send("one", from: 0, to: 1)
        net.settle()
        return (net, try #require(net.recorded.first { $0.bytes.count == SessionMessage.initiationByteCount }))
    }

    @Test("A peer that comes back with an old clock is told, and has a session after one more round trip")
    func clockWentBack() throws {
        let net = try SessionNetwork()
        net.send("hello", from: 0, to: 1)
        net.settle()
        try net.restart(0, wallClockMilliseconds: epoch - 86_400_000)
        net.recorded = []
        net.now = net.now + .seconds(10)
        net.send("again", from: 0, to: 1)
        net.settle()
        #expect(net.texts(1) == ["hello", "again"], "no time has passed: \(net.recorded.map(\.bytes.count))")
        #expect(net.recorded.prefix(4).map(\.bytes.count) == [240, 181, 240, 172], "an answer exceeds its question")
        #expect(net.tables[0].counters.handshakesOutdated == 1)
        // What one peer said of the time is for that peer only.
        net.run(for: .seconds(600))
        net.send("still here", from: 0, to: 1)
        net.run(for: .seconds(1))
        #expect(net.texts(1).last == "still here", "the next keys were refused")
    }

    @Test("A recorded initiation begins nothing and is answered by what only its sender can read, up to a rate")
    func replay() throws {
        let (net, recorded) = try afterFirstInitiation()
        net.now = net.now + .seconds(1)
        net.handle(0, .renew(net.identities[1].peer))
        net.send("two", from: 0, to: 1)
        net.settle()
        net.recorded = []
        let established = net.established[1].count
        for _ in 0..<50 {
            net.handle(1, .datagram(recorded.bytes, from: recorded.from))
            net.settle()
        }
        #expect(net.recorded.map(\.bytes.count) == Array(repeating: 181, count: SessionConfiguration().refusalBurst))
        #expect(net.established[1].count == established)
        #expect(net.tables[0].counters.handshakesOutdated == 0, "an answer to an old question was believed")
        net.send("three", from: 0, to: 1)
        net.settle()
        #expect(net.texts(1) == ["one", "two", "three"], "a replay ended the session")
    }

    @Test("The newest initiation again gets no answer: it comes to several addresses of a peer")
    func copy() throws {
        let (net, recorded) = try afterFirstInitiation()
        net.recorded = []
        net.handle(1, .datagram(recorded.bytes, from: recorded.from))
        net.settle()
        #expect(net.recorded.isEmpty && net.tables[1].counters[.replayedInitiation] == 1)
    }

    @Test("Two processes with one identity and clocks a day apart take turns, with two handshakes at most")
    func turns() throws {
        let net = try SessionNetwork()
        net.send("hello", from: 0, to: 1)
        net.settle()
        for round in UInt64(1)...20 {
            try net.restart(0, wallClockMilliseconds: epoch + round % 2 * 86_400_000)
            net.now = net.now + .seconds(2)
            net.send("round \(round)", from: 0, to: 1)
            net.settle()
        }
        #expect(net.texts(1).count == 21)
        #expect(net.recorded.count { $0.bytes.count == 240 } <= 1 + 20 * 2)
    }
}
