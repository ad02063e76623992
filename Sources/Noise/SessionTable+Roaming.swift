internal import Primitives

/// Peers that change their addresses, and this one.
extension SessionTable {
    /// Follows a peer to the source of an authentic datagram.
    func follow(
        _ peer: SessionPeer, to source: NetworkAddress, byteCount: Int, isNewest: Bool, at now: Instant,
        into effects: inout [Effect]
    ) {
        let arrival = peer.path.arrive(from: source, byteCount: byteCount, isNewest: isNewest, at: now) {
            entropy.secretBytes(count: PathMessage.tokenByteCount).withUnsafeBytes { Array($0) }
        }
        switch arrival {
        case .unchanged: break
        case .moved: effects.append(.moved(peer.peer, source))
        case .movedUnproven: runPath(of: peer, at: now, into: &effects)
        }
    }

    /// Sends the challenge that is due, or moves back.
    func runPath(of peer: SessionPeer, at now: Instant, into effects: inout [Effect]) {
        switch peer.path.next(at: now) {
        case .nothing: break
        case .challenge(let token):
            guard let endpoint = peer.path.endpoint, let session = peer.current ?? peer.next,
                let datagram = session.seal(PathMessage.challenge(token).bytes)
            else { return }
            counters.pathsChallenged += 1
            if peer.path.take(datagram.count) { transmit(datagram, to: endpoint, into: &effects) }
        case .movedBack:
            counters.pathsRefused += 1
            flushQueue(of: peer, at: now, into: &effects)
        }
        if let deadline = peer.path.deadline { wake(at: deadline) }
    }

    /// A payload of the session layer itself.
    func receive(
        _ message: PathMessage, of peer: SessionPeer, from source: NetworkAddress, at now: Instant,
        into effects: inout [Effect]
    ) {
        switch message {
        case .challenge(let token):
            // To where it came from, for that is the path in question, and not longer than what came.
            guard let session = peer.current, let datagram = session.seal(PathMessage.response(token).bytes) else {
                return
            }
            transmit(datagram, to: source, into: &effects)
        case .response(let token):
            if peer.survey?.answer(token, from: source, at: now) == true {
                return runSurvey(of: peer, at: now, into: &effects)
            }
            guard peer.path.answer(token), let endpoint = peer.path.endpoint else {
                return counters.count(.unknownSession)
            }
            effects.append(.moved(peer.peer, endpoint))
            flushQueue(of: peer, at: now, into: &effects)
        }
    }

    /// Sends what waited for the proof of an address.
    private func flushQueue(of peer: SessionPeer, at now: Instant, into effects: inout [Effect]) {
        guard let session = peer.current else { return }
        for payload in peer.takeQueue() { seal(payload, on: session, to: peer, at: now, into: &effects) }
    }

    /// This machine's own addresses have changed: an empty datagram to everybody with whom there is a session shows each
    /// where its answers have to go now.
    func announceMove(at now: Instant, into effects: inout [Effect]) {
        for peer in ordered {
            guard let session = peer.current, now - session.createdAt < configuration.rejectAfter else { continue }
            peer.lastSurvey = nil
            seal([], on: session, to: peer, at: now, into: &effects)
        }
    }
}
