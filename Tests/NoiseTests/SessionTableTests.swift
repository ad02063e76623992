import Noise
import Primitives
import Testing
import Wire

@Suite struct SessionTableTests {
    @Test func payloadsSentBeforeTheSessionArriveInOrder() throws {
        let net = try SessionNetwork()
        for number in 0..<5 { net.send("m\(number)", from: 0, to: 1) }
        net.settle()
        #expect(net.texts(1) == ["m0", "m1", "m2", "m3", "m4"])
        #expect(net.established[0] == [net.identities[1].peer])
        #expect(net.established[1] == [net.identities[0].peer])
        net.send("back", from: 1, to: 0)
        net.settle()
        #expect(net.texts(0) == ["back"])
        #expect(net.recorded.count == 8, "initiation, response, five payloads and one back")
    }

    @Test func unknownPeersAndLongPayloadsFailAtOnce() throws {
        let net = try SessionNetwork(learns: false)
        net.send("x", from: 0, to: 1)
        #expect(net.failed[0].first?.1 == .unknownPeer)
        net.handle(0, .learn(net.contact(1)))
        net.handle(0, .send([UInt8](repeating: 0, count: Limits.datagramPayloadBytes + 1), to: net.identities[1].peer))
        #expect(net.failed[0].last?.1 == .tooLarge)
        #expect(net.inFlight.isEmpty)
    }

    @Test func theLargestPayloadFillsTheLargestDatagram() throws {
        let net = try SessionNetwork()
        net.handle(0, .send([UInt8](repeating: 7, count: Limits.datagramPayloadBytes), to: net.identities[1].peer))
        net.settle()
        #expect(net.delivered[1].first?.payload.count == Limits.datagramPayloadBytes)
        #expect(net.recorded.last?.bytes.count == Limits.datagramBytes)
    }

    /// Loses each of the first messages once; the retry gets through.
    @Test(arguments: 0..<3) func lossOfAnyOneMessageHeals(lost: Int) throws {
        let net = try SessionNetwork()
        net.passes = { count, _ in count != lost }
        net.send("first", from: 0, to: 1)
        net.run(for: .seconds(3))
        net.send("second", from: 0, to: 1)
        net.send("answer", from: 1, to: 0)
        net.run(for: .seconds(3))
        #expect(net.texts(1).last == "second", "lost message \(lost)")
        #expect(net.texts(0) == ["answer"], "lost message \(lost)")
    }

    @Test func silenceEndsInFailureAndALaterSendTriesAgain() throws {
        let net = try SessionNetwork()
        net.passes = { _, _ in false }
        net.send("lost", from: 0, to: 1)
        net.run(for: .seconds(30))
        #expect(net.failed[0].map(\.1) == [.noAnswer])
        #expect(net.recorded.count <= 10, "initiations back off: \(net.recorded.count) in 20 s")
        net.passes = { _, _ in true }
        net.send("again", from: 0, to: 1)
        net.settle()
        #expect(net.texts(1) == ["again"])
    }

    @Test func simultaneousInitiationsSettle() throws {
        let net = try SessionNetwork()
        net.send("a", from: 0, to: 1)
        net.send("b", from: 1, to: 0)
        net.settle()
        net.send("c", from: 0, to: 1)
        net.send("d", from: 1, to: 0)
        net.settle()
        #expect(net.texts(1) == ["a", "c"])
        #expect(net.texts(0) == ["b", "d"])
        #expect(net.established.map(\.count) == [1, 1])
    }

    @Test func theQueueIsBoundedAndKeepsTheNewest() throws {
        let net = try SessionNetwork()
        for number in 0..<100 { net.send("\(number)", from: 0, to: 1) }
        net.settle()
        #expect(net.texts(1) == (36..<100).map { "\($0)" })
        #expect(net.tables[0].counters[.queueOverflow] == 36)
    }

