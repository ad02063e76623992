internal import Primitives
internal import Wire

/// One question to a peer and how far its answer has been waited for.
struct Probe: Sendable {
    enum Purpose: Sendable {
        /// Failure detection: no answer means suspicion.
        case detection
        /// A person or another room wants to know the round trip.
        case onDemand
        /// A dead peer might be back.
        case reconnection
    }

    let peer: PeerID
    let sequence: UInt32
    let purpose: Purpose
    let sent: Instant
    var deadline: Instant
    /// Helpers that were asked, once the direct answer did not come.
    var helpers: [PeerID]?
    var nacks = 0
}

/// A ping on somebody else's behalf.
struct Relay: Sendable {
    let sequence: UInt32
    let target: PeerID
    let requester: PeerID
    let requesterSequence: UInt32
    let end: Instant
    /// The nack's time, then the end.
    var deadline: Instant
}

extension Membership {
    /// Relays at once; more are not taken on, which the requester's other helpers cover.
    private static var maximumRelays: Int { 256 }
    /// Probes of one kind at once; a person's script may not make this peer a flooder.
    private static var maximumProbes: Int { 256 }

    // MARK: The prober

    mutating func runProbes(at now: Instant, into effects: inout [Effect]) {
        // Probes are few; they expire in the order in which they were sent, but for different patience.
        var index = 0
        while index < probes.count {
            guard probes[index].deadline <= now else {
                index += 1
                continue
            }
            if probes[index].helpers == nil, probes[index].purpose == .detection {
                askHelpers(for: index, at: now, into: &effects)
                index += 1
            } else {
                fail(probes.remove(at: index), at: now, into: &effects)
            }
        }
        if let due = nextProbe, due <= now {
            let interval = configuration.probeInterval * health.multiplier
            nextProbe = max(due + interval, now + interval / 2)
            probeNext(at: now, into: &effects)
        }
        if let due = nextReconnect, due <= now { reconnect(at: now, into: &effects) }
    }

    private mutating func probeNext(at now: Instant, into effects: inout [Effect]) {
        let (rings, others, watchesAll) = (rings, others, watchesEverybody)
        let target = schedule.next(using: &generator) { peer in
            watchesAll ? others.slot(of: peer).map { others[$0].state.isLive } ?? false : rings.contains(peer)
        }
        guard let target, !probes.contains(where: { $0.peer == target && $0.purpose == .detection }) else { return }
        probe(target, for: .detection, at: now, into: &effects)
    }

    mutating func probe(
        _ target: PeerID, for purpose: Probe.Purpose, at now: Instant, into effects: inout [Effect]
    ) {
        guard probes.count < Self.maximumProbes else { return counters.count(.overLimit) }
        nextSequence &+= 1
        probes.append(
            Probe(
                peer: target, sequence: nextSequence, purpose: purpose, sent: now,
                deadline: now + directTimeout(target)))
        let ping = MembershipMessage.ping(sequence: nextSequence, viewDigest: view.root)
        effects.append(.send(accusations(against: target) + [ping], to: target))
    }

    /// What the accused must hear before anything else, so that it can refute at once (Lifeguard, IV-C: "Buddy System").
    /// Its own record goes with it: a peer that lost its memory, and whose clock went back, sees what it has to outbid.
    func accusations(against target: PeerID) -> [MembershipMessage] {
        guard let slot = others.slot(of: target) else { return [] }
        switch others[slot].state {
        case .alive: return []
        case .suspect, .left: return overridingStatements(at: slot)
        case .dead: return [.alive(others[slot].record)] + overridingStatements(at: slot)
        }
    }

    mutating func pingOnDemand(_ target: PeerID, at now: Instant, into effects: inout [Effect]) {
        guard others.slot(of: target) != nil, probes.count < Self.maximumProbes else {
            effects.append(.event(.pinged(target, roundTrip: nil)))
            return
        }
        probe(target, for: .onDemand, at: now, into: &effects)
    }

    private mutating func askHelpers(for index: Int, at now: Instant, into effects: inout [Effect]) {
        let probe = probes[index]
        effects.append(.probeLost(probe.peer))
        let timeout = indirectTimeout(probe.peer)
        let helpers = drawHelpers(for: probe.peer)
        probes[index].helpers = helpers
        probes[index].deadline = now + timeout
        for helper in helpers {
            // The request and the nack travel, too: a nack that came late would count as a helper's silence.
            let trip = others.slot(of: helper).flatMap { others[$0].roundTrip.patience } ?? .zero
            let patience = max(timeout - trip, timeout / 4)
            let request = MembershipMessage.pingRequest(
                sequence: probe.sequence, target: probe.peer,
                timeoutMilliseconds: UInt16(clamping: Int(patience.milliseconds)))
            effects.append(.send([request], to: helper))
        }
        // The ping or its answer may simply have been lost, or the peer has lost its keys.
        effects.append(.renewSession(probe.peer))
        let ping = MembershipMessage.ping(sequence: probe.sequence, viewDigest: view.root)
        effects.append(.send(accusations(against: probe.peer) + [ping], to: probe.peer))
    }

    /// Neighbours whose round trip is known and which are believed to be well, before anybody else: a request to a stranger
    /// would begin with a handshake, and its nack come too late.
    private mutating func drawHelpers(for target: PeerID) -> [PeerID] {
        let near = drawNeighbours(.max).filter { peer in
            guard peer != target, let slot = others.slot(of: peer) else { return false }
            return others[slot].state == .alive && others[slot].roundTrip.smoothed != nil
        }
        guard near.count < configuration.helpers else { return Array(near.prefix(configuration.helpers)) }
        return draw(configuration.helpers) { $0.record.peer != target && $0.state == .alive }
    }

