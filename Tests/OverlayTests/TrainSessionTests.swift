import Primitives
import Testing
import Wire

@testable import Overlay

/// One session between two ends over a link with a rate, a delay and perhaps a token bucket in each direction.
private struct SessionBench {
    struct Way {
        var megabits: Double
        var bucketBytes = 0.0
        var lineMegabits = 1000.0
        var packets = 0
        var free = 0.0
        var lineFree = 0.0

        /// When something is through; the generic cell rate algorithm, times in nanoseconds.
        mutating func pass(bytes: Double, at now: Double) -> Double {
            free = max(free, now) + bytes * 8000 / megabits
            lineFree = max(max(lineFree, now) + bytes * 8000 / lineMegabits, free - bucketBytes * 8000 / megabits)
            return bucketBytes > 0 ? lineFree : free
        }
    }

    private struct Arrival {
        var at: Double
        var message: ProbingMessage
        var isAtInitiator: Bool
    }

    /// From the initiator and to it.
    var ways: (there: Way, back: Way)
    var delay = 5e6
    var purpose = TrainSession.Purpose.routine
    var allowance = Int.max
    var roundTrip = Duration.milliseconds(10)
    var results: [TrainSession.Result] = []
    private var queue: [Arrival] = []

    init(there: Way, back: Way) { ways = (there, back) }

    mutating func run() {
        let start = Instant(nanoseconds: 0)
        let (one, two) = (ProbingBench.peer(1), ProbingBench.peer(2))
        let policy = TrainSession.Policy()
        var initiator = TrainSession(
            reserving: 7, with: two, purpose: purpose, allowance: allowance,
            background: .init(roundTrip: roundTrip),
            policy: policy, tokens: TrainTokens(secret: Digest.sha256([1]), serial: 1), at: start)
        var responder = TrainSession(
            granting: 7, to: one, purpose: purpose, allowance: allowance,
            background: .init(roundTrip: roundTrip), policy: policy,
            tokens: TrainTokens(secret: Digest.sha256([2]), serial: 1), at: start)
        perform(initiator.granted(allowance: allowance, at: start), byInitiator: true, at: 0)
        while !queue.isEmpty {
            let next = queue.removeFirst()
            let now = Instant(nanoseconds: Int64(next.at))
            let actions =
                next.isAtInitiator
                ? Self.take(next.message, &initiator, now) : Self.take(next.message, &responder, now)
            perform(actions, byInitiator: next.isAtInitiator, at: next.at)
        }
    }

    private static func take(
        _ message: ProbingMessage, _ session: inout TrainSession, _ now: Instant
    ) -> [TrainSession.Action] {
        switch message {
        case .train(let packet): return session.receive(packet, at: now)
        case .report(let report):
            session.receive(report, at: now)
            return []
        case .finish: return session.finish()
        default: return []
        }
    }

    private mutating func perform(_ actions: [TrainSession.Action], byInitiator: Bool, at now: Double) {
        for action in actions {
            switch action {
            case .finished(let result): results.append(result)
            case .send(let messages):
                for message in messages {
                    let bytes = Double(message.wireBytes.count + Limits.transportOverheadBytes)
                    let through =
                        byInitiator ? ways.there.pass(bytes: bytes, at: now) : ways.back.pass(bytes: bytes, at: now)
                    if byInitiator { ways.there.packets += 1 } else { ways.back.packets += 1 }
                    queue.append(Arrival(at: through + delay, message: message, isAtInitiator: !byInitiator))
                }
            }
        }
        queue.sort { $0.at < $1.at }  // stable, so packets of one time keep their order
    }
}

