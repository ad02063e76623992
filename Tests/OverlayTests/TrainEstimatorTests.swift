import Primitives
import Testing

@testable import Overlay

@Suite struct TrainEstimatorTests {
    @Test("The median slope ignores a quarter of wild points")
    func theilSen() {
        var values = (0..<20).map { Double($0) * 3 }
        for index in [2, 7, 11, 19] { values[index] += 500 }
        let slope = TheilSen.slope(values) ?? 0
        #expect(abs(slope - 3) < 0.2, "slope \(slope), truth 3")
        #expect(TheilSen.slope([1]) == nil)
    }

    @Test("A token bucket that lets the first packets through is seen in the head and not in the tail")
    func tokenBucket() {
        // 20 packets at line rate, then one a millisecond.
        let arrivals = (0..<64).map {
            Instant(nanoseconds: $0 < 20 ? Int64($0) * 1000 : 20_000 + Int64($0 - 20) * 1_000_000)
        }
        let estimate = TrainEstimator.estimate(arrivals: arrivals, packetBytes: 1200)
        #expect(abs((estimate?.tail.bytesPerSecond ?? 0) - 1_200_000) < 12_000)
        #expect((estimate?.head.bytesPerSecond ?? 0) > 100 * 1_200_000)
    }

    @Test("A token bucket that runs dry late in a train is seen at the end of it")
    func lateTokenBucket() {
        let arrivals = (0..<64).map {
            Instant(nanoseconds: $0 < 48 ? Int64($0) * 10_000 : 480_000 + Int64($0 - 48) * 480_000)
        }
        guard let estimate = TrainEstimator.estimate(arrivals: arrivals, packetBytes: 1200) else {
            Issue.record("no estimate")
            return
        }
        #expect(abs(estimate.tail.megabitsPerSecond - 20) < 0.2, "tail \(estimate.tail), truth 20 Mbit/s")
        #expect(estimate.isBurst && abs(estimate.head.megabitsPerSecond - 960) < 10)
    }

    @Test("A token bucket that a sender drains with interruptions is no series of batches")
    func interruptedTokenBucket() {
        // Microseconds, recorded: 54 packets at 1 Gbit/s in three runs between which the sender was held up, then 10 at 20 Mbit/s.
        let times: [Int64] = [
            0, 8, 18, 28, 37, 47, 57, 67, 78, 87, 97, 106, 141, 143, 144, 146, 155, 165, 175, 185, 194, 204, 214, 224,
            234, 244,
            253, 263, 273, 283, 300, 303, 312, 322, 332, 342, 351, 362, 376, 381, 391, 427, 441, 442, 443, 445, 450,
            460, 469,
            479, 489, 499, 509, 913, 1405, 1896, 2387, 2879, 3370, 3861, 4352, 4844, 5334, 5826,
        ]
        let arrivals = times.map { Instant(nanoseconds: $0 * 1000) }
        guard let estimate = TrainEstimator.estimate(arrivals: arrivals, packetBytes: 1200) else {
            Issue.record("no estimate")
            return
        }
        let truth = 20.0 * 1200 / 1228
        #expect(abs(estimate.tail.megabitsPerSecond / truth - 1) < 0.01, "tail \(estimate.tail), truth \(truth) Mbit/s")
        #expect(estimate.isBurst, "head \(estimate.head)")
    }

    @Test("Two pauses of the sender leave the figure of a long train alone")
    func pauses() {
        // 9.6 us a packet at 1 Gbit/s, and 3 ms without any after packets 300 and 420.
        let arrivals = (0..<512).map {
            Instant(nanoseconds: Int64($0) * 9_600 + ($0 > 300 ? 3_000_000 : 0) + ($0 > 420 ? 3_000_000 : 0))
        }
        let tail = TrainEstimator.estimate(arrivals: arrivals, packetBytes: 1200)?.tail.megabitsPerSecond ?? 0
        #expect(abs(tail - 1000) < 1, "\(tail) Mbit/s, truth 1000")
    }

    @Test("Lost packets and a stall in the middle do not change the rate", arguments: 1...20)
    func lossAndStall(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var time: Int64 = 0
        var arrivals: [Instant] = []
        for _ in 0..<64 where generator.unit() > 0.05 {
            time += 96_000  // 1200 bytes at 100 Mbit/s
            arrivals.append(Instant(nanoseconds: time + (generator.unit() < 0.05 ? 300_000 : 0)))
        }
        arrivals.sort()
        let estimate = TrainEstimator.estimate(arrivals: arrivals, packetBytes: 1200)
        let error = abs((estimate?.tail.megabitsPerSecond ?? 0) - 100) / 100
        #expect(error < 0.03, "relative error \(error)")
    }

