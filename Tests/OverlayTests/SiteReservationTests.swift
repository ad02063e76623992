import Primitives
import Testing
import Wire

@testable import Overlay

@Suite("Peers behind one public address")
struct SiteReservationTests {
    private let start = Instant.seconds(100)

    private func site(of numbers: Range<Int>) -> Site {
        var site = Site()
        for number in numbers { site.set(ProbingBench.peer(number), isSibling: true, at: start) }
        return site
    }

    /// The share of a time for which the link to somebody outside is blocked, if these claim again and again.
    private func blocked(
        _ claimants: Range<Int>, seconds: Int, every milliseconds: Int, _ claims: [SiteClaim] = [.taken]
    ) -> (first: Double, later: Double) {
        var site = site(of: claimants)
        let outsider = ProbingBench.peer(99)
        var counts = (first: 0, later: 0)
        let step = 10
        for time in stride(from: 0, to: seconds * 1000, by: step) {
            let now = start + .milliseconds(Int64(time))
            if time % milliseconds == 0 {
                for number in claimants {
                    for claim in claims { site.note(claim, of: ProbingBench.peer(number), at: now) }
                }
            }
            guard site.blocked(with: outsider, at: now) != nil else { continue }
            if time < seconds * 500 { counts.first += 1 } else { counts.later += 1 }
        }
        let half = Double(seconds * 1000 / step) / 2
        return (Double(counts.first) / half, Double(counts.later) / half)
    }

    @Test("Claims without end are heard for a share of the time, by one and by many", arguments: [50, 990, 4000, 9000])
    func endless(milliseconds: Int) {
        let one = blocked(0..<1, seconds: 2000, every: milliseconds)
        #expect(one.later <= Site.siblingShare + 0.01, "one: \(one)")
        #expect(one.first <= Site.siblingShare + 0.01 + Site.siblingDepth.seconds / 1000, "one: \(one)")
        let many = blocked(0..<20, seconds: 2000, every: milliseconds)
        #expect(many.later <= Site.share + 0.01, "twenty: \(many)")
        #expect(many.first <= Site.share + 0.01 + Site.depth.seconds / 1000, "twenty: \(many)")
    }

    @Test("A claim that is taken back at once is not for nothing")
    func interruptions() {
        var site = site(of: 0..<1)
        let peer = ProbingBench.peer(0)
        var heard = 0
        for time in 0..<100_000 {
            let now = start + .milliseconds(Int64(time * 10))
            site.note(.taken, of: peer, at: now)
            if site.givesWay(ProbingBench.peer(5), with: ProbingBench.peer(9), at: now) { heard += 1 }
            site.note(.free, of: peer, at: now)
        }
        let paid = Site.siblingDepth.seconds + Site.siblingShare * 1000
        #expect(Double(heard) <= paid / Site.leastClaim.seconds + 1, "\(heard) of 100,000 claims in 1,000 s were heard")
    }

    @Test("Honest siblings are heard: claims of the usual length, half of the time at first and a twentieth later")
    func honest() {
        var site = site(of: 0..<4)
        let outsider = ProbingBench.peer(99)
        for session in 0..<1200 {
            // 240 sessions of a quarter of a second in two minutes; afterwards one every five seconds.
            let seconds = session < 240 ? Double(session) / 2 : 120 + Double(session - 240) * 5
            let (now, peer) = (start + .seconds(seconds), ProbingBench.peer(session % 4))
            site.note(.wanted, of: peer, at: now)
            site.note(.taken, of: peer, at: now + .milliseconds(50))
            #expect(
                site.blocked(with: outsider, at: now + .milliseconds(249)) != nil, "session \(session) was not heard")
            #expect(site.blocked(with: ProbingBench.peer((session + 1) % 4), at: now) == nil, "nobody inside is meant")
            site.note(.free, of: peer, at: now + .milliseconds(250))
            #expect(site.blocked(with: outsider, at: now + .milliseconds(250)) == nil)
        }
    }

    @Test("Whoever comes and goes gets a new credit of its own, not one of all")
    func comingAndGoing() {
        var site = Site()
        let (peer, outsider) = (ProbingBench.peer(0), ProbingBench.peer(9))
        var blocked = 0
        for second in 0..<2000 {
            let now = start + .seconds(Double(second))
            site.set(peer, isSibling: false, at: now)
            site.set(peer, isSibling: true, at: now)
            site.note(.taken, of: peer, at: now)
            if site.blocked(with: outsider, at: now) != nil { blocked += 1 }
            // Forgetting takes back no claim's price: it costs its whole time.
        }
        #expect(Double(blocked) <= Site.depth.seconds + Site.share * 2000, "\(blocked) of 2,000 s")
    }

    @Test(
        "A member that claims a site's link without end does not keep it from measuring",
        arguments: [([SiteClaim.taken], 0.9), ([.taken, .free], 0.02), ([.wanted], 0.05)])
    func adversary(claims: [SiteClaim], interval: Double) {
        let rates = [Double](repeating: .megabits(50), count: 10)
        var bench = ProbingBench(up: rates, down: rates, delay: .milliseconds(20))
        // Peer 0 is nowhere near, but has found a way to be taken for one of the site; its identity is the least.
        let (site, liar) = (1..<4, 0)
        bench.isNear = { site.contains($0) && site.contains($1) }
        for one in site {
            for other in [liar] + site where other != one { bench.give(.sibling(bench.peers[other], true), to: one) }
        }
        var elapsed = 0.0
        while elapsed < 200 {
            for one in site {
                for claim in claims { bench.give(.receive(.site(claim), from: bench.peers[liar]), to: one) }
            }
            bench.run(seconds: interval)
            elapsed += interval
        }
        for one in site {
            for other in bench.peers.indices where other != one {
                let link = bench.cores[one].link(to: bench.peers[other])
                #expect(link?.measuredAt != nil, "\(claims): \(one) to \(other)")
            }
        }
    }
}

