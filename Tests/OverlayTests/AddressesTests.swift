import Overlay
import Primitives
import Testing
import Wire

/// The address core of one peer, with what it publishes.
private struct AddressHarness {
    static let lan = NetworkAddress(ipv4: (192, 168, 1, 5), port: 7600)
    static let mapped = NetworkAddress(ipv4: (203, 0, 113, 5), port: 40_001)

    var core = Addresses(local: [lan])
    var now = Instant.seconds(1)
    var published: [[NetworkAddress]] = []

    mutating func feed(_ input: Addresses.Input) {
        var effects: [Addresses.Effect] = []
        core.handle(input, at: now, into: &effects)
        for case .publish(let addresses) in effects { published.append(addresses) }
    }

    /// Peers up, each in a network of its own unless `network` says otherwise.
    mutating func meet(_ numbers: ClosedRange<Int>, network: UInt8? = nil) {
        for number in numbers {
            feed(.memberUp(Fixtures.peer(number)))
            let source = NetworkAddress(ipv4: (198, 51, network ?? UInt8(number), UInt8(number)), port: 7600)
            feed(.sessionEstablished(Fixtures.peer(number), source))
        }
    }

    mutating func report(_ address: NetworkAddress, by number: Int) {
        feed(.receive(.observed(address), from: Fixtures.peer(number)))
    }

    mutating func pass(_ seconds: Double) {
        let end = now + .seconds(seconds)
        while let deadline = core.nextDeadline, deadline <= end {
            now = max(now, deadline)
            feed(.timer)
        }
        now = end
    }
}

@Suite("Which addresses a peer gives to others")
struct AddressesTests {
    @Test("An observed address is believed when peers of two networks agree, and not before")
    func quorum() {
        var harness = AddressHarness()
        harness.meet(1...2, network: 7)
        harness.report(AddressHarness.mapped, by: 1)
        harness.report(AddressHarness.mapped, by: 2)
        #expect(harness.published.isEmpty, "two peers of one network are one party")
        harness.meet(3...3)
        harness.report(AddressHarness.mapped, by: 3)
        #expect(harness.published == [[AddressHarness.lan, AddressHarness.mapped]])
        #expect(harness.core.natKind == .endpointIndependent)
        #expect(harness.core.observed == [AddressHarness.mapped])
    }

    @Test("The only other peer is believed, until there are others who see something else")
    func onlyPeer() {
        var harness = AddressHarness()
        harness.meet(1...1)
        harness.report(AddressHarness.mapped, by: 1)
        #expect(harness.published == [[AddressHarness.lan, AddressHarness.mapped]])
        harness.meet(2...4)
        for peer in 2...4 { harness.report(AddressHarness.lan, by: peer) }
        harness.pass(59)
        #expect(harness.published.count == 1, "not at once, or records would flap")
        harness.pass(2)
        #expect(harness.published.last == [AddressHarness.lan])
    }

    @Test("A liar can put no victim's address into the record, and nobody can put nonsense there")
    func liar() {
        var harness = AddressHarness()
        harness.meet(1...5)
        let victim = NetworkAddress(ipv4: (192, 0, 2, 66), port: 53)
        for _ in 0..<10 { harness.report(victim, by: 1) }
        #expect(harness.published.isEmpty)
        let nonsense = [
            NetworkAddress(ipv4: (0, 0, 0, 0), port: 1), NetworkAddress(ipv4: (224, 0, 0, 1), port: 1),
            NetworkAddress(ipv4: (127, 0, 0, 1), port: 1), AddressHarness.mapped.withPort(0),
            NetworkAddress(high: 0xFF02_0000_0000_0000, low: 1, port: 1),
        ]
        for address in nonsense {
            for peer in 2...4 { harness.report(address, by: peer) }
        }
        #expect(harness.published.isEmpty && harness.core.counters[.unexpected] == 15)
        harness.report(victim, by: 77)
        #expect(harness.core.counters[.unknownSubject] == 1, "nobody has a session with 77")
    }

    @Test("Different ports for different peers are a symmetric NAT, and no port of it is given to others")
    func symmetric() {
        var harness = AddressHarness()
        harness.meet(1...4)
        #expect(harness.core.natKind == .unknown)
        for peer in 1...4 { harness.report(AddressHarness.mapped.withPort(UInt16(40_000 + peer)), by: peer) }
        #expect(harness.core.natKind == .addressDependent && harness.published.isEmpty)
    }

