internal import Primitives
internal import Wire

/// The rules by which statements about peers override each other (SWIM, 4.2): a higher incarnation always wins; within an
/// incarnation `left` beats `dead` beats `suspect` beats `alive`. Only a peer itself can raise its incarnation.
extension Membership {
    // MARK: Alive

    mutating func hear(_ record: PeerRecord, from sender: PeerID, at now: Instant, into effects: inout [Effect]) {
        guard record.peer != peer else { return hearOfMyself(record, at: now, into: &effects) }
        guard policy.keeps(record.peer) else { return counters.count(.notAdmitted) }
        guard let slot = others.slot(of: record.peer) else {
            guard others.count < Limits.members else { return counters.count(.overLimit) }
            guard let kept = authenticated(record) else { return counters.count(.forged) }
            let slot = others.insert(Entry(kept, state: .left, since: now))
            revive(slot, with: kept, at: now, into: &effects)
            return
        }
        let known = others[slot].record.incarnation
        guard record.incarnation > known else {
            if record.incarnation < known { counters.count(.stale) }
            // A returning peer may not know what it has to refute; nobody else is told, or stale news would echo.
            if sender == record.peer, others[slot].state != .alive {
                effects.append(.send(accusations(against: sender), to: sender))
            } else if record.signature != others[slot].record.signature {
                hearTwin(slot, record, from: sender, at: now, into: &effects)
            }
            return
        }
        guard let kept = authenticated(record) else { return counters.count(.forged) }
        noteReplacement(slot, by: record, at: now, into: &effects)
        revive(slot, with: kept, at: now, into: &effects)
    }

    /// The record to keep, if its peer signed it.
    func authenticated(_ record: PeerRecord) -> KeptRecord? {
        if let known = pool?.record(equalTo: record) { return known }
        guard record.isAuthentic(signer) else { return nil }
        let kept = KeptRecord(record, withMessage: pool != nil)
        pool?.add(kept)
        return kept
    }

    mutating func revive(_ slot: PeerSlot, with kept: KeptRecord, at now: Instant, into effects: inout [Effect]) {
        let record = kept.record
        let wasLive = others[slot].livePosition != nil
        let oldHash = wasLive ? Self.viewHash(record.peer, others[slot].record.incarnation) : 0
        view.replace(record.peer, old: oldHash, new: Self.viewHash(record.peer, record.incarnation))
        others[slot].kept = kept
        if others[slot].state != .alive { others[slot].since = now }
        others[slot].state = .alive
        others[slot].suspicion = nil
        others[slot].accusedAt = nil
        others[slot].accuser = nil
        others[slot].farewell = nil
        effects.append(.learn(record.contact))
        if wasLive {
            effects.append(.event(.memberUpdated(record.peer)))
        } else {
            others[slot].livePosition = PeerSlot(live.count)
            others[slot].roundTrip = RoundTripEstimator()
            live.growSparingly()
            live.append(slot)
            beginWatching(record.peer)
            effects.append(.event(.memberUp(record.peer)))
        }
        if !isReadingOldNews { spread(kept.datagramBytes, about: record.peer, at: now) }
    }

    // MARK: Suspect

    mutating func suspect(
        _ accusation: Accusation, from sender: PeerID, at now: Instant, into effects: inout [Effect]
    ) {
        guard let slot = applicableSlot(accusation, from: sender, at: now, into: &effects) else { return }
        let subject = accusation.peer
        switch others[slot].state {
        case .alive:
            let minimum = profile.minimumSuspicion(count: liveCount)
            let suspicion = Suspicion(
                accuser: accusation.accuser, others: live.count - 1, minimum: minimum,
                maximum: minimum * configuration.suspicionMaximumFactor, at: now)
            others[slot].state = .suspect
            others[slot].since = now
            others[slot].suspicion = suspicion
            suspicions.insert(subject, at: suspicion.nextStep(lastQuestion: questionTime(suspicion)))
            effects.append(.event(.memberSuspected(subject, by: accusation.accuser)))
            spread(.suspect(accusation), about: subject, at: now)
            if accusation.accuser != peer { giveSecondOpinion(on: subject, at: now, into: &effects) }
        case .suspect:
            guard others[slot].suspicion?.confirm(by: accusation.accuser) == true,
                let suspicion = others[slot].suspicion
            else { return }
            suspicions.insert(subject, at: suspicion.nextStep(lastQuestion: questionTime(suspicion)))
            spread(.suspect(accusation), about: subject, lane: UInt8(suspicion.confirmations), at: now)
        case .dead, .left: break
        }
    }

