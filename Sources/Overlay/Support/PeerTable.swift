package import Primitives

/// A place in a `PeerTable`; 32 bits, for a member of a large swarm keeps lists of them.
package typealias PeerSlot = Int32

/// What a `PeerTable` holds says itself whose it is, so that no identity is kept twice.
package protocol PeerOwned: Sendable {
    /// Whose value this is; never another's in the same slot.
    var peer: PeerID { get }
}

/// Values by peer: found in constant time, iterated in the order of the identities, each in a slot that keeps its number.
package struct PeerTable<Value: PeerOwned>: Sendable {
    private var values: [Value] = []
    private var index: SlotIndex
    private var free: [PeerSlot] = []

    /// Slots in the order of the identities.
    package private(set) var order: [PeerSlot] = []

    /// An empty table. The seed spreads the identities over the memory, unknown to those who choose them.
    package init(seed: UInt64 = 1) { index = SlotIndex(seed: seed) }

    package var count: Int { order.count }

    /// The slot of a peer.
    package func slot(of peer: PeerID) -> PeerSlot? { index.slot(of: peer, among: values) }

    /// The peer in a slot.
    package func peer(at slot: PeerSlot) -> PeerID { values[Int(slot)].peer }

    package subscript(slot: PeerSlot) -> Value {
        _read { yield values[Int(slot)] }
        _modify { yield &values[Int(slot)] }
    }

    /// Adds the value of a peer that must not be there yet, and returns its slot.
    package mutating func insert(_ value: Value) -> PeerSlot {
        let peer = value.peer
        precondition(slot(of: peer) == nil, "a peer has one slot")
        let slot: PeerSlot
        if let reused = free.popLast() {
            slot = reused
            values[Int(slot)] = value
        } else {
            slot = PeerSlot(values.count)
            values.growSparingly()
            values.append(value)
        }
        index.insert(slot, among: values)
        let place = position(of: peer)
        order.growSparingly()
        order.insert(slot, at: place)
        return slot
    }

    /// Removes a peer; its slot may be used again.
    package mutating func remove(_ peer: PeerID) {
        guard let slot = slot(of: peer) else { return }
        index.remove(slot, among: values)
        order.remove(at: position(of: peer))
        free.append(slot)
    }

    /// How many peers have a smaller identity: where the peer stands, or would stand, in `order`.
    package func position(of peer: PeerID) -> Int {
        var low = 0
        var high = order.count
        while low < high {
            let middle = (low + high) / 2
            if values[Int(order[middle])].peer < peer { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The slot of the peer whose identity starts with these eight bytes (the first one, should there be several).
    package func slot(withPrefix prefix: UInt64) -> PeerSlot? {
        let position = position(ofPrefix: prefix)
        guard position < order.count, values[Int(order[position])].peer.prefix == prefix else { return nil }
        return order[position]
    }

    /// The slots of the peers whose identities start with numbers in a range, in the order of the identities.
    package func slots(withPrefixes range: ClosedRange<UInt64>) -> ArraySlice<PeerSlot> {
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
            if values[Int(order[middle])].peer.prefix < prefix { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension Array {
    /// Makes room for one more, a quarter at a time where an array would double: of a large swarm's tables, of which there is
    /// one for every member, half would be empty.
    mutating func growSparingly() {
        guard count == capacity, count >= 64 else { return }
        reserveCapacity(count + count / 4)
    }
}
