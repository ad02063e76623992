internal import Primitives

/// Choosing among several addresses of a peer. Only who began the session that it sends on chooses, so that the two do not
/// pull each other to and fro; the other follows, as it follows any move. (If both have begun one at the same moment, both
/// choose; they measure the same round trips, and the hysteresis keeps them apart until one renews.)
extension SessionTable {
    /// A datagram has been sent on a session: measures the peer's other addresses once it is used enough.
    func noteUse(of peer: SessionPeer, on session: TransportSession, at now: Instant, into effects: inout [Effect]) {
        peer.usesSinceSurvey += 1
        let isDue =
            peer.lastSurvey.map { peer.usesSinceSurvey >= PathSurvey.laterUse && now - $0 >= PathSurvey.interval }
            ?? (peer.usesSinceSurvey >= PathSurvey.firstUse)
        guard isDue, peer.survey == nil, session.isInitiator, session === peer.current, peer.path.isProven,
            let present = peer.path.endpoint
        else { return }
        peer.usesSinceSurvey = 0
        peer.lastSurvey = now
        let candidates = CandidateAddresses(peer.addresses, lastGood: present, sendsIPv6: sendsIPv6).all
        guard candidates.count > 1 else { return }
        peer.survey = PathSurvey(candidates, at: now)
        runSurvey(of: peer, at: now, into: &effects)
    }

    /// Sends the challenges that are due, or draws the conclusion.
    func runSurvey(of peer: SessionPeer, at now: Instant, into effects: inout [Effect]) {
        guard peer.survey != nil else { return }
        guard let session = peer.current, session.isInitiator, peer.path.isProven else { return peer.survey = nil }
        let step = peer.survey?.next(at: now) {
            entropy.secretBytes(count: PathMessage.tokenByteCount).withUnsafeBytes { Array($0) }
        }
        switch step {
        case .challenge(let challenges):
            for challenge in challenges {
                guard let datagram = session.seal(PathMessage.challenge(challenge.token).bytes) else { break }
                transmit(datagram, to: challenge.address, into: &effects)
            }
        case .done: conclude(peer, on: session, at: now, into: &effects)
        case .nothing, nil: break
        }
        if let deadline = peer.survey?.deadline { wake(at: deadline) }
    }

    private func conclude(
        _ peer: SessionPeer, on session: TransportSession, at now: Instant, into effects: inout [Effect]
    ) {
        guard let survey = peer.survey, let present = peer.path.endpoint else { return }
        peer.survey = nil
        // If the peer has moved in the meantime, this has been about another place.
        guard survey.measured.first?.address == present else { return peer.lastSurvey = nil }
        counters.pathsSurveyed += 1
        let chosen = PathChoice.choose(present: present, among: survey.measured)
        guard chosen != present else { return }
        counters.pathsChosen += 1
        peer.path.choose(chosen, at: now)
        effects.append(.moved(peer.peer, chosen))
        // Shows the other end the way before anything depends on it.
        seal([], on: session, to: peer, at: now, into: &effects)
    }
}
