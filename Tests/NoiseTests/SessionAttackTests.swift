import Noise
import Primitives
import Testing
import Wire

/// What someone on the path, or someone without the secret, can reach: nothing.
@Suite struct SessionAttackTests {
    /// A conversation that has every kind of message but the cookie reply.
    private func conversation() throws -> SessionNetwork {
        let net = try SessionNetwork()
        net.send("one", from: 0, to: 1)
        net.settle()
        net.send("two", from: 1, to: 0)
        net.settle()
        return net
    }

    @Test func strangersGetSilence() throws {
        let net = try SessionNetwork(count: 3, secrets: [0x55, 0x55, 0x66])
        net.send("one", from: 0, to: 1)
        net.settle()
        // Peer 2 knows keys and addresses, but not the secret.
        net.send("let me in", from: 2, to: 1)
        let initiation = try #require(net.inFlight.first)
        #expect(net.handle(1, .datagram(initiation.bytes, from: initiation.from)).isEmpty)
        #expect(net.tables[1].counters[.stranger] == 1)
        // Every type, at every length, with random content.
        var generator = SeededGenerator(seed: 7)
        for type in UInt8.min...UInt8.max {
            for length in [0, 1, 4, 32, 64, 172, 240, 241, 1200, 1500] {
                var bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
                for (position, byte) in [type, 1, 0, 0].enumerated() where position < length { bytes[position] = byte }
                let effects = net.handle(1, .datagram(bytes, from: address(99)))
                #expect(effects.isEmpty, "type \(type), \(length) bytes led to \(effects)")
            }
        }
    }

    @Test func aReplayedConversationChangesNothing() throws {
        let net = try conversation()
        let recorded = net.recorded
        for datagram in recorded + recorded.reversed() {
            for index in 0..<2 {
                let effects = net.handle(index, .datagram(datagram.bytes, from: address(99)))
                #expect(effects.isEmpty, "type \(datagram.bytes[0]) to \(index) led to \(effects)")
            }
        }
        net.send("three", from: 0, to: 1)
        net.settle()
        #expect(net.texts(1) == ["one", "three"])
    }

    /// After a restart the timestamps are forgotten: a replay then gets an answer that is of no use to anyone.
    @Test func aReplayToARestartedPeerDeliversNothing() throws {
        let recorded = try conversation().recorded
        let fresh = try SessionNetwork(entropySeed: 100)
        for datagram in recorded where datagram.to == fresh.addresses[1] {
            let effects = fresh.handle(1, .datagram(datagram.bytes, from: address(99)))
            for effect in effects {
                guard case .transmit(let bytes, address(99)) = effect else {
                    Issue.record("a replay led to \(effect)")
                    continue
                }
                #expect(bytes.count <= datagram.bytes.count, "an answer larger than the question")
            }
        }
        #expect(fresh.delivered[1].isEmpty)
        #expect(fresh.established[1].isEmpty)
        #expect(fresh.tables[1].address(of: fresh.identities[0].peer) == nil)
    }

    /// One wrong bit in any byte of any message: no effect, and the honest message still works afterwards.
    @Test func tamperingWithAnyByteIsNoticed() throws {
        for kind in SessionMessage.Kind.allCases where kind != .cookieReply {
            let net = try SessionNetwork()
            if kind == .refusal { net.handle(1, .restrict(.closed([net.identities[1].peer]))) }
            net.send("one", from: 0, to: 1)
            while let first = net.inFlight.first, first.bytes[0] != kind.rawValue {
                net.inFlight.removeFirst()
                net.handle(first.to == net.addresses[0] ? 0 : 1, .datagram(first.bytes, from: first.from))
            }
            let datagram = try #require(net.inFlight.first)
            let target = datagram.to == net.addresses[0] ? 0 : 1
            for position in datagram.bytes.indices {
                // mac2 is not looked at unless there is load.
                if kind == .initiation, position >= SessionMessage.initiationByteCount - 16 { continue }
                var forged = datagram.bytes
                forged[position] ^= UInt8(1 << (position % 8))
                let effects = net.handle(target, .datagram(forged, from: datagram.from))
                #expect(effects.isEmpty, "byte \(position) of \(kind) led to \(effects)")
            }
            net.settle()
            if kind == .refusal {
                #expect(net.failed[0].map(\.1) == [.notAdmitted], "the honest refusal is still understood")
            } else {
                #expect(net.texts(1) == ["one"], "the honest \(kind) still works")
            }
        }
    }

