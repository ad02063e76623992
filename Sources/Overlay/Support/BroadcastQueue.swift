internal import Wire

/// Messages that are to reach everybody, each sent a bounded number of times, the least often sent first (SWIM, 4.1;
/// memberlist's `queue.go`).
///
/// A message has a subject; a newer message about the same subject replaces the older one.
package struct BroadcastQueue<Subject: Hashable & Sendable>: Sendable {
    /// What waits about one subject.
    private struct Item: Sendable {
        let subject: Subject
        let encoded: [UInt8]
        /// Which insertion this is; 0 in a place that is free.
        var generation: UInt64
    }

    /// An item's turn in a tier; void once the item's generation is another.
    private struct Turn: Sendable {
        let place: Int
        let generation: UInt64
    }

    /// First in, first out, without moving the rest at every removal.
    private struct Tier: Sendable {
        var turns: [Turn] = []
        var head = 0

        var count: Int { turns.count - head }

        mutating func popFirst() -> Turn {
            defer {
                head += 1
                if head > 64, head * 2 > turns.count {
                    turns.removeFirst(head)
                    head = 0
                }
            }
            return turns[head]
        }
    }

    /// Misfits that are skipped before a datagram counts as full.
    private static var maximumMisfits: Int { 4 }

    // Items stay in place while their turns move through the tiers; a tier holds what has been sent so often.
    private var items: [Item] = []
    private var free: [Int] = []
    private var places: [Subject: Int] = [:]  // only looked up, never iterated
    private var tiers: [Tier] = []
    private var nextGeneration: UInt64 = 0
    private let capacity: Int

    /// An empty queue for so many subjects. A newer one takes the place of what has been sent most often: others have it, and
    /// whoever has not finds that out by comparing digests.
    package init(capacity: Int = Limits.queuedStatements) { self.capacity = capacity }

    /// Whether nothing waits to be sent.
    package var isEmpty: Bool { places.isEmpty }

    /// Messages that wait.
    package var count: Int { places.count }

    /// Queues an encoded message, in place of an older one about the same subject.
    package mutating func insert(_ message: [UInt8], about subject: Subject) {
        if places.count >= capacity, places[subject] == nil { dropMostSent() }
        nextGeneration += 1
        let item = Item(subject: subject, encoded: message, generation: nextGeneration)
        let place: Int
        if let known = places[subject] {
            place = known
            items[place] = item
        } else if let reused = free.popLast() {
            place = reused
            places[subject] = place
            items[place] = item
        } else {
            place = items.count
            places[subject] = place
            items.append(item)
        }
        if tiers.isEmpty { tiers.append(Tier()) }
        tiers[0].turns.append(Turn(place: place, generation: nextGeneration))
    }

    /// Drops what is queued about a subject.
    package mutating func remove(_ subject: Subject) {
        if let place = places[subject] { drop(place) }
    }

    private mutating func drop(_ place: Int) {
        let subject = items[place].subject
        places[subject] = nil
        items[place] = Item(subject: subject, encoded: [], generation: 0)
        free.append(place)
    }

    private mutating func dropMostSent() {
        for tier in tiers.indices.reversed() {
            while tiers[tier].count > 0 {
                let turn = tiers[tier].popFirst()
                if items[turn.place].generation == turn.generation { return drop(turn.place) }
            }
        }
    }

    /// Fills the datagram with messages that have been sent fewer than `limit` times.
    package mutating func take(into packer: inout DatagramPacker, limit: Int) {
        guard !isEmpty else { return }
        var misfits = 0
        var promoted: [(tier: Int, turn: Turn)] = []
        for index in tiers.indices where misfits < Self.maximumMisfits {
            var skipped: [Turn] = []
            for _ in 0..<tiers[index].count {
                let turn = tiers[index].popFirst()
                guard items[turn.place].generation == turn.generation else { continue }
                guard index < limit else {
                    drop(turn.place)
                    continue
                }
                guard packer.appendIfFits(items[turn.place].encoded) else {
                    skipped.append(turn)
                    misfits += 1
                    if misfits >= Self.maximumMisfits { break }
                    continue
                }
                if index + 1 < limit { promoted.append((index + 1, turn)) } else { drop(turn.place) }
            }
            if !skipped.isEmpty {
                tiers[index].turns.replaceSubrange(0..<tiers[index].head, with: skipped)
                tiers[index].head = 0
            }
        }
        for (tier, turn) in promoted {
            while tiers.count <= tier { tiers.append(Tier()) }
            tiers[tier].turns.append(turn)
        }
        guard isEmpty else { return }
        (tiers, items, free) = ([], [], [])
    }
}
