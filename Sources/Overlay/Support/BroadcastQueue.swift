/// Messages that are to reach everybody, each sent a bounded number of times, the least often sent first (SWIM, 4.1;
/// memberlist's `queue.go`).
///
/// A message has a subject; a newer message about the same subject replaces the older one.
package struct BroadcastQueue<Subject: Hashable & Sendable, Message: DatagramMessage>: Sendable {
    private struct Item: Sendable {
        let subject: Subject
        let message: Message
        let generation: UInt64
    }

    /// First in, first out, without moving the rest at every removal.
    private struct Tier: Sendable {
        var items: [Item] = []
        var head = 0

        var count: Int { items.count - head }

        mutating func popFirst() -> Item {
            defer {
                head += 1
                if head > 64, head * 2 > items.count {
                    items.removeFirst(head)
                    head = 0
                }
            }
            return items[head]
        }
    }

    /// Misfits that are skipped before a datagram counts as full.
    private static var maximumMisfits: Int { 4 }

    private var tiers: [Tier] = []
    private var generations: [Subject: UInt64] = [:]  // only looked up, never iterated
    private var nextGeneration: UInt64 = 0

    package init() {}

    /// Whether nothing waits to be sent.
    package var isEmpty: Bool { generations.isEmpty }

    /// Messages that wait.
    package var count: Int { generations.count }

    /// Queues a message, in place of an older one about the same subject.
    package mutating func insert(_ message: Message, about subject: Subject) {
        nextGeneration += 1
        generations[subject] = nextGeneration
        if tiers.isEmpty { tiers.append(Tier()) }
        tiers[0].items.append(Item(subject: subject, message: message, generation: nextGeneration))
    }

    /// Drops what is queued about a subject.
    package mutating func remove(_ subject: Subject) { generations[subject] = nil }

    /// Fills the datagram with messages that have been sent fewer than `limit` times.
    package mutating func take(into packer: inout DatagramPacker, limit: Int) {
        guard !generations.isEmpty else { return }
        var misfits = 0
        var promoted: [(tier: Int, item: Item)] = []
        for index in tiers.indices where misfits < Self.maximumMisfits {
            var skipped: [Item] = []
            for _ in 0..<tiers[index].count {
                let item = tiers[index].popFirst()
                guard generations[item.subject] == item.generation else { continue }
                guard index < limit else {
                    generations[item.subject] = nil
                    continue
                }
                guard packer.appendIfFits(item.message) else {
                    skipped.append(item)
                    misfits += 1
                    if misfits >= Self.maximumMisfits { break }
                    continue
                }
                if index + 1 < limit {
                    promoted.append((index + 1, item))
                } else {
                    generations[item.subject] = nil
                }
            }
            if !skipped.isEmpty {
                tiers[index].items.replaceSubrange(0..<tiers[index].head, with: skipped)
                tiers[index].head = 0
            }
        }
        for (tier, item) in promoted {
            while tiers.count <= tier { tiers.append(Tier()) }
            tiers[tier].items.append(item)
        }
        if generations.isEmpty { tiers = [] }
    }
}