@Suite struct TrainSessionTests {
    @Test("Both directions are found exactly, for few bytes", arguments: [1.0, 20, 100, 300, 1000])
    func rates(megabits: Double) throws {
        var bench = SessionBench(there: .init(megabits: megabits), back: .init(megabits: 100))
        bench.run()
        #expect(bench.results.count == 2, "both ends come to an end")
        let result = try #require(bench.results.last)
        #expect(result.confidence == .fine && result.sendBurst == nil && result.receiveBurst == nil)
        let found = bench.results.map { ($0.send ?? .zero, $0.receive ?? .zero) }
        for (send, receive) in found {
            let rates = [send.megabitsPerSecond, receive.megabitsPerSecond].sorted()
            let truth = [megabits, 100].sorted()
            #expect(abs(rates[0] / truth[0] - 1) < 0.001 && abs(rates[1] / truth[1] - 1) < 0.001, "\(rates)")
        }
        for (rate, way) in [(megabits, bench.ways.there), (100, bench.ways.back)] {
            let bytes = Double(way.packets * Limits.datagramBytes)
            #expect(bytes <= max(60_000, 0.04 * rate * 125_000) + 6_000, "\(bytes) bytes at \(rate) Mbit/s")
        }
    }

    @Test("A token bucket is told apart from the rate behind it", arguments: [16_000.0, 64_000, 128_000])
    func bucket(bytes: Double) {
        var bench = SessionBench(there: .init(megabits: 20, bucketBytes: bytes), back: .init(megabits: 100))
        bench.run()
        #expect(bench.results.count == 2)
        for result in bench.results {
            let slow = [result.send, result.receive].compactMap { $0?.megabitsPerSecond }.min() ?? 0
            #expect(abs(slow / 20 - 1) < 0.02, "\(slow) Mbit/s, truth 20")
            let burst = [result.sendBurst, result.receiveBurst].compactMap { $0?.megabitsPerSecond }
            // The smallest bucket is empty after 13 packets, too few to say how fast they came.
            #expect(burst.count == 1 && burst[0] > (bytes < 20_000 ? 30 : 500), "bursts: \(burst)")
        }
    }

    @Test("An end without means keeps its trains short, and the figures are coarse")
    func allowance() {
        var bench = SessionBench(there: .init(megabits: 1000, lineMegabits: 1000), back: .init(megabits: 100))
        bench.allowance = 200_000
        bench.run()
        #expect(bench.ways.there.packets * Limits.datagramBytes < 220_000, "\(bench.ways.there.packets) packets")
        #expect(bench.results.allSatisfy { $0.isShort && $0.confidence == .coarse })
    }

    @Test(
        "A very fast near link gets long trains only if somebody asks",
        arguments: [TrainSession.Purpose.routine, .requested])
    func fast(purpose: TrainSession.Purpose) {
        var bench = SessionBench(there: .init(megabits: 10_000), back: .init(megabits: 10_000))
        bench.purpose = purpose
        bench.delay = 5e4
        bench.roundTrip = .microseconds(100)
        bench.run()
        let packets = bench.ways.there.packets
        #expect(purpose == .routine ? packets < 64 : packets > 500, "\(packets) packets")
        #expect(bench.results.allSatisfy { $0.isShort == (purpose == .routine) })
        #expect(bench.results.allSatisfy { abs(($0.send ?? .zero).megabitsPerSecond / 10_000 - 1) < 0.001 })
    }

    @Test("A far link that looks very fast gets trains that tell, even without means")
    func fastAndFar() {
        var bench = SessionBench(there: .init(megabits: 10_000), back: .init(megabits: 10_000))
        bench.allowance = 0
        bench.run()
        #expect(bench.ways.there.packets > 256, "\(bench.ways.there.packets) packets")
        #expect(bench.ways.there.packets * Limits.datagramBytes < 1_500_000, "\(bench.ways.there.packets) packets")
    }

    @Test("A direction that knows enough only passes the turn on")
    func turns() {
        // Trains to the initiator are at once long enough, those from it have to grow.
        var bench = SessionBench(there: .init(megabits: 1000), back: .init(megabits: 1))
        bench.run()
        #expect(bench.ways.back.packets < 3 * 16 + 16, "\(bench.ways.back.packets) packets at 1 Mbit/s")
    }
}
