internal import Primitives

/// How a peer's own session stands, as it tells those behind the same access link.
package enum SiteClaim: UInt8, Sendable, CaseIterable {
    /// None, or none that leaves the site: the access link is free.
    case free = 0
    /// A session is wanted and not yet granted.
    case wanted = 1
    /// A session is going on.
    case taken = 2
}

/// What a peer knows of its site: of the members behind the same public address, which share an access link that no two of them
/// should probe at once.
///
/// Nobody decides: each tells the others when it wants a session with someone outside, has one, and has none any more. Messages
/// within a site are faster than those that leave it, so of two who want one at once both know in time, and the greater gives way.
struct Site: Sendable {
    /// A claim lasts no longer than this unless it is repeated, because its end may be lost.
    static let longestClaim = Duration.seconds(5)
    /// Most members of a site that are told: three short messages each for every session.
    static let maximumSiblings = 32

    private(set) var siblings: [PeerID] = []  // sorted
    /// Claims of siblings, and when they end by themselves.
    private var claims: [(sibling: PeerID, claim: SiteClaim, until: Instant)] = []
    /// What the siblings were told last, and of which session.
    private var told: (claim: SiteClaim, session: UInt32) = (.free, 0)

    mutating func set(_ peer: PeerID, isSibling: Bool) {
        guard isSibling else { return forget(peer) }
        guard !siblings.contains(peer) else { return }
        siblings.append(peer)
        siblings.sort()
        while siblings.count > Self.maximumSiblings { forget(siblings[siblings.count - 1]) }
    }

    mutating func note(_ claim: SiteClaim, of sibling: PeerID, at now: Instant) {
        claims.removeAll { $0.sibling == sibling }
        guard claim != .free, siblings.contains(sibling) else { return }
        claims.append((sibling, claim, now + Self.longestClaim))
    }

    mutating func forget(_ peer: PeerID) {
        siblings.removeAll { $0 == peer }
        claims.removeAll { $0.sibling == peer }
    }

    /// Until when a session with this peer would share the access link with a sibling's; `nil` if the link is free or the peer is
    /// a sibling itself.
    func blocked(with peer: PeerID, at now: Instant) -> Instant? {
        guard !claims.isEmpty, !siblings.contains(peer) else { return nil }
        return claims.lazy.map(\.until).filter { $0 > now }.max()
    }

    /// Whether a session that is only wanted gives way: to one that goes on, or to another wish of a lesser sibling.
    func givesWay(_ local: PeerID, with peer: PeerID, at now: Instant) -> Bool {
        guard !siblings.contains(peer) else { return false }
        return claims.contains { $0.until > now && ($0.claim == .taken || $0.sibling < local) }
    }

    /// What the siblings are to be told, if it is new.
    mutating func news(of session: TrainSession?) -> SiteClaim? {
        guard !siblings.isEmpty else { return nil }
        var claim = SiteClaim.free
        if let session, !siblings.contains(session.peer) { claim = session.isGranted ? .taken : .wanted }
        let identifier = claim == .free ? 0 : session?.identifier ?? 0
        guard told != (claim, identifier) else { return nil }
        told = (claim, identifier)
        return claim
    }
}

extension Probing {
    /// A sibling has, wants or no longer has a session with someone outside.
    mutating func receiveClaim(_ claim: SiteClaim, from peer: PeerID, at now: Instant, _ effects: inout [Effect]) {
        guard site.siblings.contains(peer) else { return }
        site.note(claim, of: peer, at: now)
        if claim == .free { return schedule(at: now, &effects) }
        guard let current = session, current.isInitiator, !current.isGranted,
            site.givesWay(local, with: current.peer, at: now)
        else { return }
        // The other end's grant will be answered with `finish`.
        session = nil
        decideHeld(at: now, &effects)
        schedule(at: now, &effects)
    }

    /// Tells the siblings what has changed for them.
    mutating func tellSite(_ effects: inout [Effect]) {
        guard let claim = site.news(of: session) else { return }
        for sibling in site.siblings { effects.append(.send([.site(claim)], to: sibling)) }
    }
}