    @Test("Arrivals that share one time stamp give a finite rate, and few arrivals none")
    func degenerate() {
        let same = [Instant](repeating: Instant(nanoseconds: 5), count: 16)
        #expect(TrainEstimator.estimate(arrivals: same, packetBytes: 1200)?.tail == TrainEstimator.ceiling)
        #expect(TrainEstimator.estimate(arrivals: Array(same.prefix(7)), packetBytes: 1200) == nil)
    }

    @Test("Interrupts every 60 µs leave the rate alone", arguments: [1.0, 2.5, 5, 10])
    func coalesced(gigabits: Double) throws {
        let spacing = 1200 * 8 / gigabits  // nanoseconds
        var arrivals: [Instant] = []
        var interrupt = 0.0
        for index in 0..<512 {
            let at = Double(index) * spacing
            if at > interrupt { interrupt = at + 60_000 }
            arrivals.append(Instant(nanoseconds: Int64(interrupt)))
        }
        let estimate = try #require(TrainEstimator.estimate(arrivals: arrivals, packetBytes: 1200))
        let error = abs(estimate.tail.megabitsPerSecond / (gigabits * 1000) - 1)
        #expect(error < 0.02, "\(estimate.tail) instead of \(gigabits) Gbit/s")
    }

    @Test("Trains are combined by the second largest")
    func combine() {
        let rates = [5.0, 1, 4].map { Bandwidth(bytesPerSecond: $0) }
        #expect(TrainEstimator.combine(rates)?.bytesPerSecond == 4)
        #expect(TrainEstimator.combine([]) == nil)
        #expect(TrainEstimator.spread(rates) == 1)
    }
}

@Suite struct LinkEstimatorTests {
    @Test("The least round trip is forgotten when the route became longer")
    func roundTripWindow() {
        var estimator = RoundTripFilter()
        for second in 0..<400 {
            estimator.record(.milliseconds(20), at: Instant(nanoseconds: Int64(second) * 1_000_000_000))
        }
        #expect(estimator.minimum == .milliseconds(20) && estimator.jitter == .zero)
        for second in 400..<1100 {
            estimator.record(.milliseconds(50), at: Instant(nanoseconds: Int64(second) * 1_000_000_000))
        }
        #expect(estimator.minimum == .milliseconds(50), "still \(String(describing: estimator.minimum))")
    }

    @Test("Jitter follows the differences of round trips")
    func jitter() {
        var estimator = RoundTripFilter()
        for index in 0..<200 {
            estimator.record(.milliseconds(index.isMultiple(of: 2) ? 10 : 14), at: Instant(nanoseconds: Int64(index)))
        }
        #expect(abs(estimator.jitter.milliseconds - 4) < 0.1)
    }

    @Test("Loss is within half a point after 2000 echoes, in the median", arguments: [0.0, 0.001, 0.01, 0.03, 0.1])
    func loss(truth: Double) {
        let errors = (1...101).map { seed in
            var generator = SeededGenerator(seed: UInt64(seed))
            var estimator = LossEstimator()
            for _ in 0..<2000 { estimator.record(lost: generator.unit() < truth) }
            return abs(estimator.fraction - truth)
        }.sorted()
        #expect(errors[50] < 0.005, "median error \(errors[50]), truth \(truth)")
        #expect(errors[100] < 0.04, "greatest error \(errors[100]), truth \(truth)")
    }

    @Test(
        "Once a link begins or ceases to lose packets the echoes before do not count",
        arguments: [(0.0, 0.1), (0.01, 0.2), (0.1, 0.0), (0.3, 0.05)])
    func lossChanges(before: Double, after: Double) {
        for seed in UInt64(1)...20 {
            var generator = SeededGenerator(seed: seed)
            var estimator = LossEstimator()
            for _ in 0..<5000 { estimator.record(lost: generator.unit() < before) }
            for _ in 0..<600 { estimator.record(lost: generator.unit() < after) }
            #expect(
                abs(estimator.fraction - after) < 0.4 * abs(after - before),
                "seed \(seed): \(estimator.fraction) after \(before) became \(after)")
        }
    }

    @Test("The float code keeps three significant digits over its whole range and refuses infinities")
    func floatCode() {
        var value = 1e-9
        while value < 1e13 {
            let back = FloatCode.decode(FloatCode.encode(value)) ?? 0
            #expect(abs(back - value) / value < 0.002, "\(value) became \(back)")
            #expect(FloatCode.encode(back) == FloatCode.encode(value))
            value *= 1.37
        }
        #expect(FloatCode.encode(0) == 0 && FloatCode.decode(0) == 0)
        #expect(FloatCode.encode(.infinity) == 0xFEFF && FloatCode.encode(.nan) == 0)
        #expect(FloatCode.decode(0xFF00) == nil)
    }
}