/// A node that others see at a public address, and what it takes them for.
private struct SiteHarness {
    static let home = NetworkAddress(ipv4: (203, 0, 113, 5), port: 40_001)
    static let ownSix = NetworkAddress(high: 0x2001_0DB8_0001_0002, low: 5, port: 7600)

    var node: OverlayNode
    var now = Instant.seconds(1)

    init() {
        var contact = Fixtures.contact(0)
        contact.addresses.append(Self.ownSix)
        node = OverlayNode(configuration: .quiet, contact: contact, signer: Fixtures.signer(0), incarnation: 5, seed: 1)
        feed(.start(known: []))
    }

    var siblings: Set<Int> {
        Set((1..<10).filter { node.probing.site.contains(Fixtures.peer($0)) })
    }

    mutating func feed(_ input: OverlayInput) {
        var effects: [OverlayEffect] = []
        node.handle(input, at: now, into: &effects)
    }

    /// A member with a record that names this public address, whose packets come from there.
    mutating func meet(
        _ number: Int, naming address: NetworkAddress, from source: NetworkAddress, incarnation: UInt64 = 5
    ) {
        var contact = Fixtures.contact(number)
        contact.addresses.append(address)
        let record = PeerRecord(contact: contact, incarnation: incarnation, signer: Fixtures.signer(number))
        feed(.sessionEstablished(Fixtures.peer(number), source))
        feed(.datagram(MembershipMessage.alive(record).datagramBytes, from: Fixtures.peer(number)))
    }

    mutating func report(by number: Int) {
        feed(.datagram(AddressMessage.observed(Self.home).datagramBytes, from: Fixtures.peer(number)))
    }
}

@Suite("Who is behind the same public address")
struct SiteMembersTests {
    private let lan = NetworkAddress(ipv4: (192, 168, 1, 9), port: 7600)
    private let away = NetworkAddress(ipv4: (198, 51, 100, 7), port: 7600)

    @Test("Members whose record names this peer's public host, and whose packets come from there or from within")
    func members() {
        var harness = SiteHarness()
        let sixNear = NetworkAddress(high: SiteHarness.ownSix.addressWords.high, low: 77, port: 7600)
        let sixFar = NetworkAddress(high: 0x2001_0DB8_0001_0003, low: 77, port: 7600)
        harness.meet(1, naming: SiteHarness.home.withPort(40_002), from: lan)
        harness.meet(2, naming: SiteHarness.home.withPort(40_003), from: SiteHarness.home.withPort(40_003))
        harness.meet(3, naming: SiteHarness.home.withPort(40_004), from: sixNear)
        harness.meet(4, naming: SiteHarness.home.withPort(40_005), from: away)
        harness.meet(5, naming: SiteHarness.home.withPort(40_006), from: sixFar)
        harness.meet(6, naming: away, from: lan)
        #expect(harness.siblings.isEmpty, "nobody has said yet where this peer is seen")
        harness.report(by: 4)
        #expect(harness.siblings.isEmpty, "one alone is not believed")
        harness.report(by: 5)
        #expect(harness.node.observedAddresses == [SiteHarness.home])
        #expect(harness.siblings == [1, 2, 3], "a record alone is its peer's word")
        harness.meet(7, naming: SiteHarness.home.withPort(40_007), from: lan)
        #expect(harness.siblings == [1, 2, 3, 7], "a newcomer")
    }

    @Test("A sibling that moves, changes its record or leaves is none any more")
    func changes() {
        var harness = SiteHarness()
        harness.meet(1, naming: SiteHarness.home.withPort(40_002), from: lan)
        harness.meet(2, naming: SiteHarness.home.withPort(40_003), from: away)
        harness.meet(3, naming: away, from: away.withPort(9))
        harness.meet(4, naming: lan, from: NetworkAddress(ipv4: (192, 0, 2, 1), port: 1))
        harness.report(by: 3)
        harness.report(by: 4)
        #expect(harness.siblings == [1])
        harness.feed(.sessionEstablished(Fixtures.peer(2), lan))
        #expect(harness.siblings == [1, 2], "it has come home")
        harness.feed(.sessionEstablished(Fixtures.peer(2), away))
        #expect(harness.siblings == [1], "and gone again")
        harness.meet(1, naming: away, from: lan, incarnation: 6)
        #expect(harness.siblings.isEmpty, "it names another host")
        harness.meet(1, naming: SiteHarness.home, from: lan, incarnation: 7)
        #expect(harness.siblings == [1])
        harness.feed(
            .datagram(
                MembershipMessage.left(Farewell(incarnation: 7, signer: Fixtures.signer(1)))
                    .datagramBytes, from: Fixtures.peer(1)))
        #expect(harness.siblings.isEmpty, "it has left")
    }
}
