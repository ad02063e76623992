package import Primitives

/// A binary heap of instants with keys; equal instants come out in the order in which they went in.
///
/// Nothing is ever taken out early: whoever owns the queue looks, when a key comes due, whether that still means anything.
package struct DeadlineQueue<Key: Sendable>: Sendable {
    private struct Item: Sendable {
        let instant: Instant
        let order: UInt64
        let key: Key

        func precedes(_ other: Item) -> Bool {
            instant != other.instant ? instant < other.instant : order < other.order
        }
    }

    private var heap: [Item] = []
    private var nextOrder: UInt64 = 0

    package init() {}

    /// The earliest instant.
    package var first: Instant? { heap.first?.instant }

    package mutating func insert(_ key: Key, at instant: Instant) {
        heap.append(Item(instant: instant, order: nextOrder, key: key))
        nextOrder += 1
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].precedes(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes the earliest key if its instant has come.
    package mutating func popDue(at now: Instant) -> Key? {
        guard let first = heap.first, first.instant <= now else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first.key }
        heap[0] = last
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].precedes(heap[smallest]) { smallest = child }
            }
            guard smallest != parent else { break }
            heap.swapAt(parent, smallest)
            parent = smallest
        }
        return first.key
    }
}
