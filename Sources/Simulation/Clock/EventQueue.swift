package import Primitives

/// What is to happen, ordered by time and, for equal times, by the order in which it was scheduled: the order that makes a
/// simulation reproducible. A binary heap.
package struct EventQueue<Event> {
    private struct Item {
        var at: Instant
        var sequence: UInt64
        var slot: Int

        static func < (left: Item, right: Item) -> Bool {
            left.at != right.at ? left.at < right.at : left.sequence < right.sequence
        }
    }

    private var heap: [Item] = []
    // Events stay in place while the small items move through the heap.
    private var slots: [Event?] = []
    private var free: [Int] = []
    private var sequence: UInt64 = 0

    package init() {}

    /// Events that have not happened yet.
    package var count: Int { heap.count }

    /// When the next event happens.
    package var nextInstant: Instant? { heap.first?.at }

    /// Schedules an event.
    package mutating func push(_ event: Event, at instant: Instant) {
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            slots[slot] = event
        } else {
            slot = slots.count
            slots.append(event)
        }
        heap.append(Item(at: instant, sequence: sequence, slot: slot))
        sequence += 1
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child] < heap[parent] else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// The next event with its time, if it happens no later than `end`.
    package mutating func pop(until end: Instant) -> (at: Instant, event: Event)? {
        guard let first = heap.first, first.at <= end, let event = slots[first.slot] else { return nil }
        slots[first.slot] = nil
        free.append(first.slot)
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var least = parent
                for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child] < heap[least] {
                    least = child
                }
                guard least != parent else { break }
                heap.swapAt(parent, least)
                parent = least
            }
        }
        return (first.at, event)
    }
}
