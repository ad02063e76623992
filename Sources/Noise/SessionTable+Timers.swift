internal import Primitives

extension SessionTable {
    /// Makes sure that the table is woken by then.
    func wake(at deadline: Instant) { earliestDeadline = min(earliestDeadline ?? deadline, deadline) }

    func fireTimers(at now: Instant, into effects: inout [Effect]) {
        guard let earliestDeadline, earliestDeadline <= now else { return }
        self.earliestDeadline = nil
        var hasEmpty = false
        for peer in ordered {
            fireTimers(of: peer, at: now, into: &effects)
            if let deadline = deadline(of: peer) { wake(at: deadline) }
            hasEmpty = hasEmpty || peer.isEmpty
        }
        guard hasEmpty else { return }
        for peer in ordered where peer.isEmpty { peers[peer.peer] = nil }
        ordered.removeAll { $0.isEmpty }
    }

    private func fireTimers(of peer: SessionPeer, at now: Instant, into effects: inout [Effect]) {
        func expired(_ session: TransportSession?) -> Bool {
            guard let session, now - session.createdAt >= configuration.rejectAfter else { return false }
            retire(session)
            return true
        }
        if expired(peer.previous) { peer.previous = nil }
        if expired(peer.current) { peer.current = nil }
        if expired(peer.next) { peer.next = nil }

        runPath(of: peer, at: now, into: &effects)
        runSurvey(of: peer, at: now, into: &effects)
        tryNextTarget(of: peer, at: now, into: &effects)
        if let handshake = peer.handshake, handshake.retryAt <= now {
            if now - handshake.since >= configuration.giveUpAfter {
                fail(peer, .noAnswer, into: &effects)
            } else {
                initiate(peer, attempt: handshake.attempt + 1, since: handshake.since, at: now, into: &effects)
            }
        }
    }

    private func deadline(of peer: SessionPeer) -> Instant? {
        var deadlines = peer.sessions.map { $0.createdAt + configuration.rejectAfter }
        if let handshake = peer.handshake { deadlines.append(handshake.nextTargetAt ?? handshake.retryAt) }
        if let deadline = peer.path.deadline { deadlines.append(deadline) }
        if let survey = peer.survey { deadlines.append(survey.deadline) }
        return deadlines.min()
    }
}
