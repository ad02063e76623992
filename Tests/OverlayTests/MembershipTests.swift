import Overlay
import Primitives
import Testing
import Wire

@Suite("Membership: which statement overrides which")
struct MembershipTests {
    @Test("A signed record makes a member; a forged one does nothing and is counted")
    func forgedRecord() {
        var harness = MembershipHarness()
        harness.receive(.alive(Fixtures.forgedRecord(1, incarnation: 5)), from: 2)
        #expect(harness.state(1) == nil && harness.core.counters[.forged] == 1)
        harness.receive(.alive(Fixtures.record(1, incarnation: 5)), from: 2)
        #expect(harness.state(1) == .alive)
        #expect(harness.events == [.memberUp(Fixtures.peer(1))])
        harness.receive(.alive(Fixtures.forgedRecord(1, incarnation: 9)), from: 2)
        #expect(harness.core.member(Fixtures.peer(1))?.record.incarnation == 5, "a forgery must not replace a record")
        #expect(harness.core.counters[.forged] == 2)
    }

    @Test("An older record is stale, an equal one nothing new, a newer one replaces")
    func staleRecord() {
        var harness = MembershipHarness()
        harness.introduce(1...1)
        harness.receive(.alive(Fixtures.record(1, incarnation: 4)), from: 2)
        #expect(harness.core.counters[.stale] == 1)
        harness.receive(.alive(Fixtures.record(1, incarnation: 5)), from: 2)
        #expect(harness.events.isEmpty && harness.core.counters[.stale] == 1)
        harness.receive(.alive(Fixtures.record(1, incarnation: 6)), from: 2)
        #expect(harness.events == [.memberUpdated(Fixtures.peer(1))])
        #expect(harness.core.member(Fixtures.peer(1))?.record.incarnation == 6)
    }

    @Test("Accusations of an unknown peer, or of an incarnation nobody signed, do nothing")
    func baselessAccusation() {
        var harness = MembershipHarness()
        harness.introduce(1...4)
        for incarnation in [UInt64(4), 6, .max] {
            harness.receive(.suspect(MembershipHarness.accusation(of: 1, by: 2, incarnation: incarnation)), from: 2)
            harness.receive(.dead(MembershipHarness.accusation(of: 1, by: 2, incarnation: incarnation)), from: 2)
            #expect(harness.state(1) == .alive, "incarnation \(incarnation)")
        }
        harness.receive(.dead(MembershipHarness.accusation(of: 77, by: 2)), from: 2)
        #expect(harness.state(77) == nil)
        #expect(harness.core.counters[.unknownSubject] == 5 && harness.core.counters[.stale] == 2)
    }

    @Test("A suspect that does not refute dies after its time; one that does lives")
    func suspicionAndRefutation() {
        for refutes in [true, false] {
            var harness = MembershipHarness()
            harness.introduce(1...8)
            harness.receive(.suspect(MembershipHarness.accusation(of: 1, by: 2)), from: 2)
            #expect(harness.events.contains(.memberSuspected(Fixtures.peer(1), by: Fixtures.peer(2))))
            #expect(harness.state(1) == .suspect)
            for accuser in [3, 4, 5] {
                harness.receive(.suspect(MembershipHarness.accusation(of: 1, by: accuser)), from: accuser)
            }
            if refutes { harness.receive(.alive(Fixtures.record(1, incarnation: 6)), from: 3) }
            // The others answer, so only the suspect is in question.
            let minimum = MembershipConfiguration().minimumSuspicion(count: 9)
            harness.pass(minimum.seconds - 0.1)
            #expect(harness.state(1) == (refutes ? .alive : .suspect))
            harness.pass(0.2)
            if refutes { continue }
            #expect(harness.state(1) == .dead)
            #expect(harness.events.contains(.memberDown(Fixtures.peer(1))))
        }
    }

    @Test("Before a suspicion runs out four neighbours are asked, and whoever knows of the refutation answers")
    func lastQuestion() {
        var harness = MembershipHarness()
        harness.introduce(1...8)
        for accuser in [2, 3, 4, 5] {
            harness.receive(.suspect(MembershipHarness.accusation(of: 1, by: accuser)), from: accuser)
        }
        let minimum = MembershipConfiguration().minimumSuspicion(count: 9)
        let question = MembershipMessage.suspect(MembershipHarness.accusation(of: 1, by: 2))
        harness.pass(minimum.seconds - 0.25)
        #expect(harness.state(1) == .suspect)
        harness.pass(0.2)
        #expect((2...8).filter { harness.sent(to: $0).contains(question) }.count == 4)
        #expect(harness.state(1) == .suspect, "they need time to answer")

        let known = Fixtures.record(1, incarnation: 6)
        var informed = MembershipHarness()
        informed.introduce(1...8)
        informed.receive(.alive(known), from: 1)
        informed.receive(question, from: 7)
        #expect(informed.sent(to: 7) == [.alive(known)])
        harness.receive(.alive(known), from: 3)
        harness.pass(1)
        #expect(harness.state(1) == .alive)
    }

