package import Primitives

/// Values by peer: found in constant time, iterated in the order of the identities, each in a slot that keeps its number.
package struct PeerTable<Value: Sendable>: Sendable {
    private var values: [Value] = []
    private var peers: [PeerID] = []
    private var index: SlotIndex
    private var free: [Int] = []

    /// Slot numbers in the order of the identities.
    package private(set) var order: [Int] = []

    /// An empty table. The seed spreads the identities over the memory, unknown to those who choose them.
    package init(seed: UInt64 = 1) { index = SlotIndex(seed: seed) }

    package var count: Int { order.count }

    /// The slot of a peer.
    package func slot(of peer: PeerID) -> Int? { index.slot(of: peer, among: peers) }

    /// The peer in a slot.
    package func peer(at slot: Int) -> PeerID { peers[slot] }

    package subscript(slot: Int) -> Value {
        _read { yield values[slot] }
        _modify { yield &values[slot] }
    }

    /// Adds a peer that must not be there yet, and returns its slot.
    package mutating func insert(_ value: Value, for peer: PeerID) -> Int {
        precondition(slot(of: peer) == nil, "a peer has one slot")
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            values[slot] = value
            peers[slot] = peer
        } else {
            slot = values.count
            values.append(value)
            peers.append(peer)
        }
        index.insert(slot, among: peers)
        order.insert(slot, at: position(of: peer))
        return slot
    }

    /// Removes a peer; its slot number may be used again.
    package mutating func remove(_ peer: PeerID) {
        guard let slot = slot(of: peer) else { return }
        index.remove(slot, among: peers)
        order.remove(at: position(of: peer))
        free.append(slot)
    }

    /// How many peers have a smaller identity: where the peer stands, or would stand, in `order`.
    package func position(of peer: PeerID) -> Int {
        var low = 0
        var high = order.count
        while low < high {
            let middle = (low + high) / 2
            if peers[order[middle]] < peer { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The slot of the peer whose identity starts with these eight bytes (the first one, should there be several).
    package func slot(withPrefix prefix: UInt64) -> Int? {
        let position = position(ofPrefix: prefix)
        guard position < order.count, peers[order[position]].prefix == prefix else { return nil }
        return order[position]
    }

    /// The slots of the peers whose identities start with numbers in a range, in the order of the identities.
    package func slots(withPrefixes range: ClosedRange<UInt64>) -> ArraySlice<Int> {
        let start = position(ofPrefix: range.lowerBound)
        let end = range.upperBound == .max ? order.count : position(ofPrefix: range.upperBound + 1)
        return order[start..<end]
    }

    /// How many peers' identities start with a smaller number.
    private func position(ofPrefix prefix: UInt64) -> Int {
        var low = 0
        var high = order.count
        while low < high {
            let middle = (low + high) / 2
            if peers[order[middle]].prefix < prefix { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
