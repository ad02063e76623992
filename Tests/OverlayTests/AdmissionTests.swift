import Primitives
import Testing
import Wire

@testable import Overlay

@Suite("A closed swarm's list")
struct AdmissionTests {
    /// The founder, number 0, admits the peers of these numbers.
    private func page(_ numbers: [Int], version: UInt64 = 1, index: UInt8 = 0, by founder: Int = 0) -> SignedEntry {
        let statements = numbers.map { AdmissionStatement(peer: Fixtures.peer($0), isAdmitted: true) }
        return Fixtures.entry(
            founder, .admission(page: index), version: version, AdmissionPage(statements: statements).wireBytes)
    }

    private func core(_ number: Int, pages: [SignedEntry]) -> Admission {
        Admission(
            configuration: Admission.Configuration(founder: Fixtures.peer(0), pages: pages),
            signer: Fixtures.signer(number), firstVersion: 1, seed: 1)
    }

    /// Fifty peers, a fifth of all datagrams lost: a revoked peer is out everywhere within five seconds, and not one
    /// datagram is sent to it afterwards.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func revocationReachesFiftyPeersWithinFiveSeconds(seed: UInt64) throws {
        var configuration = OverlayNode.Configuration.quiet
        configuration.admission = Admission.Configuration(
            founder: Fixtures.peer(0), pages: [page(Array(1..<25)), page(Array(25..<50), index: 1)])
        var swarm = TestSwarm(count: 50, seed: seed, configuration: configuration)
        swarm.loss = 0.2
        swarm.startAll()
        let met = swarm.run(upTo: 60) { $0.everyoneKnowsEveryone }
        try #require(met != nil, "seed \(seed): fifty admitted peers do not meet")
        let victim = Fixtures.peer(7)
        swarm.feed(.decide(AdmissionStatement(peer: victim, isAdmitted: false)), to: 0)
        let seconds = swarm.run(upTo: 20, step: 0.01) { swarm in
            swarm.running.allSatisfy { number in
                number == 7
                    || !swarm.nodes[number].core.admissions.policy.keeps(victim)
                        && swarm.nodes[number].core.member(victim)?.state == .left
            }
        }
        let elapsed = try #require(seconds, "seed \(seed): the revoked peer is still a member somewhere after 20 s")
        #expect(elapsed < 5, "seed \(seed): it took \(elapsed) s until the revoked peer was out everywhere")
        swarm.run(for: 0.1)  // what was on its way
        let heard = swarm.nodes[7].receivedDatagrams
        swarm.run(for: 60)
        #expect(swarm.nodes[7].receivedDatagrams == heard, "seed \(seed): something was sent to the revoked peer")
        #expect(
            swarm.running.allSatisfy { $0 == 7 || swarm.nodes[$0].core.liveCount == 49 },
            "seed \(seed): the other peers no longer know each other, or the revoked one is back")
    }

    /// The founder is down; a newcomer whom it admitted gets the list from others, one whom it did not gets nothing.
    @Test func listOutlivesItsFounder() throws {
        var configuration = OverlayNode.Configuration.quiet
        configuration.admission = Admission.Configuration(founder: Fixtures.peer(0), pages: [page([1, 2, 3])])
        var newcomer = OverlayNode.Configuration.quiet
        newcomer.admission = Admission.Configuration(founder: Fixtures.peer(0))
        var swarm = TestSwarm(count: 5, seed: 9, configuration: configuration, others: [3: newcomer, 4: newcomer])
        for number in 1..<5 { swarm.start(number, known: [1]) }
        swarm.run(for: 10)
        #expect(swarm.nodes[3].core.liveCount == 3, "the admitted newcomer is not in")
        #expect(swarm.nodes[4].receivedDatagrams == 0, "the newcomer who is not admitted was told something")
        #expect(swarm.nodes[4].core.liveCount == 1)
        #expect(swarm.nodes[1].core.counters[.notAdmitted] > 0, "what a stranger says is not counted")
    }

    /// A founder that restarted has lost the keys of the session over which it is asked.
    @Test func askingAgainRenewsTheSession() {
        var admission = core(3, pages: [])
        let founder = Fixtures.contact(0)
        var effects: [Admission.Effect] = []
        func renewals() -> Int {
            defer { effects.removeAll() }
            return effects.count { if case .renewSession(founder.peer) = $0 { true } else { false } }
        }
        var now = Instant(nanoseconds: 0)
        admission.handle(.start(known: [founder]), at: now, into: &effects)
        #expect(renewals() == 0, "there is no session to renew yet")
        for round in 1...3 {
            now = admission.nextDeadline ?? now
            admission.handle(.timer, at: now, into: &effects)
            #expect(renewals() == 1, "round \(round) did not renew a session that nobody answers on")
        }
        let page = page([3])
        admission.handle(.receive(.page(page), from: founder.peer), at: now, into: &effects)
        effects.removeAll()
        now = admission.nextDeadline ?? now
        admission.handle(.timer, at: now, into: &effects)
        #expect(renewals() == 0, "a session that serves was renewed")
    }

    @Test func olderVersionsDoNotReadmit() {
        var admission = core(1, pages: [page([1, 2], version: 5)])
        var effects: [Admission.Effect] = []
        let now = Instant(nanoseconds: 0)
        let revoking = Fixtures.entry(
            0, .admission(page: 0), version: 6,
            AdmissionPage(statements: [
                AdmissionStatement(peer: Fixtures.peer(1), isAdmitted: true),
                AdmissionStatement(peer: Fixtures.peer(2), isAdmitted: false),
            ]).wireBytes)
        admission.handle(.receive(.page(revoking), from: Fixtures.peer(0)), at: now, into: &effects)
        #expect(!admission.policy.keeps(Fixtures.peer(2)))
        admission.handle(
            .receive(.page(page([1, 2], version: 5)), from: Fixtures.peer(0)), at: now, into: &effects)
        #expect(!admission.policy.keeps(Fixtures.peer(2)), "an old page brought a revoked peer back")
        #expect(admission.counters[.stale] == 1)
    }

    @Test func onlyTheFounderDecides() {
        var admission = core(1, pages: [page([1])])
        var effects: [Admission.Effect] = []
        let now = Instant(nanoseconds: 0)
        admission.handle(
            .decide(AdmissionStatement(peer: Fixtures.peer(9), isAdmitted: true)), at: now, into: &effects)
        admission.handle(
            .receive(.page(page([1, 9], version: 9, by: 1)), from: Fixtures.peer(1)), at: now, into: &effects)
        #expect(!admission.policy.keeps(Fixtures.peer(9)), "another than the founder has admitted a peer")
        #expect(effects.isEmpty)
        #expect(admission.counters[.unexpected] == 2)
    }

    @Test func fullListRefusesFurtherPeers() {
        var founder = core(0, pages: [AdmissionPage.first(version: 1, signer: Fixtures.signer(0))])
        var effects: [Admission.Effect] = []
        let capacity = Limits.admissionPages * Limits.admissionsPerPage
        for number in 1...(capacity + 1) {
            founder.handle(
                .decide(AdmissionStatement(peer: Fixtures.peer(number), isAdmitted: true)),
                at: Instant(nanoseconds: 0), into: &effects)
        }
        #expect(founder.policy.keeps(Fixtures.peer(capacity)))
        #expect(!founder.policy.keeps(Fixtures.peer(capacity + 1)))
        #expect(founder.counters[.overLimit] == 1)
        #expect(founder.pages.allSatisfy { $0.value.count <= Limits.entryDatagramValueBytes })
    }

    @Test func waitingListIsBounded() {
        var admission = core(0, pages: [page([])])
        var effects: [Admission.Effect] = []
        for number in 1...200 {
            admission.handle(.knocked(Fixtures.peer(number)), at: Instant(nanoseconds: 0), into: &effects)
        }
        #expect(admission.waiting.count == Limits.waitingPeers)
        #expect(admission.waiting.last == Fixtures.peer(200))
    }
}