    @Test("A suspicion that nobody has confirmed is asked about early, and the suspect itself is asked")
    func lastQuestionOfALoneAccuser() {
        var configuration = MembershipConfiguration()
        // This peer's own probes would confirm it.
        configuration.probeInterval = .seconds(1000)
        configuration.secondOpinions = 0
        var harness = MembershipHarness(configuration: configuration)
        harness.introduce(1...8)
        harness.receive(.suspect(MembershipHarness.accusation(of: 1, by: 2)), from: 2)
        let maximum = configuration.minimumSuspicion(count: 9) * configuration.suspicionMaximumFactor
        let question = MembershipMessage.suspect(MembershipHarness.accusation(of: 1, by: 2))
        harness.pass(maximum.seconds - 1.2)
        #expect((1...8).allSatisfy { !harness.sent(to: $0).contains(question) })
        harness.pass(0.3)
        #expect((2...8).filter { harness.sent(to: $0).contains(question) }.count >= 4)
        #expect(harness.sent(to: 1).contains(question), "the suspect may not have heard of it")
        #expect(harness.state(1) == .suspect, "there is nearly a second for the answer")
        harness.pass(0.8)
        #expect(harness.state(1) == .suspect)
        harness.pass(0.2)
        #expect(harness.state(1) == .dead)
    }

    @Test("One peer's word that another is dead is only a suspicion, until it has had time to refute")
    func prematureDeath() {
        var harness = MembershipHarness()
        harness.introduce(1...8)
        harness.receive(.dead(MembershipHarness.accusation(of: 1, by: 2)), from: 2)
        #expect(harness.state(1) == .suspect, "a single liar must not bury anybody")
        harness.receive(.dead(MembershipHarness.accusation(of: 1, by: 2)), from: 2)
        #expect(harness.state(1) == .suspect)
        harness.now = harness.now + .seconds(1.2)
        harness.receive(.dead(MembershipHarness.accusation(of: 1, by: 3)), from: 3)
        #expect(harness.state(1) == .dead)
    }

    @Test("An accused peer refutes with a higher incarnation that its accuser hears first")
    func refuting() {
        var harness = MembershipHarness()
        harness.introduce(1...2)
        let accusation = MembershipHarness.accusation(of: 0, by: 2, incarnation: 1000)
        for message in [MembershipMessage.suspect(accusation), .dead(accusation)] {
            harness.receive(message, from: 1)
        }
        #expect(harness.core.ownRecord.incarnation == 1001)
        #expect(harness.core.ownRecord.isAuthentic(Fixtures.signer(0)))
        #expect(harness.sent(to: 1) == [.alive(harness.core.ownRecord)])
        // A lie about a future incarnation must not burn incarnations.
        harness.receive(.suspect(MembershipHarness.accusation(of: 0, by: 2, incarnation: .max - 1)), from: 1)
        #expect(harness.core.ownRecord.incarnation == 1001 && harness.core.counters[.unexpected] == 1)
    }

    @Test("A goodbye counts only if the leaver signed it, and outlives old records")
    func farewell() {
        var harness = MembershipHarness()
        harness.introduce(1...3)
        let forged = Farewell(incarnation: 5, signer: forger(of: 1))
        harness.receive(.left(forged), from: 2)
        #expect(harness.state(1) == .alive && harness.core.counters[.forged] == 1)
        harness.receive(.left(Farewell(incarnation: 5, signer: Fixtures.signer(1))), from: 2)
        #expect(harness.state(1) == .left && harness.events == [.memberLeft(Fixtures.peer(1))])
        harness.receive(.alive(Fixtures.record(1, incarnation: 5)), from: 2)
        #expect(harness.state(1) == .left, "the old record must not bring the peer back")
        harness.receive(.alive(Fixtures.record(1, incarnation: 6)), from: 2)
        #expect(harness.state(1) == .alive, "a new life is welcome")
        harness.receive(.left(Farewell(incarnation: 5, signer: Fixtures.signer(1))), from: 2)
        #expect(harness.state(1) == .alive, "a replayed goodbye is stale")
    }

