/// Whose address a simulated peer knows, and at which port. Nearly every known port is the one that its peer announces, so a
/// bit says it: ten thousand peers that know each other fit in 12 MB.
struct KnownPorts {
    private var bits: [UInt64]
    /// Ports other than the announced ones.
    private var others: [Int: UInt32] = [:]  // only looked up, never iterated

    /// Nobody among so many is known.
    init(peers: Int) { bits = Array(repeating: 0, count: (peers + 63) / 64) }

    /// Whether a peer's address is known.
    func contains(_ peer: Int) -> Bool { bits[peer >> 6] >> UInt64(peer & 63) & 1 == 1 }

    /// A peer's port, given the one that it announces; `nil` if its address is not known.
    func port(of peer: Int, announced: UInt32) -> UInt32? {
        guard contains(peer) else { return nil }
        return others.isEmpty ? announced : others[peer] ?? announced
    }

    /// Notes a peer's port, given the one that it announces.
    mutating func set(_ port: UInt32, of peer: Int, announced: UInt32) {
        bits[peer >> 6] |= 1 << UInt64(peer & 63)
        if port != announced { others[peer] = port } else if !others.isEmpty { others[peer] = nil }
    }

    /// Forgets everybody.
    mutating func removeAll() {
        bits = Array(repeating: 0, count: bits.count)
        others = [:]
    }
}
