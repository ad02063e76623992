/// A cut through the network: packets between the two sides do not arrive.
package struct Partition: Hashable, Sendable {
    /// Which packets the cut stops.
    package enum Direction: Hashable, Sendable, CaseIterable {
        case both
        case outward
        case inward
    }

    /// For each peer whether it is inside.
    package var isInside: [Bool]
    /// `outward` stops packets from the inside out, `inward` those from the outside in.
    package var direction: Direction

    package init(isInside: [Bool], direction: Direction) {
        self.isInside = isInside
        self.direction = direction
    }

    /// Whether a packet cannot pass.
    package func stops(from sender: Int, to receiver: Int) -> Bool {
        switch direction {
        case .both: isInside[sender] != isInside[receiver]
        case .outward: isInside[sender] && !isInside[receiver]
        case .inward: !isInside[sender] && isInside[receiver]
        }
    }
}