    @Test("Where others see the machine's own address there is no NAT")
    func noTranslation() {
        var harness = AddressHarness()
        harness.meet(1...2)
        for peer in 1...2 { harness.report(AddressHarness.lan, by: peer) }
        #expect(harness.core.natKind == .none && harness.published.isEmpty)
    }

    @Test("Records do not flap with reports: one in half a minute, whatever the peers say")
    func hysteresis() {
        var harness = AddressHarness()
        harness.meet(1...2)
        for second in 0..<120 {
            let port = AddressHarness.mapped.withPort(UInt16(40_000 + second))
            for peer in 1...2 { harness.report(port, by: peer) }
            harness.pass(1)
        }
        #expect(harness.published.count <= 5, "\(harness.published.count) records in two minutes")
        #expect(harness.published.count >= 2)
    }

    @Test("New interfaces are published at once, and old reports do not count for them")
    func localChange() {
        var harness = AddressHarness()
        harness.meet(1...2)
        for peer in 1...2 { harness.report(AddressHarness.mapped, by: peer) }
        let other = NetworkAddress(ipv4: (10, 9, 8, 7), port: 7600)
        harness.feed(.setLocal([other]))
        #expect(harness.published.last?.first == other)
        #expect(harness.core.natKind == .unknown)
        harness.pass(61)
        #expect(harness.published.last == [other], "nobody confirms the old public address")
    }

    @Test("Reports grow old, and go with their senders")
    func expiry() {
        var harness = AddressHarness()
        harness.meet(1...3)
        for peer in 1...2 { harness.report(AddressHarness.mapped, by: peer) }
        harness.feed(.memberDown(Fixtures.peer(1)))
        harness.pass(61)
        #expect(harness.published.last == [AddressHarness.lan])
        harness.pass(7200)
        #expect(harness.core.natKind == .unknown)
        #expect(harness.core.nextDeadline == nil, "nothing is left to wait for")
    }

    @Test("Each peer is told once a session where it is, and not more often than every ten seconds")
    func telling() {
        var harness = AddressHarness()
        let (peer, first, second) = (Fixtures.peer(1), AddressHarness.mapped, AddressHarness.mapped.withPort(9))
        #expect(harness.core.takeReport(for: peer, at: harness.now) == nil)
        harness.feed(.sessionEstablished(peer, first))
        #expect(harness.core.takeReport(for: peer, at: harness.now) == .observed(first))
        #expect(harness.core.takeReport(for: peer, at: harness.now) == nil)
        harness.feed(.sessionEstablished(peer, second))
        #expect(harness.core.takeReport(for: peer, at: harness.now) == nil, "too soon")
        #expect(harness.core.takeReport(for: peer, at: harness.now + .seconds(10)) == .observed(second))
    }

    @Test("Peers of one overlay tell each other, on datagrams that they send anyway")
    func riding() throws {
        var nodes = (0..<2).map { number in
            OverlayNode(
                contact: Fixtures.contact(number), signer: Fixtures.signer(number), incarnation: 5, seed: UInt64(number)
            )
        }
        let now = Instant.seconds(1)
        var effects: [OverlayEffect] = []
        nodes[1].handle(.start(known: []), at: now, into: &effects)
        nodes[1].handle(.sessionEstablished(Fixtures.peer(0), AddressHarness.mapped), at: now, into: &effects)
        let sent = effects.contains { if case .send = $0 { true } else { false } }
        #expect(!sent, "nothing is sent for the report alone")
        nodes[0].handle(.start(known: [Fixtures.contact(1)]), at: now, into: &effects)
        nodes[0].handle(.sessionEstablished(Fixtures.peer(1), AddressHarness.lan), at: now, into: &effects)
        var answers: [OverlayEffect] = []
        for case .send(let payload, Fixtures.peer(1)) in effects {
            nodes[1].handle(.datagram(payload, from: Fixtures.peer(0)), at: now, into: &answers)
        }
        for case .send(let payload, Fixtures.peer(0)) in answers {
            nodes[0].handle(.datagram(payload, from: Fixtures.peer(1)), at: now, into: &effects)
        }
        #expect(nodes[0].observedAddresses == [AddressHarness.mapped])
        #expect(nodes[0].record.contact.addresses.last == AddressHarness.mapped)
    }
}
