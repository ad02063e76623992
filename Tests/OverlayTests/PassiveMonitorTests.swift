import Primitives
import Testing

@testable import Overlay

@Suite("Passive samples")
struct PassiveMonitorTests {
    private let known = Bandwidth(bitsPerSecond: 100e6)

    /// Feeds seconds of a saturated stream at a rate and gives the verdicts with the second of each.
    private func feed(
        _ monitor: inout PassiveMonitor, megabits: Double, from start: Int, seconds: Int, isSaturated: Bool = true
    ) -> [(second: Int, verdict: PassiveMonitor.Verdict)] {
        (start..<(start + seconds)).map { second in
            let sample = DeliverySample(
                bytes: UInt64(megabits * 125_000), duration: .seconds(1), isSaturated: isSaturated)
            let now = Instant(nanoseconds: Int64(second) * 1_000_000_000)
            return (second, monitor.record(sample, known: known, at: now))
        }
    }

    @Test("A saturated stream at the known rate bears it out, once the socket's buffer is full")
    func confirms() {
        var monitor = PassiveMonitor()
        let verdicts = feed(&monitor, megabits: 96, from: 0, seconds: 7)
        #expect(verdicts.map(\.verdict) == [.none, .none, .confirmed, .none, .confirmed, .none, .confirmed])
    }

    @Test("Streams that are often idle say nothing", arguments: [1.0, 50, 1000])
    func unsaturated(megabits: Double) {
        var monitor = PassiveMonitor()
        let verdicts = feed(&monitor, megabits: megabits, from: 0, seconds: 60, isSaturated: false)
        #expect(verdicts.allSatisfy { $0.verdict == .none })
        #expect(monitor.rate == nil)
    }

    @Test("Two windows that differ make it suspect; what was not confirmed rests, twice as long each time")
    func suspects() {
        var monitor = PassiveMonitor()
        _ = feed(&monitor, megabits: 98, from: 0, seconds: 9)
        let slow = feed(&monitor, megabits: 45, from: 9, seconds: 600).filter { $0.verdict == .suspect }.map(\.second)
        #expect(slow.first.map { $0 - 9 < 6 } ?? false, "a halved rate was suspect at \(slow) s")
        let pauses = zip(slow.dropFirst(), slow).map { $0 - $1 }
        #expect(pauses.first.map { $0 >= 60 && $0 <= 66 } ?? false, "pauses \(pauses)")
        for (earlier, later) in zip(pauses, pauses.dropFirst()) {
            #expect(later >= earlier * 2 - 8, "pauses \(pauses)")
        }
        // Another change is news at once.
        let changed = feed(&monitor, megabits: 15, from: 609, seconds: 10).filter { $0.verdict == .suspect }
        #expect(changed.first.map { $0.second - 609 < 7 } ?? false, "\(changed)")
    }

    @Test("A stream's rate is compared in the terms of a link's figures")
    func terms() {
        // 1,448 bytes of a stream take as long as 1,500 bytes of packet, 1,200 of a datagram's payload as 1,228.
        let sample = DeliverySample(bytes: 1448, duration: .seconds(1), isSaturated: true)
        #expect(abs(sample.linkBytes - 1500.0 / 1228 * 1200) < 0.01)
    }

    @Test(
        "While a stream bears a rate out no probe is sent, but not for ever; a halved one is found within ten seconds")
    func schedule() throws {
        let rates = [Double](repeating: .megabits(100), count: 2)
        var bench = ProbingBench(up: rates, down: rates, delay: .milliseconds(5))
        bench.run(seconds: 10)
        let first = try #require(bench.cores[0].link(to: bench.peers[1])?.measuredAt)
        func stream(_ seconds: Int, megabits: Double) {
            let sample = DeliverySample(
                bytes: UInt64(megabits * 125_000), duration: .seconds(1), isSaturated: true)
            for _ in 0..<seconds {
                bench.run(seconds: 1)
                for index in 0..<2 { bench.give(.delivered(bench.peers[1 - index], sample), to: index) }
            }
        }
        stream(1000, megabits: 96)
        #expect(
            bench.cores[0].link(to: bench.peers[1])?.measuredAt == first, "probed for nothing")
        stream(1200, megabits: 96)
        let second = try #require(bench.cores[0].link(to: bench.peers[1])?.measuredAt)
        #expect(second > first, "a whole measurement was put off for ever")
        stream(10, megabits: 48)
        let third = try #require(bench.cores[0].link(to: bench.peers[1])?.measuredAt)
        #expect(third > second, "streams at half the rate made nobody measure")
    }
}