    @Test func keysAreRenewedByAgeWithoutAPause() throws {
        let net = try SessionNetwork()
        // A message each way every 36 s for four hours.
        for second in 0..<400 {
            net.send("\(second)", from: 0, to: 1)
            net.send("\(second)", from: 1, to: 0)
            net.run(for: .seconds(36))
        }
        #expect(net.texts(0).count == 400)
        #expect(net.texts(1).count == 400)
        let begun = net.tables.reduce(0) { $0 + $1.counters.handshakesBegun }
        #expect((4...8).contains(begun), "about one handshake an hour, found \(begun) in four hours")
        #expect(net.established.map(\.count) == [1, 1], "renewal is not a new session")
    }

    @Test func keysAreRenewedByCount() throws {
        var configuration = SessionConfiguration()
        configuration.rekeyAfterMessages = 10
        let net = try SessionNetwork(configuration: configuration)
        for number in 0..<35 {
            net.send("\(number)", from: 0, to: 1)
            net.run(for: .milliseconds(50))
        }
        #expect(net.texts(1).count == 35)
        #expect(net.tables[0].counters.handshakesBegun >= 3)
    }

    @Test func aListeningInitiatorRenewsBeforeItsKeysRunOut() throws {
        let net = try SessionNetwork()
        net.send("hello", from: 0, to: 1)
        net.settle()
        for _ in 0..<300 {
            net.send("tick", from: 1, to: 0)
            net.run(for: .seconds(36))
        }
        #expect(net.texts(0).count == 300)
    }

    @Test func anIdleSessionFallsSilent() throws {
        let net = try SessionNetwork()
        net.send("one", from: 0, to: 1)
        net.run(for: .seconds(60))
        // Initiation, response, payload: then nothing.
        #expect(net.recorded.count == 3)
        net.run(for: .seconds(6000))
        #expect(net.recorded.count == 3)
        #expect(net.tables.map(\.sessionCount) == [0, 0])
    }

    @Test func aRestartedPeerIsFoundAgain() throws {
        let net = try SessionNetwork()
        net.send("before", from: 0, to: 1)
        net.settle()
        // Forgetting everything is what a restart does to the sessions.
        net.handle(1, .forget(net.identities[0].peer))
        net.handle(1, .learn(net.contact(0)))
        net.send("lost", from: 0, to: 1)
        net.run(for: .seconds(2))
        // The protocol above misses an answer.
        net.handle(0, .renew(net.identities[1].peer))
        net.settle()
        net.send("after", from: 0, to: 1)
        net.settle()
        #expect(net.texts(1) == ["before", "after"])
    }

    @Test func roamingFollowsTheNewestAuthenticDatagram() throws {
        let net = try SessionNetwork()
        net.send("here", from: 0, to: 1)
        net.settle()
        let old = net.addresses[0]
        net.send("late", from: 0, to: 1)
        let late = net.inFlight.removeFirst()
        net.addresses[0] = address(77, port: 9)
        net.send("moved", from: 0, to: 1)
        net.settle()
        #expect(net.tables[1].address(of: net.identities[0].peer) == address(77, port: 9))
        net.handle(1, .datagram(late.bytes, from: old))
        #expect(net.texts(1) == ["here", "moved", "late"], "a reordered datagram still arrives")
        #expect(net.tables[1].address(of: net.identities[0].peer) == address(77, port: 9), "but does not move it back")
        // A forged or replayed datagram from elsewhere moves nothing.
        net.handle(1, .datagram(late.bytes, from: address(66)))
        #expect(net.tables[1].address(of: net.identities[0].peer) == address(77, port: 9))
        net.send("answer", from: 1, to: 0)
        net.settle()
        #expect(net.texts(0) == ["answer"])
    }

    @Test func aFullTableRefusesNewcomersAndKeepsItsOwn() throws {
        var configuration = SessionConfiguration()
        configuration.maximumPeers = 2
        let net = try SessionNetwork(count: 4, configuration: configuration, learns: false)
        for other in 1..<4 {
            net.handle(other, .learn(net.contact(0)))
            net.send("from \(other)", from: other, to: 0)
            net.settle()
        }
        #expect(net.texts(0) == ["from 1", "from 2"])
        #expect(net.tables[0].counters[.tableFull] == 1)
    }
}
