package import Primitives

/// Whom a peer measures, and in which order.
///
/// Up to 32 members every pair is measured. Beyond that each peer picks k = max(8, 2⌈log₂ N⌉) partners, three quarters by
/// rendezvous hashing (Thaler and Ravishankar 1998: symmetric, so that both ends tend to pick the same pairs and nobody
/// chooses its measurers) and one quarter the nearest it has heard, which the coordinate fit needs to get short distances
/// right.
package enum PartnerSelection {
    /// Most members with which every pair is measured.
    package static let allPairsMembers = 32

    /// Partners of one peer in a swarm of this many members, itself included.
    package static func count(members: Int) -> Int {
        guard members > allPairsMembers else { return max(0, members - 1) }
        let bits = Int.bitWidth - (members - 1).leadingZeroBitCount
        return max(8, 2 * bits)
    }

    /// The partners of `local`, in the order in which it should try them.
    ///
    /// - Parameters:
    ///   - others: All other members, sorted.
    ///   - nearest: Members with short round trips, the nearest first; may name peers that are gone.
    ///   - wanted: How many; the usual number unless given.
    package static func partners(
        of local: PeerID, among others: [PeerID], nearest: [PeerID] = [], wanted: Int? = nil
    ) -> [PeerID] {
        let wanted = wanted ?? count(members: others.count + 1)
        guard others.count > wanted else { return tournament(local, others) }
        let near = nearest.filter { contains(others, $0) }.prefix(wanted / 4)
        let mine = word(local)
        let scored = others.map { (score: score(mine, word($0)), peer: $0) }
            .sorted { ($0.score, $0.peer) > ($1.score, $1.peer) }
        var chosen = Array(near)
        for candidate in scored where chosen.count < wanted && !near.contains(candidate.peer) {
            chosen.append(candidate.peer)
        }
        return chosen
    }

    /// Round-robin tournament order: the members with ranks i and j meet in round (i + j) mod N, so that members who start
    /// together and take equally long for each session meet no one who is busy (the circle method).
    private static func tournament(_ local: PeerID, _ others: [PeerID]) -> [PeerID] {
        let members = others.count + 1
        let rank = others.firstIndex { $0 > local } ?? others.count
        let rounds = others.enumerated().map { index, peer in
            (round: (rank + (index < rank ? index : index + 1)) % members, peer: peer)
        }
        return rounds.sorted { ($0.round, $0.peer) < ($1.round, $1.peer) }.map(\.peer)
    }

    private static func word(_ peer: PeerID) -> UInt64 { peer.bytes.prefix(8).reduce(0) { ($0 << 8) | UInt64($1) } }

    /// A symmetric hash of a pair.
    private static func score(_ left: UInt64, _ right: UInt64) -> UInt64 {
        mix(mix(min(left, right)) &+ max(left, right))
    }

    /// The finaliser of SplitMix64.
    private static func mix(_ input: UInt64) -> UInt64 {
        var value = input &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    private static func contains(_ sorted: [PeerID], _ peer: PeerID) -> Bool {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < peer { low = middle + 1 } else { high = middle }
        }
        return low < sorted.count && sorted[low] == peer
    }
}
