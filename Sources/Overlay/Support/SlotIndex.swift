internal import Primitives

/// Finds the slots of a `PeerTable` by identity: open addressing with linear probing over slot numbers alone (Knuth, TAOCP 3,
/// 6.4), a tenth of the memory of a dictionary that repeats every identity, and one cache line for most look-ups.
///
/// Peers choose their identities, but do not know the seed of the hash, which has no influence on anything but the time that
/// a look-up takes.
struct SlotIndex: Sendable {
    private static let empty = PeerSlot(-1)
    private let seed: UInt64
    /// A power of two of places, of which at most two thirds are taken.
    private var places = [PeerSlot](repeating: empty, count: 8)
    private var count = 0

    init(seed: UInt64) { self.seed = seed | 1 }

    /// The slot in which a peer is.
    func slot<Value: PeerOwned>(of peer: PeerID, among values: [Value]) -> PeerSlot? {
        var place = home(of: peer)
        while places[place] != Self.empty {
            let slot = places[place]
            if values[Int(slot)].peer == peer { return slot }
            place = (place + 1) & (places.count - 1)
        }
        return nil
    }

    /// Adds a slot whose peer is not there yet.
    mutating func insert<Value: PeerOwned>(_ slot: PeerSlot, among values: [Value]) {
        if 3 * (count + 1) > 2 * places.count { grow(among: values) }
        count += 1
        put(slot, among: values)
    }

    /// Removes a slot that is there, and moves those that were pushed on by it back (algorithm R of the same section).
    mutating func remove<Value: PeerOwned>(_ slot: PeerSlot, among values: [Value]) {
        let mask = places.count - 1
        var gap = home(of: values[Int(slot)].peer)
        while places[gap] != slot { gap = (gap + 1) & mask }
        count -= 1
        var place = gap
        while true {
            place = (place + 1) & mask
            guard places[place] != Self.empty else { break }
            let distance = (place - home(of: values[Int(places[place])].peer)) & mask
            guard distance >= (place - gap) & mask else { continue }
            places[gap] = places[place]
            gap = place
        }
        places[gap] = Self.empty
    }

    private mutating func grow<Value: PeerOwned>(among values: [Value]) {
        let old = places
        places = Array(repeating: Self.empty, count: old.count * 2)
        for slot in old where slot != Self.empty { put(slot, among: values) }
    }

    private mutating func put<Value: PeerOwned>(_ slot: PeerSlot, among values: [Value]) {
        var place = home(of: values[Int(slot)].peer)
        while places[place] != Self.empty { place = (place + 1) & (places.count - 1) }
        places[place] = slot
    }

    private func home(of peer: PeerID) -> Int {
        var value = peer.prefix ^ seed
        value = (value ^ (value >> 30)) &* seed
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int(truncatingIfNeeded: value >> 20) & (places.count - 1)
    }
}