    /// Some of the suspect's watchers ping it at once when they hear of the suspicion: either it learns of the accusation and
    /// refutes, or the confirmations that shorten the suspicion come early.
    private mutating func giveSecondOpinion(on subject: PeerID, at now: Instant, into effects: inout [Effect]) {
        let watchers = watchesEverybody ? live.count : WatchRings.count
        guard watches(subject), generator.index(below: max(watchers, 1)) < configuration.secondOpinions,
            !probes.contains(where: { $0.peer == subject && $0.purpose == .detection })
        else { return }
        probe(subject, for: .detection, at: now, into: &effects)
    }

    mutating func expireSuspicions(at now: Instant, into effects: inout [Effect]) {
        while let subject = suspicions.popDue(at: now) {
            guard let slot = others.slot(of: subject), let suspicion = others[slot].suspicion else { continue }
            let due = suspicion.nextStep(lastQuestion: questionTime(suspicion))
            guard due <= now else {
                suspicions.insert(subject, at: due)
                continue
            }
            let incarnation = others[slot].record.incarnation
            guard suspicion.askedAt == nil else {
                let accusation = Accusation(peer: subject, incarnation: incarnation, accuser: peer)
                kill(slot, accusation, at: now, into: &effects)
                continue
            }
            let accusation = Accusation(
                peer: subject, incarnation: incarnation, accuser: suspicion.accusers.first ?? peer)
            others[slot].suspicion?.askedAt = now
            effects.append(.send([.suspect(accusation)], to: subject))
            for neighbour in drawNeighbours(Self.lastQuestions + 1).filter({ $0 != subject }).prefix(Self.lastQuestions)
            {
                effects.append(.send([.suspect(accusation)], to: neighbour))
            }
            suspicions.insert(subject, at: max(suspicion.deadline, now + questionTime(suspicion)))
        }
    }

    /// Before a suspicion runs out, so many neighbours and the suspect are told of it once more. Any of them that has heard
    /// the refutation answers with it: among 300 peers that lose a tenth of their packets, news misses one peer in two
    /// hundred cases, and that peer would bury the living.
    private static var lastQuestions: Int { 4 }

    /// How long before its end this is. Nobody else may have heard of a suspicion that nobody has confirmed, as when the
    /// accuser was cut off and could not tell; there is no refutation yet, then, and it has to come from the suspect through
    /// peers between which sessions have to be made, or news waits for its round. There is time: such suspicions are long.
    private func questionTime(_ suspicion: Suspicion) -> Duration {
        let answer = max(.milliseconds(200), (profile.roundTrips?.far ?? .milliseconds(150)) + .milliseconds(50))
        guard suspicion.confirmations == 0 else { return answer }
        return max(answer, min(answer * Self.unheardFactor, suspicion.timeout / 2))
    }

    /// The question, the suspect's handshake or a hop of gossip to it, and the way back through a neighbour; and all of that
    /// once more if a packet is lost. A guess.
    private static var unheardFactor: Int { 5 }

    /// A suspect that speaks to this peer can hear it, too: it learns of the accusation, of which it may be the only one not
    /// to know, as when the accuser was cut off while its news went round.
    mutating func tellIfSuspect(_ sender: PeerID, at now: Instant, into effects: inout [Effect]) {
        guard let slot = others.slot(of: sender), others[slot].state == .suspect else { return }
        if let last = others[slot].accusedAt, now < last + configuration.accusationInterval { return }
        others[slot].accusedAt = now
        effects.append(.send(accusations(against: sender), to: sender))
    }

    // MARK: Dead

    /// Another's word that a peer is dead counts as a suspicion until the accused has had time to refute here, too, so that
    /// a single liar cannot bury anybody.
    mutating func declareDead(
        _ accusation: Accusation, from sender: PeerID, at now: Instant, into effects: inout [Effect]
    ) {
        guard let slot = applicableSlot(accusation, from: sender, at: now, into: &effects) else { return }
        guard others[slot].state.isLive else { return }
        if others[slot].suspicion?.isRipe(at: now) == true {
            kill(slot, accusation, at: now, into: &effects)
        } else {
            suspect(accusation, from: sender, at: now, into: &effects)
        }
    }

