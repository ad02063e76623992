package import Primitives

/// Whom this peer watches, and with whom it therefore has sessions and measured round trips.
extension Membership {
    /// Peers that have pinged this one of late, at most; as many as can be expected to watch it.
    private static var maximumVisitors: Int { 2 * WatchRings.count }

    /// Whether the swarm is so small that everybody watches everybody.
    var watchesEverybody: Bool { live.count <= WatchRings.everybody }

    /// Whether this peer probes another.
    func watches(_ peer: PeerID) -> Bool { watchesEverybody ? isLive(peer) : rings.contains(peer) }

    /// A peer has come to life.
    mutating func beginWatching(_ newcomer: PeerID) {
        let isSuccessor = rings.insert(newcomer)
        if isSuccessor || watchesEverybody { schedule.insert(newcomer, using: &generator) }
    }

    /// A peer is not live any more; others take its place.
    mutating func endWatching(_ peer: PeerID) {
        let others = others
        for successor in rings.remove(peer, others: live.lazy.map { others.peer(at: $0) }) {
            schedule.insert(successor, using: &generator)
        }
        visitors.removeAll { $0 == peer }
        guard live.count == WatchRings.everybody else { return }
        // Small enough again for everybody to watch everybody.
        for slot in live { schedule.insert(others.peer(at: slot), using: &generator) }
    }

    /// A peer pinged this one, so it has a session with it.
    mutating func noteVisit(of peer: PeerID) {
        guard visitors.last != peer, isLive(peer) else { return }
        if let known = visitors.firstIndex(of: peer) { visitors.remove(at: known) }
        visitors.append(peer)
        if visitors.count > Self.maximumVisitors { visitors.removeFirst() }
    }

    /// Live peers to which messages cost no handshake: those that this one watches, and those that watch it.
    var neighbours: [PeerID] {
        if watchesEverybody { return live.map { others.peer(at: $0) } }
        let watched = rings.successors
        return watched + visitors.filter { !watched.contains($0) }
    }

    /// Up to `count` different neighbours, drawn at random. News that goes along the rings reaches everybody in as many
    /// rounds as news for anybody at all, because the rings are an expander, and finds its sessions made.
    package mutating func drawNeighbours(_ count: Int) -> [PeerID] {
        var candidates = neighbours
        var drawn: [PeerID] = []
        while drawn.count < count, !candidates.isEmpty {
            drawn.append(candidates.remove(at: generator.index(below: candidates.count)))
        }
        return drawn
    }
}
