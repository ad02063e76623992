import Primitives
import Wire

/// One bandwidth session at a time: when to begin one, what to grant, what came of it.
extension Probing {
    func isCurrent(_ identifier: UInt32, _ peer: PeerID) -> Bool {
        session.map { $0.identifier == identifier && $0.peer == peer } ?? false
    }

    mutating func withSession(
        at now: Instant, _ effects: inout [Effect], _ body: (inout TrainSession) -> [TrainSession.Action]
    ) {
        guard var current = session else { return }
        session = nil  // so that the session's arrays are not copied
        let actions = body(&current)
        session = current
        for action in actions {
            switch action {
            case .send(let messages): effects.append(.send(messages, to: current.peer))
            case .finished(let result): finishSession(result, at: now, &effects)
            }
        }
    }

    mutating func finishSession(_ result: TrainSession.Result, at now: Instant, _ effects: inout [Effect]) {
        guard let done = session else { return }
        session = nil
        let peer = done.peer
        waiting.removeAll { $0 == peer }
        if done.isInitiator, !done.isGranted { decideHeld(at: now, &effects) }
        pay(for: done, result, at: now)
        if result.receive != nil || result.send != nil {
            typicalSession = (typicalSession * 7 + (now - done.startedAt)) / 8
            if !done.isInitiator { lastGranted = (peer, now) }
            addLink(to: peer, at: now)
            links[peer]?.failures = 0
            switch done.purpose {
            case .available: return finishAvailable(result, of: peer, at: now, &effects)
            case .attested: return finishAttested(result, of: peer, at: now, &effects)
            case .routine, .requested: break
            }
            budget.note(settled: !result.isUnsettled, at: now)
            guard let link = links[peer] else { return }
            let believed = believed(result, of: peer, at: now)
            links[peer]?.receiveBandwidth = result.receive ?? .zero
            links[peer]?.sendBandwidth = believed
            links[peer]?.receiveBurst = result.receiveBurst
            links[peer]?.sendBurst = result.sendBurst
            links[peer]?.refinements = link.wantsLongTrains && result.isShort ? link.refinements + 1 : 0
            links[peer]?.wantsLongTrains = result.isShort
            links[peer]?.unsettled = result.isUnsettled ? link.unsettled + 1 : 0
            links[peer]?.confidence = result.confidence
            links[peer]?.trains = result.trains
            links[peer]?.measuredAt = now
            let wantsMore = links[peer]?.wantsAvailable ?? false
            links[peer]?.isRequested = wantsMore
            if let report = links[peer]?.report(of: peer) { effects.append(.event(.measured(peer, report))) }
        } else if done.isInitiator {
            fail(peer, at: now, &effects)
        }
        schedule(at: now, &effects)
        if !isMeasuring(at: now) { notePublication(at: now + .milliseconds(200)) }
    }

    private mutating func pay(for done: TrainSession, _ result: TrainSession.Result, at now: Instant) {
        // The fastest link is the least that the access link can do.
        let up = linkOrder.reduce(result.send ?? .zero) { max($0, links[$1]?.sendBandwidth ?? .zero) }
        let down = linkOrder.reduce(result.receive ?? .zero) { max($0, links[$1]?.receiveBandwidth ?? .zero) }
        let times = [(done.sentBytes, up), (done.receivedBytes, down)].map { bytes, rate in
            rate > .zero ? rate.seconds(forBytes: Double(bytes)) : 0
        }
        budget.spend(bytes: max(done.sentBytes, done.receivedBytes), linkSeconds: max(times[0], times[1]), at: now)
    }

    private mutating func finishAttested(
        _ result: TrainSession.Result, of peer: PeerID, at now: Instant, _ effects: inout [Effect]
    ) {
        decideDoubt(result, of: peer, at: now)
        if let reading = result.receive { correct(reading, from: peer) }
        schedule(at: now, &effects)
        if !isMeasuring(at: now) { notePublication(at: now + .milliseconds(200)) }
    }

    private mutating func finishAvailable(
        _ result: TrainSession.Result, of peer: PeerID, at now: Instant, _ effects: inout [Effect]
    ) {
        links[peer]?.sendAvailable = result.sendAvailable
        links[peer]?.receiveAvailable = result.receiveAvailable
        links[peer]?.availableAt = now
        links[peer]?.isRequested = false
        links[peer]?.wantsAvailable = false
        effects.append(
            .event(.available(peer, send: result.sendAvailable, receive: result.receiveAvailable)))
        schedule(at: now, &effects)
    }

    /// What the next session with a peer is for.
    private func purpose(with peer: PeerID) -> TrainSession.Purpose {
        guard let link = links[peer] else { return .routine }
        if link.isRequested { return link.wantsAvailable && link.measuredAt != nil ? .available : .requested }
        return link.doubt != nil ? .attested : .routine
    }