    private mutating func kill(
        _ slot: PeerSlot, _ accusation: Accusation, at now: Instant, into effects: inout [Effect]
    ) {
        retire(slot, as: .dead, at: now)
        others[slot].accuser = accusation.accuser
        retentions.insert(accusation.peer, at: now + configuration.deadRetention)
        if nextReconnect == nil { nextReconnect = now + configuration.reconnectInterval * (0.5 + generator.unit()) }
        effects.append(.event(.memberDown(accusation.peer)))
        spread(.dead(accusation), about: accusation.peer, at: now)
    }

    /// Whether an accusation is about a live incarnation of a known other peer. One against this peer is refuted here.
    private mutating func applicableSlot(
        _ accusation: Accusation, from sender: PeerID, at now: Instant, into effects: inout [Effect]
    ) -> PeerSlot? {
        guard accusation.peer != peer else {
            refute(accusation, from: sender, at: now, into: &effects)
            return nil
        }
        guard let slot = others.slot(of: accusation.peer) else {
            counters.count(.unknownSubject)
            return nil
        }
        let known = others[slot].record.incarnation
        guard accusation.incarnation == known else {
            // An incarnation that the accused has not been seen to sign proves nothing.
            counters.count(accusation.incarnation < known ? .stale : .unknownSubject)
            // Whoever still believes an accusation that was refuted may be about to declare the accused dead.
            if accusation.incarnation < known, others[slot].state.isLive {
                effects.append(.send([.alive(others[slot].record)], to: sender))
            }
            return nil
        }
        return slot
    }

    // MARK: Left

    mutating func bidFarewell(_ farewell: Farewell, at now: Instant, into effects: inout [Effect]) {
        guard farewell.peer != peer else {
            // A goodbye of a former life, or one that somebody else signed with this key: we are still here.
            guard farewell.incarnation >= ownRecord.incarnation else { return counters.count(.stale) }
            guard farewell.isAuthentic(signer) else { return counters.count(.forged) }
            renewOwnRecord(contact: ownRecord.contact, after: farewell.incarnation, at: now)
            return
        }
        guard let slot = others.slot(of: farewell.peer) else { return counters.count(.unknownSubject) }
        guard farewell.incarnation >= others[slot].record.incarnation else { return counters.count(.stale) }
        guard others[slot].state != .left else { return }
        guard farewell.isAuthentic(signer) else { return counters.count(.forged) }
        retire(slot, as: .left, at: now)
        others[slot].farewell = farewell
        retentions.insert(farewell.peer, at: now + configuration.leftRetention)
        effects.append(.event(.memberLeft(farewell.peer)))
        spread(.left(farewell), about: farewell.peer, at: now)
    }

    /// Takes only these for members from now on. A peer that was expelled and is admitted again begins afresh, with whatever
    /// incarnation it has.
    mutating func restrict(to policy: AdmissionPolicy, into effects: inout [Effect]) {
        self.policy = policy
        joins.removeAll { !policy.keeps($0.contact.peer) }
        let pardoned = others.order.filter { others[$0].state == .left && others[$0].farewell == nil }
            .map { others.peer(at: $0) }.filter { policy.keeps($0) }
        for peer in pardoned {
            others.remove(peer)
            effects.append(.forget(peer))
        }
    }

    /// Takes a peer out because its admission was revoked; everybody hears of that by the list, so nothing is spread.
    mutating func expel(_ peer: PeerID, at now: Instant, into effects: inout [Effect]) {
        guard let slot = others.slot(of: peer), others[slot].state != .left else { return }
        retire(slot, as: .left, at: now)
        for lane in 0...UInt8(Suspicion.maximumConfirmations) { news.remove(NewsSubject(peer: peer, lane: lane)) }
        retentions.insert(peer, at: now + configuration.leftRetention)
        effects.append(.event(.memberLeft(peer)))
    }

