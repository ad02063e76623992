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
/// Nobody has to be believed for long either: claims are heard for a share of the time (`SiteCredit`).
struct Site: Sendable {
    /// A claim lasts no longer than this unless it is repeated, because its end may be lost.
    static let longestClaim = Duration.seconds(5)
    /// A claim costs no less than this, however soon it is over: it may have ended somebody's wish.
    static let leastClaim = Duration.milliseconds(50)
    /// Most members of a site that are told: three short messages each for every session.
    static let maximumSiblings = 32
    /// The time for which all siblings together are heard at first, and the share of later time. The first graph of twelve members
    /// with thirty partners each takes the access link for about 45 s, and so does every further one, each ten minutes.
    static let depth = Duration.seconds(60)
    static let share = 0.25
    /// The same for one of them, so that it does not take what the others need.
    static let siblingDepth = Duration.seconds(30)
    static let siblingShare = 0.125

    /// Another member of the site, and what it has claimed last, until this ends by itself.
    private struct Sibling: Sendable {
        let peer: PeerID
        var credit: SiteCredit
        var claim = SiteClaim.free
        var until = Instant(nanoseconds: 0)

        func claims(at now: Instant) -> Bool { claim != .free && until > now }
    }

    private var others: [Sibling] = []  // sorted
    private var credit: SiteCredit?
    /// What the siblings were told last, and of which session.
    private var told: (claim: SiteClaim, session: UInt32) = (.free, 0)

    var isEmpty: Bool { others.isEmpty }
    var siblings: [PeerID] { others.map(\.peer) }

    func contains(_ peer: PeerID) -> Bool { others.contains { $0.peer == peer } }

    mutating func set(_ peer: PeerID, isSibling: Bool, at now: Instant) {
        guard isSibling else { return forget(peer) }
        guard !contains(peer) else { return }
        if credit == nil { credit = SiteCredit(depth: Self.depth, share: Self.share, at: now) }
        let place = others.firstIndex { $0.peer > peer } ?? others.count
        let credit = SiteCredit(depth: Self.siblingDepth, share: Self.siblingShare, at: now)
        others.insert(Sibling(peer: peer, credit: credit), at: place)
        if others.count > Self.maximumSiblings { others.removeLast() }
    }

    mutating func note(_ claim: SiteClaim, of sibling: PeerID, at now: Instant) {
        guard let index = others.firstIndex(where: { $0.peer == sibling }) else { return }
        if others[index].claims(at: now) {
            let rest = min(others[index].until - now, Self.longestClaim - Self.leastClaim)
            others[index].credit.giveBack(rest)
            credit?.giveBack(rest)
        }
        others[index].claim = .free
        guard claim != .free, others[index].credit.holds(Self.longestClaim, at: now),
            credit?.holds(Self.longestClaim, at: now) == true
        else { return }
        others[index].claim = claim
        others[index].until = now + Self.longestClaim
        charge(Self.longestClaim, to: sibling)
    }

    /// Takes from a sibling's credit, and from that of all, what it has cost.
    mutating func charge(_ cost: Duration, to sibling: PeerID) {
        guard let index = others.firstIndex(where: { $0.peer == sibling }) else { return }
        others[index].credit.pay(cost)
        credit?.pay(cost)
    }

    mutating func forget(_ peer: PeerID) { others.removeAll { $0.peer == peer } }

    /// Until when a session with this peer would share the access link with a sibling's; `nil` if the link is free or the peer is
    /// a sibling itself.
    func blocked(with peer: PeerID, at now: Instant) -> Instant? {
        guard !contains(peer) else { return nil }
        return others.lazy.filter { $0.claims(at: now) }.map(\.until).max()
    }

    /// Whether a session that is only wanted gives way: to one that goes on, or to another wish of a lesser sibling.
    func givesWay(_ local: PeerID, with peer: PeerID, at now: Instant) -> Bool {
        guard !contains(peer) else { return false }
        return others.contains { $0.claims(at: now) && ($0.claim == .taken || $0.peer < local) }
    }

    /// What the siblings are to be told, if it is new.
    mutating func news(of session: TrainSession?) -> SiteClaim? {
        guard !isEmpty else { return nil }
        var claim = SiteClaim.free
        if let session, !contains(session.peer) { claim = session.isGranted ? .taken : .wanted }
        let identifier = claim == .free ? 0 : session?.identifier ?? 0
        guard told != (claim, identifier) else { return nil }
        told = (claim, identifier)
        return claim
    }
}

extension Probing {
    /// A sibling has, wants or no longer has a session with someone outside.
    mutating func receiveClaim(_ claim: SiteClaim, from peer: PeerID, at now: Instant, _ effects: inout [Effect]) {
        guard site.contains(peer) else { return }
        site.note(claim, of: peer, at: now)
        if claim == .free { return schedule(at: now, &effects) }
        guard let current = session, current.isInitiator, !current.isGranted,
            site.givesWay(local, with: current.peer, at: now)
        else { return }
        // What has been waited for in vain is at the sibling's cost. The other end's grant will be answered with `finish`.
        site.charge(now - current.startedAt, to: peer)
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