    private mutating func tokens() -> TrainTokens {
        serial += 1
        return TrainTokens(secret: tokenSecret, serial: serial)
    }

    private func background(of peer: PeerID) -> TrainSession.Background {
        let link = links[peer]
        return TrainSession.Background(
            roundTrip: link?.roundTrip.minimum ?? .milliseconds(100),
            send: link?.doubt?.claim ?? link?.sendBandwidth ?? .zero, receive: link?.receiveBandwidth ?? .zero,
            sendBorneOut: link?.doubt?.borneOut ?? .zero)
    }

    /// A peer that does not answer is tried again after a pause that doubles from half a second to a minute.
    mutating func fail(_ peer: PeerID, at now: Instant, _ effects: inout [Effect]) {
        guard let link = links[peer] else { return }
        let pause = Duration.milliseconds(500) * (1 << min(link.failures, 7))
        links[peer]?.failures += 1
        links[peer]?.notBefore = now + min(pause, .seconds(60)) * (0.75 + generator.unit() / 2)
        if link.isRequested, link.failures >= 2 {
            links[peer]?.isRequested = false
            links[peer]?.wantsAvailable = false
            effects.append(.event(.measurementFailed(peer)))
        }
    }

    mutating func measure(_ peer: PeerID, available: Bool, at now: Instant, _ effects: inout [Effect]) {
        guard peer != local, configuration.measuresBandwidth else {
            return effects.append(.event(.measurementFailed(peer)))
        }
        addLink(to: peer, at: now)
        links[peer]?.isRequested = true
        if available { links[peer]?.wantsAvailable = true }
        links[peer]?.failures = 0
        links[peer]?.notBefore = now
        if !available { echoClosely(peer, at: now) }
        schedule(at: now, &effects)
    }

    /// A peer's wish for a session.
    struct Reservation: Sendable {
        var peer: PeerID
        var identifier: UInt32
        var purpose: TrainSession.Purpose
        /// Bytes that its budget bears.
        var allowance: Int
        var at: Instant
    }

    /// Answers a reservation, or holds it back while this peer's own is undecided, which it may well lose. A chain of such
    /// waits always has an end, because only peers with a greater identity than the asker's hold.
    mutating func receive(_ wish: Reservation, at now: Instant, _ effects: inout [Effect]) {
        let peer = wish.peer
        if let current = session {
            let isSamePeer = current.peer == peer
            if isSamePeer, current.isInitiator, !current.isGranted, local < peer { return }  // they will grant ours
            // A second reservation by the same peer means that it has given up the first.
            guard isSamePeer, !(current.isInitiator && current.isGranted) else {
                if !current.isGranted, held == nil, peer < local {
                    held = wish
                    return
                }
                // What takes long already takes longer.
                let elapsed = now - current.startedAt
                let left = max(typicalSession - elapsed, elapsed / 2)
                return refuse(wish, for: min(left, .seconds(2)), at: now, &effects)
            }
        }
        if let free = site.blocked(with: peer, at: now) {
            return refuse(wish, for: min(typicalSession, free - now), at: now, &effects)
        }
        if let link = links[peer], link.roundTrip.samples == 0, now < link.since + .seconds(1) {
            return refuse(wish, for: .milliseconds(100), at: now, &effects)
        }
        guard configuration.measuresBandwidth, isAllowed(peer, at: now) else {
            return refuse(wish, for: configuration.grantInterval, at: now, &effects)
        }
        // A pair's first figure is worth a debt.
        let isRepeated = wish.purpose == .routine && links[peer]?.measuredAt != nil
        let welcomeAt =
            isRepeated ? budget.begin(bytes: TrainSession.leastBytes, at: now) : budget.bearable(at: now)
        guard welcomeAt <= now else { return refuse(wish, for: welcomeAt - now, at: now, &effects) }
        let allowance = budget.allowance(for: wish.purpose, at: now)
        session = TrainSession(
            granting: wish.identifier, to: peer, purpose: wish.purpose, allowance: min(allowance, wish.allowance),
            background: background(of: peer), policy: configuration.session, tokens: tokens(), at: now)
        waiting.removeAll { $0 == peer }
        effects.append(
            .send([.grant(session: wish.identifier, allowanceBytes: UInt32(clamping: allowance))], to: peer))
    }