    private mutating func fail(_ probe: Probe, at now: Instant, into effects: inout [Effect]) {
        switch probe.purpose {
        case .onDemand: effects.append(.event(.pinged(probe.peer, roundTrip: nil)))
        // It may be alive and have lost its keys. Nobody is left who would say so if all others seem to be dead.
        case .reconnection: effects.append(.renewSession(probe.peer))
        case .detection:
            let helpers = probe.helpers ?? []
            // Helpers that say nothing at all hint that this peer is the one that cannot be reached (Lifeguard, IV-A).
            health.change(by: helpers.isEmpty ? 1 : helpers.count - min(probe.nacks, helpers.count))
            guard let slot = others.slot(of: probe.peer), others[slot].state.isLive else { return }
            let accusation = Accusation(
                peer: probe.peer, incarnation: others[slot].record.incarnation, accuser: peer)
            suspect(accusation, from: peer, at: now, into: &effects)
        }
    }

    mutating func acknowledge(_ sequence: UInt32, from sender: PeerID, at now: Instant, into effects: inout [Effect]) {
        if let index = relays.firstIndex(where: { $0.sequence == sequence && $0.target == sender }) {
            let relay = relays.remove(at: index)
            effects.append(.send([.relayedAck(sequence: relay.requesterSequence)], to: relay.requester))
            return
        }
        guard let index = probes.firstIndex(where: { $0.sequence == sequence && $0.peer == sender }) else { return }
        let probe = probes.remove(at: index)
        if probe.purpose == .detection { health.change(by: -1) }
        // After a repetition nobody knows which ping was answered (Karn's rule).
        guard probe.helpers == nil else { return }
        let roundTrip = now - probe.sent
        typicalRoundTrip.add(roundTrip)
        if let slot = others.slot(of: sender) { others[slot].roundTrip.add(roundTrip) }
        updateProfile(at: now)
        effects.append(.roundTrip(sender, roundTrip))
        if probe.purpose == .onDemand { effects.append(.event(.pinged(sender, roundTrip: roundTrip))) }
    }

    mutating func acknowledgeThroughHelper(_ sequence: UInt32, from helper: PeerID, into effects: inout [Effect]) {
        let found = probes.firstIndex { $0.sequence == sequence && $0.helpers?.contains(helper) == true }
        guard let index = found else { return }
        probes.remove(at: index)
        health.change(by: -1)
    }

    mutating func noteNack(_ sequence: UInt32, from helper: PeerID) {
        let found = probes.firstIndex { $0.sequence == sequence && $0.helpers?.contains(helper) == true }
        guard let index = found else { return }
        probes[index].nacks += 1
    }

    /// How long an answer of the peer may take. Time-outs follow the measured round trip, so that far peers are not suspected
    /// and near ones not waited for; a peer that was not measured yet gets twice what others take, and time for a handshake.
    private func patience(with target: PeerID) -> Duration {
        if let measured = others.slot(of: target).flatMap({ others[$0].roundTrip.patience }) { return measured }
        guard let typical = typicalRoundTrip.patience else { return profile.initialProbeTimeout }
        return min(profile.initialProbeTimeout, typical * 2 + .milliseconds(100))
    }

    private func directTimeout(_ target: PeerID) -> Duration {
        max(configuration.minimumProbeTimeout, patience(with: target) + .milliseconds(50)) * health.multiplier
    }

    private func indirectTimeout(_ target: PeerID) -> Duration {
        max(profile.minimumIndirectTimeout, patience(with: target) * 2 + .milliseconds(100)) * health.multiplier
    }

    /// Tries one of the dead: the two sides of a healed partition find each other so.
    private mutating func reconnect(at now: Instant, into effects: inout [Effect]) {
        let dead = others.order.filter { others[$0].state == .dead }
        guard !dead.isEmpty else {
            nextReconnect = nil
            return
        }
        nextReconnect = now + configuration.reconnectInterval
        probe(others.peer(at: dead[generator.index(below: dead.count)]), for: .reconnection, at: now, into: &effects)
    }

    // MARK: The helper

    mutating func relay(
        _ sequence: UInt32, target: PeerID, timeout: Duration, for requester: PeerID, at now: Instant,
        into effects: inout [Effect]
    ) {
        guard others.slot(of: target) != nil else { return counters.count(.unknownSubject) }
        guard relays.count < Self.maximumRelays else { return counters.count(.overLimit) }
        nextSequence &+= 1
        relays.append(
            Relay(
                sequence: nextSequence, target: target, requester: requester, requesterSequence: sequence,
                end: now + timeout, deadline: now + timeout * configuration.nackShare))
        effects.append(.send([.ping(sequence: nextSequence, viewDigest: view.root)], to: target))
    }

    mutating func runRelays(at now: Instant, into effects: inout [Effect]) {
        var index = 0
        while index < relays.count {
            let relay = relays[index]
            if relay.end <= now {
                relays.remove(at: index)
                continue
            }
            if relay.deadline <= now {
                relays[index].deadline = relay.end
                effects.append(.send([.nack(sequence: relay.requesterSequence)], to: relay.requester))
            }
            index += 1
        }
    }
}