    @Test func reorderedDatagramsArriveOnceEach() throws {
        let net = try conversation()
        for number in 0..<200 { net.send("\(number)", from: 0, to: 1) }
        var generator = SeededGenerator(seed: 3)
        var batch = net.inFlight + net.inFlight
        net.inFlight = []
        generator.shuffle(&batch)
        net.delivered[1] = []
        for datagram in batch { net.handle(1, .datagram(datagram.bytes, from: datagram.from)) }
        #expect(net.texts(1).sorted() == (0..<200).map { "\($0)" }.sorted())
        #expect(net.tables[1].counters[.replayed] == 200)
    }

    @Test func underLoadACookieIsDemandedAndGiven() throws {
        var configuration = SessionConfiguration()
        configuration.handshakesPerSecondBeforeLoad = 0
        let net = try SessionNetwork(configuration: configuration)
        net.send("one", from: 0, to: 1)
        net.settle()
        #expect(net.texts(1).isEmpty)
        #expect(net.recorded.map { $0.bytes[0] } == [1, 3], "initiation, then a cookie reply")
        #expect(net.recorded[1].bytes.count < net.recorded[0].bytes.count)
        net.run(for: .seconds(2))
        #expect(net.texts(1) == ["one"], "the second initiation carries the cookie")
        // Someone else cannot use that initiation's cookie from another address.
        let fresh = try SessionNetwork(configuration: configuration)
        let withCookie = try #require(net.recorded.last { $0.bytes[0] == 1 })
        let effects = fresh.handle(1, .datagram(withCookie.bytes, from: address(99)))
        guard case .transmit(let reply, _) = effects.first, effects.count == 1 else {
            Issue.record("expected one cookie reply, found \(effects)")
            return
        }
        #expect(reply[0] == SessionMessage.Kind.cookieReply.rawValue)
    }

    @Test func aForgedCookieReplyIsDropped() throws {
        var configuration = SessionConfiguration()
        configuration.handshakesPerSecondBeforeLoad = 0
        let net = try SessionNetwork(configuration: configuration)
        net.send("one", from: 0, to: 1)
        let initiation = net.inFlight.removeFirst()
        net.handle(1, .datagram(initiation.bytes, from: initiation.from))
        let reply = net.inFlight.removeFirst()
        for position in 8..<reply.bytes.count {
            var forged = reply.bytes
            forged[position] ^= 1
            net.handle(0, .datagram(forged, from: reply.from))
        }
        #expect(net.tables[0].counters[.notAuthentic] == UInt64(reply.bytes.count - 8))
    }

    @Test func aSourceUnderLoadGetsItsShareOnly() throws {
        var configuration = SessionConfiguration()
        configuration.handshakesPerSecondBeforeLoad = 0
        configuration.handshakesPerSecondAndSourceUnderLoad = 2
        configuration.handshakeBurst = 2
        let net = try SessionNetwork(count: 6, configuration: configuration)
        for index in 1..<6 { net.addresses[index] = address(50, port: UInt16(1000 + index)) }
        for index in 1..<6 { net.send("x", from: index, to: 0) }
        net.run(for: .milliseconds(1200))
        #expect(net.tables[0].counters[.rateLimited] > 0)
        net.run(for: .seconds(15))
        #expect(Set(net.delivered[0].map(\.from)).count == 5, "all come through in the end")
    }

    /// A peer that claims an identity whose signature it does not have.
    @Test func aBorrowedIdentityIsRefused() throws {
        let honest = try SessionNetwork(count: 3)
        // Peer 0 believes that peer 1's identity has peer 2's key, at peer 2's address.
        let lie = Contact(
            peer: honest.identities[1].peer, agreementKey: honest.identities[2].agreementPublicKey,
            addresses: [honest.addresses[2]])
        honest.handle(0, .learn(lie))
        honest.send("secret", from: 0, to: 1)
        honest.settle()
        let delivered = honest.delivered.flatMap { $0 }
        #expect(delivered.isEmpty)
        #expect(honest.tables[0].counters[.identityMismatch] == 1)
        #expect(honest.failed[0].map(\.1) == [.noAnswer])
    }
}