    private mutating func refuse(
        _ wish: Reservation, for wait: Duration, at now: Instant, _ effects: inout [Effect]
    ) {
        let peer = wish.peer
        if session != nil, waiting.count < Self.maximumWaiting, !waiting.contains(peer), links[peer]?.measuredAt == nil
        {
            addLink(to: peer, at: now)
            waiting.append(peer)
            // It answers: no reason to wait for it any longer. If it is busy in turn, there is.
            links[peer]?.notBefore = now
        }
        let milliseconds = UInt16(min(max(wait.milliseconds, 5), 60_000))
        effects.append(.send([.busy(session: wish.identifier, retryAfterMilliseconds: milliseconds)], to: wish.peer))
    }

    /// This peer's own reservation is decided: so is the one that was held back, if its peer is still waiting for it.
    mutating func decideHeld(at now: Instant, _ effects: inout [Effect]) {
        guard let wish = held.take() else { return }
        let roundTrip = links[wish.peer]?.roundTrip.minimum ?? .milliseconds(100)
        guard now < wish.at + .milliseconds(100) + roundTrip * 2 else { return }
        receive(wish, at: now, &effects)
    }

    func isAllowed(_ peer: PeerID, at now: Instant) -> Bool {
        guard let lastGranted, lastGranted.peer == peer else { return true }
        return now >= lastGranted.at + configuration.grantInterval
    }

    /// Starts the next session that is due, or notes when one will be.
    mutating func schedule(at now: Instant, _ effects: inout [Effect]) {
        scheduleDeadline = nil
        guard configuration.measuresBandwidth, session == nil else { return }
        dropDoubtsOfNearLinks(at: now)
        let requested = linkOrder.filter { links[$0]?.isRequested == true }
        let doubted = linkOrder.filter { links[$0]?.doubt != nil }
        for peer in requested + doubted + waiting.filter({ links[$0]?.measuredAt == nil }) + partners {
            guard var due = sessionDue(with: peer, at: now) else { continue }
            if let free = site.blocked(with: peer, at: now) { due = max(due, free) }
            guard now >= due else {
                scheduleDeadline = scheduleDeadline.map { min($0, due) } ?? due
                continue
            }
            let identifier = UInt32(truncatingIfNeeded: generator.next())
            let purpose = purpose(with: peer)
            let allowance = budget.allowance(for: purpose, at: now)
            session = TrainSession(
                reserving: identifier, with: peer, purpose: purpose, allowance: allowance,
                background: background(of: peer), policy: configuration.session, tokens: tokens(), at: now)
            scheduleDeadline = nil
            let message = ProbingMessage.reserve(
                session: identifier, purpose, allowanceBytes: UInt32(clamping: allowance))
            effects.append(.send([message], to: peer))
            return
        }
    }

    /// When this end should begin a session. The peer with the lower identity does in a small swarm; the other one steps in
    /// late, in case the first cannot. In a large swarm whoever picked the other begins.
    private mutating func sessionDue(with peer: PeerID, at now: Instant) -> Instant? {
        guard let link = links[peer], link.roundTrip.samples > 0 || link.isRequested else { return nil }
        if link.isRequested { return max(link.notBefore, budget.bearable(at: now)) }
        if let doubt = link.doubt {
            return max(
                link.notBefore, doubt.nextAttempt, budget.begin(bytes: TrainSession.leastBytes, at: now))
        }
        let isMine =
            local < peer || memberCount >= PartnerSelection.allPairsMembers || waiting.contains(peer)
        let rate = max(link.sendBandwidth, link.receiveBandwidth)
        var due: Instant
        if let measuredAt = freshSince(link) {
            due = measuredAt + age(of: link, rate, at: now) * (isMine ? 1 : 1.2)
        } else {
            due = max(link.since + (isMine ? configuration.firstSessionDelay : .seconds(15)), calmAt ?? now)
        }
        due = max(due, link.notBefore)
        // A pair's first figure is worth a debt.
        guard link.measuredAt != nil else { return max(due, budget.bearable(at: now)) }
        return max(
            due, budget.begin(bytes: configuration.session.typicalBytes(at: rate, isNear: isNear(link)), at: now))
    }

    /// How old a link's figures get before they are measured again.
    private func age(of link: ProbedLink, _ rate: Bandwidth, at now: Instant) -> Duration {
        // What the machines have no time for is left alone, for twice as long each time that it is in vain.
        if link.unsettled > 0 {
            return configuration.bandwidthAge * (1 << min(link.unsettled - 1, Self.longestUnsettled))
        }
        let isFastEnough = isNear(link) && rate > configuration.session.routineRate
        guard link.wantsLongTrains, !isFastEnough, !isMeasuring(at: now) else { return configuration.bandwidthAge }
        return min(configuration.refinement * (1 << min(link.refinements, 10)), configuration.bandwidthAge)
    }

    /// The age of a link whose trains disagree is at most this power of two times the usual one: an hour and a quarter.
    private static let longestUnsettled = 3
}
