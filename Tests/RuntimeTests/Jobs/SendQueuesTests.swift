import Synchronization
import Testing

@testable import Runtime

struct SendQueuesTests {
    private struct Refused: Error {}

    @Test func lanesKeepTheirOrder() async {
        let sent = SentMessages()
        let queues = SendQueues<String, Int>(send: { lane, message in await sent.append(lane, message) }) { _, _ in }
        for message in 0..<50 {
            await queues.enqueue(message, on: "a")
            await queues.enqueue(message + 100, on: "b")
        }
        await queues.drain()
        #expect(await sent.of("a") == Array(0..<50))
        #expect(await sent.of("b") == Array(100..<150))
    }

    @Test func theFirstFailureIsToldOnceAndEndsAllLanes() async {
        let counted = Counted()
        let queues = SendQueues<String, Int>(
            send: { _, _ in throw Refused() }, onFailure: { _, _ in counted.add() })
        await queues.enqueue(1, on: "a")
        await queues.drain()
        await queues.enqueue(2, on: "b")
        await queues.drain()
        #expect(counted.value == 1, "the failure was told \(counted.value) times")
    }

    private actor SentMessages {
        private var lanes: [String: [Int]] = [:]

        func append(_ lane: String, _ message: Int) { lanes[lane, default: []].append(message) }

        func of(_ lane: String) -> [Int] { lanes[lane] ?? [] }
    }

    private final class Counted: Sendable {
        private let count = Mutex(0)

        var value: Int { count.withLock { $0 } }

        func add() { count.withLock { $0 += 1 } }
    }
}
