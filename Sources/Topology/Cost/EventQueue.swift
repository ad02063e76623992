/// A binary heap of events ordered by time and then by insertion, so that a simulation is the same every time.
struct EventQueue<Event> {
    private var heap: [(time: Double, order: Int, event: Event)] = []
    private var inserted = 0

    init() {}

    var isEmpty: Bool { heap.isEmpty }

    /// When the next event is due, or `nil`.
    var nextTime: Double? { heap.first?.time }

    /// The event that is due then, or `nil`.
    var next: Event? { heap.first?.event }

    mutating func removeAll() { heap.removeAll(keepingCapacity: true) }

    mutating func push(_ event: Event, at time: Double) {
        heap.append((time, inserted, event))
        inserted += 1
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard precedes(child, parent) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func pop() -> (time: Double, event: Event)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var smallest = parent
                let left = 2 * parent + 1
                if left < heap.count, precedes(left, smallest) { smallest = left }
                if left + 1 < heap.count, precedes(left + 1, smallest) { smallest = left + 1 }
                guard smallest != parent else { break }
                heap.swapAt(parent, smallest)
                parent = smallest
            }
        }
        return (first.time, first.event)
    }

    private func precedes(_ left: Int, _ right: Int) -> Bool {
        (heap[left].time, heap[left].order) < (heap[right].time, heap[right].order)
    }
}
