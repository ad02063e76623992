import Primitives
import Testing

@testable import Simulation

@Suite struct EventQueueTests {
    @Test("Events come in order of time, and in order of scheduling when times are equal", arguments: 1...5)
    func order(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var queue = EventQueue<(Int64, Int)>()
        var expected: [(Int64, Int)] = []
        var popped: [(Int64, Int)] = []
        for number in 0..<500 {
            let time = Int64(generator.index(below: 50)) + Int64(number / 100) * 20
            queue.push((time, number), at: Instant(nanoseconds: time))
            expected.append((time, number))
        }
        while let (_, event) = queue.pop(until: Instant(nanoseconds: .max)) { popped.append(event) }
        expected.sort { $0 < $1 }
        #expect(popped.map(\.1) == expected.map(\.1))
        #expect(queue.count == 0)
    }

    @Test("Nothing later than the end is popped")
    func end() {
        var queue = EventQueue<Int>()
        queue.push(1, at: Instant(nanoseconds: 10))
        #expect(queue.pop(until: Instant(nanoseconds: 9)) == nil)
        #expect(queue.pop(until: Instant(nanoseconds: 10))?.event == 1)
    }
}
