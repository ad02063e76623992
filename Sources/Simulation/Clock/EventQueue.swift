package import Primitives

/// What is to happen, ordered by time and, for equal times, by the order in which it was scheduled: the order that makes a
/// simulation reproducible. A heap of four children a node, which is half as deep as a binary one.
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
        raise(heap.count - 1)
    }

    /// The next event with its time, if it happens no later than `end`.
    package mutating func pop(until end: Instant) -> (at: Instant, event: Event)? {
        guard let first = heap.first, first.at <= end else { return nil }
        var taken: Event?
        swap(&taken, &slots[first.slot])  // moved: a copy would count references to the payload
        guard let event = taken else { return nil }
        free.append(first.slot)
        let last = heap.removeLast()
        if !heap.isEmpty { sink(last) }
        return (first.at, event)
    }

    /// Moves an item up to where it belongs.
    private mutating func raise(_ start: Int) {
        let item = heap[start]
        var place = start
        while place > 0 {
            let parent = (place - 1) / 4
            guard item < heap[parent] else { break }
            heap[place] = heap[parent]
            place = parent
        }
        heap[place] = item
    }

    /// Puts an item in place of the first one and moves it down to where it belongs.
    private mutating func sink(_ item: Item) {
        let count = heap.count
        var place = 0
        while true {
            let firstChild = 4 * place + 1
            guard firstChild < count else { break }
            var least = firstChild
            var child = firstChild + 1
            while child < min(firstChild + 4, count) {
                if heap[child] < heap[least] { least = child }
                child += 1
            }
            guard heap[least] < item else { break }
            heap[place] = heap[least]
            place = least
        }
        heap[place] = item
    }
}
