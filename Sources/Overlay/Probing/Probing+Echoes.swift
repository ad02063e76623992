import Primitives
import Wire

/// Round trip, jitter and loss.
extension Probing {
    mutating func record(_ sample: Duration, of peer: PeerID, at now: Instant) {
        let isFirst = links[peer]?.roundTrip.samples == 0
        links[peer]?.roundTrip.record(sample, at: now)
        links[peer]?.loss.record(lost: false)
        if isFirst { scheduleDeadline = now }
        guard memberCount >= PartnerSelection.allPairsMembers else { return }
        if let known = nearest.firstIndex(where: { $0.peer == peer }) {
            nearest[known].roundTrip = min(nearest[known].roundTrip, sample)
        } else {
            nearest.append((peer, sample))
        }
        nearest.sort { ($0.roundTrip, $0.peer) < ($1.roundTrip, $1.peer) }
        if nearest.count > 16 { nearest.removeLast() }
    }

    /// The round trip of an answered echo is without the time for which the other machine had it before its process answered. That
    /// is a claim, so half of the round trip counts at most, and no more than `longestHeld`: nobody can seem much nearer than it is.
    mutating func receiveEchoReply(
        _ token: UInt32, held: Duration, from peer: PeerID, at now: Instant, _ effects: inout [Effect]
    ) {
        guard let place = links[peer]?.pending.firstIndex(where: { $0.token == token }),
            let echo = links[peer]?.pending.remove(at: place)
        else { return }
        let whole = now - echo.sentAt
        let sample = whole - min(held, whole / 2, Self.longestHeld)
        record(sample, of: peer, at: now)
        if echo.isPing { effects.append(.event(.pong(peer, sample))) }
        if let deadline = scheduleDeadline, now >= deadline { schedule(at: now, &effects) }
    }

    mutating func sendDueEchoes(at now: Instant, _ effects: inout [Effect]) {
        while let item = echoDeadlines.popDue(at: now) {
            let peer = item.peer
            guard links[peer]?.echoDue == item.at else { continue }
            links[peer]?.echoDue = nil
            expireEchoes(to: peer, at: now, &effects)
            if let due = links[peer]?.nextEcho, now >= due {
                sendEcho(to: peer, isPing: false, at: now, &effects)
                let left = (links[peer]?.echoesLeft ?? 1) - 1
                let pause =
                    left > 0
                    ? links[peer]?.closeInterval ?? .zero : configuration.echoInterval * (0.75 + generator.unit() / 2)
                links[peer]?.echoesLeft = max(0, left)
                links[peer]?.nextEcho = now + pause
            }
            noteEchoDeadline(of: peer)
        }
    }

    /// Sends echoes close together from now on, and keeps the link's session from beginning before they have left.
    mutating func echoClosely(_ peer: PeerID, at now: Instant) {
        links[peer]?.echoesLeft = configuration.askedEchoes
        links[peer]?.closeInterval = configuration.askedEchoInterval
        links[peer]?.nextEcho = now
        links[peer]?.notBefore = now + configuration.askedEchoInterval * configuration.askedEchoes
        noteEchoDeadline(of: peer)
    }

    mutating func sendEcho(to peer: PeerID, isPing: Bool, at now: Instant, _ effects: inout [Effect]) {
        guard peer != local else { return }
        if isPing { addLink(to: peer, at: now) }
        let token = UInt32(truncatingIfNeeded: generator.next())
        links[peer]?.pending.append(ProbedLink.PendingEcho(token: token, sentAt: now, isPing: isPing))
        effects.append(.send([.echo(token: token)], to: peer))
        freshEchoes.append(peer)
        noteEchoDeadline(of: peer)
    }

    /// What the machine needed to send the last echoes is no part of their round trips.
    mutating func noteDeparture(of echoes: [PeerID], at now: Instant) {
        for peer in echoes {
            guard let last = links[peer]?.pending.indices.last else { continue }
            links[peer]?.pending[last].sentAt = now
        }
    }

    mutating func expireEchoes(to peer: PeerID, at now: Instant, _ effects: inout [Effect]) {
        while let oldest = links[peer]?.pending.first, now >= oldest.sentAt + configuration.echoTimeout {
            links[peer]?.pending.removeFirst()
            links[peer]?.loss.record(lost: true)
            if oldest.isPing { effects.append(.event(.pingLost(peer))) }
        }
    }

    /// Queues the earliest of a link's next echo and the end of the wait for its oldest one.
    mutating func noteEchoDeadline(of peer: PeerID) {
        guard let link = links[peer] else { return }
        let expiry = link.pending.first.map { $0.sentAt + configuration.echoTimeout }
        guard let due = [link.nextEcho, expiry].compactMap({ $0 }).min() else { return }
        guard link.echoDue.map({ due < $0 }) ?? true else { return }
        links[peer]?.echoDue = due
        echoDeadlines.insert((peer, due), at: due)
    }

    /// Processes that are woken up later than this do not have the least round trip anyway.
    static let longestHeld = Duration.milliseconds(5)
}