    /// Says that it is another peer, but cannot sign for it.
    private func forger(of number: Int) -> Signer {
        let other = Fixtures.signer(number + 1_000_000)
        return Signer(peer: Fixtures.peer(number), sign: other.sign, verify: other.verify)
    }

    @Test("The dead are remembered, then forgotten")
    func retention() {
        var configuration = MembershipConfiguration()
        configuration.deadRetention = .seconds(30)
        var harness = MembershipHarness(configuration: configuration)
        harness.introduce(1...1)
        harness.pass(20)  // never answers
        #expect(harness.state(1) == .dead)
        harness.pass(40)
        #expect(harness.state(1) == nil && harness.core.members.count == 1)
        let forgotten = harness.effects.contains {
            if case .forget(let peer) = $0 { peer == Fixtures.peer(1) } else { false }
        }
        #expect(forgotten, "the shell has to hear that the session may go")
    }

    @Test("A record of this identity that it did not sign now is reported, and outbid")
    func identityConflict() {
        var harness = MembershipHarness()
        harness.introduce(1...1)
        harness.now = harness.now + MembershipConfiguration().formerLifeWindow
        let twin = Fixtures.record(0, incarnation: 2000)
        harness.receive(.alive(twin), from: 1)
        #expect(
            harness.events.contains(.identityConflict(incarnation: 2000, addresses: twin.contact.addresses)))
        #expect(harness.core.ownRecord.incarnation == 2001)
        // A twin that outbids at once is not answered at once, or both would race at the speed of gossip.
        harness.receive(.alive(Fixtures.record(0, incarnation: 2002)), from: 1)
        #expect(harness.core.ownRecord.incarnation == 2001 && harness.events.isEmpty)
        harness.now = harness.now + MembershipConfiguration().outbiddingInterval
        harness.receive(.alive(Fixtures.record(0, incarnation: 2004)), from: 1)
        #expect(harness.core.ownRecord.incarnation == 2005 && harness.events.count == 1)
    }

    @Test("Records of a former life are outbid at once and in any order, and are no conflict")
    func formerLife() {
        var harness = MembershipHarness()
        harness.introduce(1...1)
        for (old, expected) in [(UInt64(2000), UInt64(2001)), (2003, 2004), (2001, 2004)] {
            harness.receive(.alive(Fixtures.record(0, incarnation: old)), from: 1)
            #expect(harness.core.ownRecord.incarnation == expected, "after a record of \(old)")
        }
        // What this peer signs next may have been signed before, with other addresses.
        harness.receive(.alive(twin(0, incarnation: 2004)), from: 1)
        #expect(harness.core.ownRecord.incarnation == 2005)
        #expect(harness.events == [.formerLifeOutbid(incarnation: 2004)])
        harness.receive(.alive(harness.core.ownRecord), from: 1)
        #expect(harness.core.ownRecord.incarnation == 2005, "an echo of the own record is nothing to outbid")
    }

    @Test("A live peer that says something older than is known of it is told at once")
    func olderRecordOfALivePeer() {
        for (incarnation, addressed) in [(UInt64(3), false), (5, true)] {
            var harness = MembershipHarness()
            harness.introduce(1...1)
            let known = harness.core.member(Fixtures.peer(1))?.record
            let record = addressed ? twin(1, incarnation: incarnation) : Fixtures.record(1, incarnation: incarnation)
            harness.receive(.join(record), from: 1)
            let told = harness.sent(to: 1).contains {
                if case .alive(let told) = $0 { told.peer == record.peer } else { false }
            }
            #expect(told, "incarnation \(incarnation); known was \(String(describing: known?.incarnation))")
        }
    }

    @Test("Members notice when two processes outbid each other with one identity, and not when a peer moves")
    func twins() {
        for isTwin in [true, false] {
            var harness = MembershipHarness()
            harness.introduce(1...2)
            var reports = 0
            for step in 1...6 {
                let incarnation = UInt64(5 + step)
                let port = UInt16(isTwin ? step % 2 : step) + 9000
                harness.receive(.alive(twin(1, incarnation: incarnation, port: port)), from: 2)
                reports += harness.events.count { $0 == .identityUsedTwice(Fixtures.peer(1)) }
            }
            #expect(reports == (isTwin ? 1 : 0), "reported once, or not at all")
            // Whichever of the two pings has to learn of the other; who has moved hears no news for two minutes.
            for (seconds, expected) in [(1, true), (130, isTwin)] {
                harness.now = harness.now + .seconds(seconds)
                harness.receive(.ping(sequence: 1, viewDigest: harness.core.viewDigest), from: 1)
                let known = harness.core.member(Fixtures.peer(1))?.record
                let isReminded = harness.sent(to: 1).contains {
                    if case .alive(let told) = $0 { told == known } else { false }
                }
                #expect(isReminded == expected, "\(seconds) s later")
            }
        }
    }

    @Test("Of two records with one incarnation everybody keeps the same, in whichever order they come")
    func equalIncarnations() {
        let records = [twin(1, incarnation: 9, port: 1), twin(1, incarnation: 9, port: 2)]
        var kept: [PeerRecord?] = []
        for order in [records, records.reversed()] {
            var harness = MembershipHarness()
            harness.introduce(1...2)
            for record in order { harness.receive(.alive(record), from: 2) }
            kept.append(harness.core.member(Fixtures.peer(1))?.record)
        }
        #expect(kept[0] != nil && kept[0] == kept[1])
    }

    /// A record that the same key signed elsewhere.
    private func twin(_ number: Int, incarnation: UInt64, port: UInt16 = 4711) -> PeerRecord {
        var contact = Fixtures.record(number, incarnation: incarnation).contact
        contact.addresses = [NetworkAddress(ipv4: (192, 0, 2, 1), port: port)]
        return PeerRecord(contact: contact, incarnation: incarnation, signer: Fixtures.signer(number))
    }

    @Test("A peer that comes back with an old incarnation is told what it has to outbid")
    func returnWithOldClock() {
        var harness = MembershipHarness()
        harness.introduce(1...1)
        harness.pass(20)
        #expect(harness.state(1) == .dead)
        harness.receive(.join(Fixtures.record(1, incarnation: 3)), from: 1)
        #expect(harness.state(1) == .dead)
        let told = harness.sent(to: 1).contains {
            if case .dead(let word) = $0 { word.incarnation == 5 } else { false }
        }
        #expect(told)
    }

    @Test("A join is answered with everybody live, in pages that fit datagrams")
    func pages() {
        var harness = MembershipHarness()
        harness.introduce(1...30)
        harness.receive(.join(Fixtures.record(99, incarnation: 5)), from: 99)
        var listed: [PeerID] = []
        var cursors: [PeerID?] = []
        for message in harness.sent(to: 99) {
            guard case .statePage(let records, let cursor) = message else { continue }
            #expect(message.datagramBytes.count <= Limits.datagramPayloadBytes)
            listed += records.map(\.peer)
            cursors.append(cursor)
        }
        #expect(listed == (0...30).map { Fixtures.peer($0) }.sorted(), "sorted, with this peer and without the asker")
        #expect(cursors.dropLast().allSatisfy { $0 != nil } && cursors.last == .some(nil))
    }

    @Test("A long list goes on where the last page ended")
    func longList() throws {
        var harness = MembershipHarness()
        harness.introduce(1...200)
        var listed: [PeerID] = []
        var cursor: PeerID?
        var requests = 0
        repeat {
            requests += 1
            harness.receive(.stateRequest(after: cursor, pages: 8), from: 5)
            for message in harness.sent(to: 5) {
                guard case .statePage(let records, let through) = message else { continue }
                listed += records.map(\.peer)
                cursor = through
            }
        } while cursor != nil && requests < 20
        #expect(listed == (0...200).filter { $0 != 5 }.map { Fixtures.peer($0) }.sorted())
        #expect(requests > 2 && requests < 8)
    }

    @Test("Somebody else's record in a join is not accepted")
    func joinForOther() {
        var harness = MembershipHarness()
        harness.receive(.join(Fixtures.record(1, incarnation: 5)), from: 2)
        #expect(harness.state(1) == nil && harness.core.counters[.unexpected] == 1)
    }

    @Test("A helper pings for others, relays the answer, and says nack before the time is over")
    func helping() {
        var harness = MembershipHarness()
        harness.introduce(1...2)
        let request = MembershipMessage.pingRequest(
            sequence: 77, target: Fixtures.peer(1), timeoutMilliseconds: 500)
        harness.receive(request, from: 2)
        let sequences = harness.sent(to: 1).compactMap { message -> UInt32? in
            if case .ping(let sequence, _) = message { sequence } else { nil }
        }
        #expect(sequences.count == 1)
        harness.pass(0.39)
        #expect(!harness.sent(to: 2).contains(.nack(sequence: 77)))
        harness.pass(0.02)
        #expect(harness.sent(to: 2).contains(.nack(sequence: 77)))
        harness.receive(.ack(sequence: sequences[0], viewDigest: 0), from: 2)
        #expect(!harness.sent(to: 2).contains(.relayedAck(sequence: 77)), "only the target's own ack counts")
        harness.receive(.ack(sequence: sequences[0], viewDigest: 0), from: 1)
        #expect(harness.sent(to: 2).contains(.relayedAck(sequence: 77)))
    }

    @Test("A peer that did not run itself blames nobody")
    func ownPause() {
        var harness = MembershipHarness()
        harness.introduce(1...3)
        harness.pass(0.6)  // probes are on their way
        harness.now = harness.now + .seconds(30)
        harness.feed(.timer)
        #expect((1...3).allSatisfy { harness.state($0) == .alive }, "30 s of sleep are not the others' fault")
        harness.pass(30)
        #expect((1...3).allSatisfy { harness.state($0) == .dead }, "but real silence is noticed")
    }

    @Test("After its goodbye a peer says and hears nothing")
    func leaving() {
        var harness = MembershipHarness()
        harness.introduce(1...3)
        harness.feed(.leave)
        for number in 1...3 {
            #expect(harness.sent(to: number).contains { if case .left = $0 { true } else { false } })
        }
        #expect(harness.core.nextDeadline == nil)
        harness.receive(.ping(sequence: 1, viewDigest: 0), from: 1)
        #expect(harness.effects.isEmpty)
    }

    @Test("New addresses are signed with a new incarnation; at most eight of them")
    func addresses() {
        var harness = MembershipHarness()
        let addresses = (0..<12).map { NetworkAddress(ipv4: (192, 0, 2, UInt8($0)), port: 7600) }
        harness.feed(.setAddresses(addresses))
        #expect(harness.core.ownRecord.incarnation == 1001)
        #expect(harness.core.ownRecord.contact.addresses == Array(addresses.prefix(Limits.addressesPerRecord)))
        #expect(harness.core.ownRecord.isAuthentic(Fixtures.signer(0)))
        harness.feed(.setAddresses(addresses))
        #expect(harness.core.ownRecord.incarnation == 1001, "nothing new, nothing signed")
    }

    @Test("Two views that differ are made equal by comparing them", arguments: [20, 150])
    func comparingViews(count: Int) {
        var left = MembershipHarness()
        var right = Membership(
            contact: Fixtures.contact(1), signer: Fixtures.signer(1), incarnation: 5, seed: 2)
        var effects: [Membership.Effect] = []
        right.handle(.start(known: []), at: left.now, into: &effects)
        for number in 1...count where number % 7 != 3 {
            left.receive(
                .alive(Fixtures.record(number, incarnation: number % 5 == 1 && number > 1 ? 6 : 5)), from: number)
        }
        for number in 2...count where number % 4 != 1 {
            right.handle(
                .receive(.alive(Fixtures.record(number, incarnation: 5)), from: Fixtures.peer(number)), at: left.now,
                into: &effects)
        }
        effects = []
        right.handle(
            .receive(.alive(left.core.ownRecord), from: Fixtures.peer(0)), at: left.now, into: &effects)
        for _ in 0..<20 {
            left.now = left.now + .seconds(3)
            // One ping from the right; then both answer until there is nothing more to say.
            var toLeft: [MembershipMessage] = [.ping(sequence: 1, viewDigest: right.viewDigest)]
            while !toLeft.isEmpty {
                var toRight: [MembershipMessage] = []
                for message in toLeft {
                    left.receive(message, from: 1)
                    toRight += left.sent(to: 1)
                }
                effects = []
                for message in toRight {
                    right.handle(.receive(message, from: Fixtures.peer(0)), at: left.now, into: &effects)
                }
                toLeft = effects.flatMap { effect -> [MembershipMessage] in
                    if case .send(let messages, let peer) = effect, peer == Fixtures.peer(0) {
                        messages.filter { if case .ping = $0 { false } else { true } }
                    } else {
                        []
                    }
                }
            }
            if left.core.viewDigest == right.viewDigest { break }
        }
        #expect(left.core.viewDigest == right.viewDigest)
    }
}
