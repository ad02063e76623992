package import Primitives

/// Which members a peer watches, that is, probes: in a small swarm everybody, in a large one its successors on a fixed
/// number of pseudo-random rings (the expander of Rapid: Suresh et al., ATC 2018, section 4.1).
///
/// On every ring the members stand in the order of a hash of their identities, and each watches the one that follows it. So
/// everybody is watched by as many others as it watches, nobody chooses its watchers, all know who watches whom, and a
/// peer needs sessions with a few others only. SWIM's choice among all members would make nearly every probe of a large
/// swarm begin with a handshake.
package struct WatchRings: Sendable {
    /// Rings. Rapid uses 10; with 16 a false accusation still finds its three confirmations or denials when half of the
    /// watchers are cut off, and at two probes a second each watcher comes by every eight seconds.
    package static let count = 16
    /// With at most so many others everybody watches everybody: twice as many as there are rings.
    package static let everybody = 2 * count

    private struct Place: Sendable {
        let origin: UInt64
        var successor: PeerID?
        var distance: UInt64 = .max
    }

    private let local: PeerID
    private var rings: [Place]

    package init(local: PeerID) {
        self.local = local
        rings = (0..<Self.count).map { Place(origin: Self.hash(local, ring: $0)) }
    }

    /// The successors, each once, in the order of the rings.
    package var successors: [PeerID] {
        var found: [PeerID] = []
        for case let successor? in rings.lazy.map(\.successor) where !found.contains(successor) {
            found.append(successor)
        }
        return found
    }

    /// Whether a peer is the successor on some ring.
    package func contains(_ peer: PeerID) -> Bool { rings.contains { $0.successor == peer } }

    /// Takes a newcomer into the rings; `true` if it became a successor.
    package mutating func insert(_ peer: PeerID) -> Bool {
        guard peer != local else { return false }
        var isSuccessor = false
        for ring in rings.indices {
            let distance = Self.hash(peer, ring: ring) &- rings[ring].origin
            guard distance < rings[ring].distance else { continue }
            rings[ring].successor = peer
            rings[ring].distance = distance
            isSuccessor = true
        }
        return isSuccessor
    }

    /// Takes a peer out of the rings and finds who follows now among `others`; returns the new successors.
    package mutating func remove(_ peer: PeerID, others: some Sequence<PeerID>) -> [PeerID] {
        let orphaned = rings.indices.filter { rings[$0].successor == peer }
        guard !orphaned.isEmpty else { return [] }
        for ring in orphaned {
            rings[ring].successor = nil
            rings[ring].distance = .max
        }
        for other in others where other != local && other != peer {
            for ring in orphaned {
                let distance = Self.hash(other, ring: ring) &- rings[ring].origin
                guard distance < rings[ring].distance else { continue }
                rings[ring].successor = other
                rings[ring].distance = distance
            }
        }
        return orphaned.compactMap { rings[$0].successor }
    }

    /// A peer's place on a ring: the finaliser of SplitMix64 over its prefix, keyed by the ring.
    private static func hash(_ peer: PeerID, ring: Int) -> UInt64 {
        var value = peer.prefix ^ (UInt64(ring + 1) &* 0x9E37_79B9_7F4A_7C15)
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
