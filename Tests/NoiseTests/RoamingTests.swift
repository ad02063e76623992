import Noise
import Primitives
import Testing
import Wire

@Suite("Sessions whose peers move")
struct RoamingTests {
    /// Two peers with a session in use both ways.
    private func pair() throws -> SessionNetwork {
        let net = try SessionNetwork()
        net.send("here", from: 0, to: 1)
        net.settle()
        net.send("there", from: 1, to: 0)
        net.settle()
        net.recorded = []
        return net
    }

    @Test("A peer that moves keeps its session, proves its address in one round trip and loses nothing")
    func move() throws {
        let net = try pair()
        net.addresses[0] = address(77, port: 9)
        net.send("moved", from: 0, to: 1)
        let handshakes = net.tables.map(\.counters.handshakesBegun)
        // Much more than the allowance is sent before the challenge is answered.
        let arrived = net.inFlight.removeFirst()
        net.handle(1, .datagram(arrived.bytes, from: arrived.from))
        let texts = (0..<20).map { "\($0) " + String(repeating: "x", count: 200) }
        for text in texts { net.send(text, from: 1, to: 0) }
        let early = net.inFlight.reduce(0) { $0 + $1.bytes.count }
        #expect(early <= 3 * arrived.bytes.count, "\(early) bytes went to an address that nobody has proven")
        net.settle()
        #expect(net.texts(0) == ["there"] + texts, "what waited for the proof arrives in order")
        #expect(net.moved[1].map(\.1) == [address(77, port: 9)])
        #expect(net.tables.map(\.counters.handshakesBegun) == handshakes, "a move is no reason for a handshake")
    }

    @Test("Somebody on the path who passes datagrams on from a victim's address cannot flood the victim")
    func reflection() throws {
        let net = try pair()
        let home = net.addresses[0]
        let victim = address(66)
        var bytesToVictim = 0
        var bytesFromAttacker = 0
        net.passes = { _, datagram in
            if datagram.to == victim { bytesToVictim += datagram.bytes.count }
            return true
        }
        net.send("taken off the wire", from: 0, to: 1)
        let stolen = net.inFlight.removeFirst()
        bytesFromAttacker += stolen.bytes.count
        net.handle(1, .datagram(stolen.bytes, from: victim))
        for number in 0..<40 {
            net.send("\(number) " + String(repeating: "x", count: 900), from: 1, to: 0)
            net.run(for: .milliseconds(50))
        }
        #expect(bytesToVictim <= 3 * bytesFromAttacker, "\(bytesToVictim) bytes for \(bytesFromAttacker)")
        net.run(for: .seconds(3))
        #expect(net.tables[1].address(of: net.identities[0].peer) == home, "the peer was never at the victim's address")
        #expect(net.texts(0).last?.hasPrefix("39 ") == true, "what waited goes where the peer is")
        #expect(net.moved[1].isEmpty && net.tables[1].counters.pathsRefused == 1)
    }

    @Test("A challenge that is lost is repeated")
    func lostChallenge() throws {
        let net = try pair()
        net.addresses[0] = address(77)
        var lost = 0
        net.passes = { _, datagram in
            guard datagram.to == address(77), lost < 2 else { return true }
            lost += 1
            return false
        }
        net.send(String(repeating: "y", count: 40), from: 0, to: 1)
        net.run(for: .seconds(2))
        #expect(lost == 2 && net.moved[1].count == 1)
    }

    @Test("A peer that goes back to where it was needs no new proof")
    func backAndForth() throws {
        let net = try pair()
        let home = net.addresses[0]
        for place in [address(77), home, address(77), home] {
            net.addresses[0] = place
            net.send("at \(place)", from: 0, to: 1)
            net.settle()
        }
        #expect(net.moved[1].map(\.1) == [address(77), home, address(77), home])
        #expect(net.tables[1].counters.pathsChallenged == 1)
    }

    @Test("After a change of its own network a peer shows everybody where it is")
    func announcing() throws {
        let net = try SessionNetwork(count: 3)
        for other in [1, 2] { net.send("hello", from: 0, to: other) }
        net.settle()
        net.addresses[0] = address(88)
        net.handle(0, .networkChanged)
        net.settle()
        for other in [1, 2] {
            #expect(net.tables[other].address(of: net.identities[0].peer) == address(88))
            #expect(net.texts(other) == ["hello"], "nothing of it reaches the protocols above")
        }
    }
}

@Suite("Which address of a peer is tried first")
struct CandidateTests {
    private static let six = NetworkAddress(high: 0x2001_0db8_0000_0000, low: 1, port: 7600)

    @Test("Addresses are tried a quarter of a second apart, and the first that answers is kept")
    func staggered() throws {
        let net = try SessionNetwork(learns: false)
        let contact = Contact(
            peer: net.identities[1].peer, agreementKey: net.identities[1].agreementPublicKey,
            addresses: [address(200), address(201), net.addresses[1], address(202)])
        net.handle(0, .learn(contact))
        let start = net.now
        var tried: [(NetworkAddress, Duration)] = []
        net.passes = { _, datagram in
            if datagram.from == net.addresses[0], datagram.bytes[0] == 1 {
                tried.append((datagram.to, net.now - start))
            }
            return true
        }
        net.send("found", from: 0, to: 1)
        net.run(for: .seconds(3))
        #expect(net.texts(1) == ["found"])
        #expect(tried.map(\.0) == [address(200), address(201), net.addresses[1]], "the fourth is not needed")
        #expect(tried.map(\.1) == [.zero, .milliseconds(250), .milliseconds(500)])
        #expect(net.tables[0].counters.handshakesBegun == 1, "all addresses get the same initiation")
        #expect(net.tables[0].address(of: net.identities[1].peer) == net.addresses[1])
    }

    @Test("IPv6 begins and the families take turns; without IPv6 no time is lost on it")
    func families() throws {
        for sendsIPv6 in [true, false] {
            let net = try SessionNetwork(learns: false)
            net.tables[0].sendsIPv6 = sendsIPv6
            let contact = Contact(
                peer: net.identities[1].peer, agreementKey: net.identities[1].agreementPublicKey,
                addresses: [net.addresses[1], Self.six])
            net.handle(0, .learn(contact))
            net.send("x", from: 0, to: 1)
            #expect(net.inFlight.map(\.to) == [sendsIPv6 ? Self.six : net.addresses[1]])
        }
    }

    @Test("More addresses than one attempt holds are tried in turn")
    func manyAddresses() throws {
        let net = try SessionNetwork(learns: false)
        let contact = Contact(
            peer: net.identities[1].peer, agreementKey: net.identities[1].agreementPublicKey,
            addresses: (100..<107).map { address($0) } + [net.addresses[1]])
        net.handle(0, .learn(contact))
        net.send("found", from: 0, to: 1)
        net.run(for: .seconds(5))
        #expect(net.texts(1) == ["found"])
    }
}
