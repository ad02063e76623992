package import Primitives

/// Values by peer: found in constant time, iterated in the order of the identities, each in a slot that keeps its number.
package struct PeerTable<Value: Sendable>: Sendable {
    private var values: [Value] = []
    private var peers: [PeerID] = []
    private var slots: [PeerID: Int] = [:]  // only looked up, never iterated
    private var free: [Int] = []

    /// Slot numbers in the order of the identities.
    package private(set) var order: [Int] = []

    package init() {}

    package var count: Int { order.count }

    /// The slot of a peer.
    package func slot(of peer: PeerID) -> Int? { slots[peer] }

    /// The peer in a slot.
    package func peer(at slot: Int) -> PeerID { peers[slot] }

    package subscript(slot: Int) -> Value {
        _read { yield values[slot] }
        _modify { yield &values[slot] }
    }

    /// Adds a peer that must not be there yet, and returns its slot.
    package mutating func insert(_ value: Value, for peer: PeerID) -> Int {
        precondition(slots[peer] == nil, "a peer has one slot")
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
        slots[peer] = slot
        order.insert(slot, at: position(of: peer))
        return slot
    }

    /// Removes a peer; its slot number may be used again.
    package mutating func remove(_ peer: PeerID) {
        guard let slot = slots.removeValue(forKey: peer) else { return }
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
        var low = 0
        var high = order.count
        while low < high {
            let middle = (low + high) / 2
            if peers[order[middle]].prefix < prefix { low = middle + 1 } else { high = middle }
        }
        guard low < order.count, peers[order[low]].prefix == prefix else { return nil }
        return order[low]
    }
}
