package import Primitives

/// Whom to probe next: everybody once a round, in an order shuffled anew each round (SWIM, 4.3), which bounds the time
/// until a dead peer is first probed.
package struct ProbeSchedule: Sendable {
    private var order: [PeerID] = []
    private var position = 0
    private var contained: Set<PeerID> = []  // only looked up, never iterated

    package init() {}

    /// Adds a newcomer at a random place of the round.
    package mutating func insert(_ peer: PeerID, using generator: inout SeededGenerator) {
        guard contained.insert(peer).inserted else { return }
        let place = generator.index(below: order.count + 1)
        order.insert(peer, at: place)
        if place < position { position += 1 }
    }

    /// The next peer for which `isCandidate` holds; the others are dropped on the way and have to be inserted again.
    package mutating func next(
        using generator: inout SeededGenerator, where isCandidate: (PeerID) -> Bool
    ) -> PeerID? {
        while !order.isEmpty {
            if position >= order.count {
                position = 0
                generator.shuffle(&order)
            }
            let peer = order[position]
            if isCandidate(peer) {
                position += 1
                return peer
            }
            contained.remove(peer)
            order.swapAt(position, order.count - 1)
            order.removeLast()
        }
        return nil
    }
}