    /// Says goodbye to everybody that fits in a burst; they tell the rest.
    mutating func leave(into effects: inout [Effect]) {
        guard isStarted else { return }
        let farewell = MembershipMessage.left(Farewell(incarnation: ownRecord.incarnation, signer: signer))
        for peer in draw(Self.farewellBurst, where: { _ in true }) {
            effects.append(.send([farewell], to: peer))
        }
        hasLeft = true
    }

    private static var farewellBurst: Int { 64 }

    // MARK: This peer

    private mutating func refute(
        _ accusation: Accusation, from sender: PeerID, at now: Instant, into effects: inout [Effect]
    ) {
        guard accusation.incarnation <= ownRecord.incarnation else { return counters.count(.unexpected) }
        if accusation.incarnation == ownRecord.incarnation {
            renewOwnRecord(contact: ownRecord.contact, after: accusation.incarnation, at: now)
            health.change(by: 1)
            effects.append(.event(.refuted(accuser: accusation.accuser)))
            tellNeighbours(at: now, into: &effects)
        }
        effects.append(.send([.alive(ownRecord)], to: sender))
    }

    /// A refutation races against suspicions that run out everywhere: all neighbours get it at once, and everybody is two
    /// hops away. Not more than once in `refutationInterval`, so that an accuser cannot make this peer a flooder.
    private mutating func tellNeighbours(at now: Instant, into effects: inout [Effect]) {
        if let next = nextRefutation, now < next { return }
        nextRefutation = now + configuration.refutationInterval
        for neighbour in drawNeighbours(.max) { effects.append(.send([.alive(ownRecord)], to: neighbour)) }
    }

    /// Signs a record with the next incarnation and spreads it.
    mutating func renewOwnRecord(contact: Contact, after incarnation: UInt64, at now: Instant) {
        let old = Self.viewHash(peer, ownRecord.incarnation)
        // An incarnation of 2⁶⁴ - 1 can only come from this key's holder; it would be the last one.
        let next = max(incarnation, ownRecord.incarnation)
        ownRecord = PeerRecord(contact: contact, incarnation: next == .max ? next : next + 1, signer: signer)
        view.replace(peer, old: old, new: Self.viewHash(peer, ownRecord.incarnation))
        if isStarted { spread(.alive(ownRecord), about: peer, at: now) }
    }

    // MARK: Bookkeeping

    /// Takes a peer out of the live ones.
    private mutating func retire(_ slot: PeerSlot, as state: Member.State, at now: Instant) {
        let peer = others.peer(at: slot)
        if let position = others[slot].livePosition {
            view.replace(peer, old: Self.viewHash(peer, others[slot].record.incarnation), new: 0)
            live.swapAt(Int(position), live.count - 1)
            live.removeLast()
            if position < live.count { others[live[Int(position)]].livePosition = position }
            others[slot].livePosition = nil
            endWatching(peer)
        }
        others[slot].state = state
        others[slot].since = now
        others[slot].suspicion = nil
        probes.removeAll { $0.peer == peer && $0.purpose == .detection }
    }

    /// Drops the dead and departed whose time of remembrance is over.
    mutating func forgetTheDead(at now: Instant, into effects: inout [Effect]) {
        while let peer = retentions.popDue(at: now) {
            guard let slot = others.slot(of: peer), !others[slot].state.isLive else { continue }
            let retention =
                others[slot].state == .dead ? configuration.deadRetention : configuration.leftRetention
            guard others[slot].since + retention <= now else { continue }
            others.remove(peer)
            for lane in 0...UInt8(Suspicion.maximumConfirmations) { news.remove(NewsSubject(peer: peer, lane: lane)) }
            effects.append(.forget(peer))
        }
    }

    /// What somebody who believes the peer alive has to be told.
    func overridingStatements(at slot: PeerSlot) -> [MembershipMessage] {
        let entry = others[slot]
        switch entry.state {
        case .alive: return [.alive(entry.record)]
        case .suspect:
            guard let accuser = entry.suspicion?.accusers.first else { return [.alive(entry.record)] }
            return [
                .suspect(
                    Accusation(peer: entry.record.peer, incarnation: entry.record.incarnation, accuser: accuser))
            ]
        case .dead:
            return [
                .dead(
                    Accusation(
                        peer: entry.record.peer, incarnation: entry.record.incarnation, accuser: entry.accuser ?? peer))
            ]
        case .left: return entry.farewell.map { [.left($0)] } ?? []
        }
    }
}
