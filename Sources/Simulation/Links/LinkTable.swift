import Overlay
import Primitives

/// What probing promises of one link, on `LinkBench`: figures of many seeds each, for the rows of `ScenarioTable`.
enum LinkTable {
    /// What the runs of a row came to.
    struct Figures: Sendable {
        /// The row's figure; `nil` if some run found none.
        var value: Double?
        var runs: Int
        var virtualSeconds: Double
        var violations: [String] = []
    }

    /// Relative errors of the capacity in both directions, on request, with a card that interrupts every 60 µs.
    static func capacity(gigabits: Double, share: Double, runs: Int, seed: UInt64) -> Figures {
        var way = LinkBench.Way(rate: Bandwidth(bitsPerSecond: gigabits * 1e9))
        way.delay = .milliseconds(5)
        way.jitter = .microseconds(2)
        way.coalescing = .microseconds(60)
        return figures(runs, seed, at: share) { bench in
            bench.run(for: .seconds(10))
            let from = bench.events.count
            bench.give(.measure(bench.peers[1]), to: 0)
            bench.run(for: .seconds(20)) { $0.events.dropFirst(from).contains { $0.core == 0 && $0.event.isMeasured } }
            guard let link = bench.link(of: 0) else { return [] }
            return [(link.sendBandwidth, way.rate), (link.receiveBandwidth, way.rate)].map(error)
        } ways: {
            [way, way]
        }
    }

    /// Relative errors of the available bandwidth in both directions, on request.
    static func available(megabits: Double, load: Double, runs: Int, seed: UInt64) -> Figures {
        var way = LinkBench.Way(rate: Bandwidth(bitsPerSecond: megabits * 1e6))
        way.load = load
        way.coalescing = megabits >= 100 ? .microseconds(60) : .zero
        let free = Bandwidth(bytesPerSecond: way.rate.bytesPerSecond * (1 - load))
        return figures(runs, seed, at: 0.5) { bench in
            bench.run(for: .seconds(10))
            bench.give(.measureAvailable(bench.peers[1]), to: 0)
            var found: [Double] = []
            bench.run(for: .seconds(60)) { $0.events.contains { $0.core == 0 && $0.event.isAvailable } }
            for case .available(_, let send, let receive) in bench.events.map(\.event) {
                found = [send, receive].map { error($0 ?? .zero, free) }
            }
            return found
        } ways: {
            [way, way]
        }
    }

    /// Error of the loss after 2,000 echoes, one a second, of a link that loses this share of the packets one way.
    static func loss(share: Double, runs: Int, seed: UInt64) -> Figures {
        var way = LinkBench.Way(rate: Bandwidth(bitsPerSecond: 100e6))
        let back = way
        way.loss = share
        return figures(runs, seed, at: 0.5) { bench in
            for _ in 0..<2000 {
                bench.give(.ping(bench.peers[1]), to: 0)
                bench.run(for: .seconds(1))
            }
            return bench.link(of: 0).map { [abs($0.loss.fraction - share)] } ?? []
        } ways: {
            [way, back]
        }
    }

    /// Seconds from the moment at which an idle link's rate halves until both ends say so.
    static func halving(runs: Int, seed: UInt64) -> Figures {
        let way = LinkBench.Way(rate: Bandwidth(bitsPerSecond: 100e6))
        return figures(runs, seed, at: 1) { bench in
            var generator = SeededGenerator(seed: UInt64(bench.bytes[0]) ^ bench.peers[0].prefix)
            bench.run(for: .seconds(20) + .seconds(600) * generator.unit())
            let half = Bandwidth(bitsPerSecond: 50e6)
            for index in 0..<2 { bench.ways[index].rate = half }
            let start = bench.time
            let noticed = bench.run(for: .seconds(3600)) { bench in
                (0..<2).allSatisfy { core in
                    guard let link = bench.link(of: core) else { return false }
                    return error(link.sendBandwidth, half) < 0.1 && error(link.receiveBandwidth, half) < 0.1
                }
            }
            return noticed ? [(bench.time - start).seconds] : []
        } ways: {
            [way, way]
        }
    }

    /// Seconds from the moment at which the rate of a link in use halves until both ends say so. A stream from core 0 takes nine
    /// tenths of what there is; each second it carries that, give or take a twentieth.
    static func halvingInUse(runs: Int, seed: UInt64) -> Figures {
        var way = LinkBench.Way(rate: Bandwidth(bitsPerSecond: 100e6))
        way.load = streamShare
        let back = LinkBench.Way(rate: way.rate)
        return figures(runs, seed, at: 1) { bench in
            var generator = SeededGenerator(seed: bench.peers[0].prefix)
            bench.ways[0].load = 0
            bench.run(for: .seconds(10))
            bench.ways[0].load = streamShare
            stream(in: &bench, seconds: 20 + generator.unit() * 600, &generator)
            let half = Bandwidth(bitsPerSecond: 50e6)
            bench.ways[0].rate = half
            let start = bench.time
            let noticed = stream(in: &bench, seconds: 600, &generator) { bench in
                [bench.link(of: 0)?.sendBandwidth, bench.link(of: 1)?.receiveBandwidth].allSatisfy {
                    error($0 ?? .zero, half) < 0.15
                }
            }
            return noticed ? [(bench.time - start).seconds] : []
        } ways: {
            [way, back]
        }
    }

    private static let streamShare = 0.9

    /// Runs with a stream from core 0, of which the core hears every second.
    @discardableResult
    private static func stream(
        in bench: inout LinkBench, seconds: Double, _ generator: inout SeededGenerator,
        until condition: (LinkBench) -> Bool = { _ in false }
    ) -> Bool {
        var left = seconds
        while left > 0 {
            let rate = bench.ways[0].rate.bytesPerSecond * streamShare
            let step = min(left, 1)
            if bench.run(for: .nanoseconds(Int64(step * 1e9)), until: condition) { return true }
            let bytes = rate * step * (0.95 + 0.1 * generator.unit())
            let sample = DeliverySample(
                bytes: UInt64(bytes), duration: .nanoseconds(Int64(step * 1e9)), isSaturated: true)
            bench.give(.delivered(bench.peers[1], sample), to: 0)
            left -= step
        }
        return false
    }

    /// By how much one end that claims ten times as much inflates the link, in the direction where that is more. Every such
    /// pair has to be flagged.
    static func liar(runs: Int, seed: UInt64) -> Figures {
        var unflagged: [String] = []
        var figures = figures(runs, seed, at: 1) { bench in
            bench.inflation[0] = 10
            bench.run(for: .seconds(60))
            let links = (0..<2).map { bench.consensus(fromCore: $0) }
            if links.contains(where: { !$0.isDisputed }) { unflagged.append("a pair with a liar is not flagged") }
            return zip(links, bench.ways).map { link, way in
                (link.bandwidth ?? .zero).bytesPerSecond / way.rate.bytesPerSecond
            }
        } ways: {
            honestWays
        }
        figures.violations = unflagged
        return figures
    }

    /// Honest pairs that were flagged or contradicted at the end of any minute of an hour, with 3 ms of jitter.
    static func honest(busyness: LinkBench.Busyness? = nil, runs: Int, seed: UInt64) -> Figures {
        var flagged = 0
        var figures = figures(runs, seed, at: 1) { bench in
            bench.busyness = busyness
            var isFlagged = false
            for _ in 0..<60 {
                bench.run(for: .seconds(60))
                isFlagged =
                    isFlagged
                    || (0..<2).contains {
                        bench.consensus(fromCore: $0).isDisputed || bench.link(of: $0)?.isContradicted == true
                    }
            }
            if isFlagged { flagged += 1 }
            return [0]
        } ways: {
            honestWays
        }
        figures.value = Double(flagged)
        return figures
    }

    private static var honestWays: [LinkBench.Way] {
        [20.0, 100].map { megabits in
            var way = LinkBench.Way(rate: Bandwidth(bitsPerSecond: megabits * 1e6))
            way.delay = .milliseconds(30)
            way.jitter = .milliseconds(3)
            return way
        }
    }

    private static func error(_ found: Bandwidth, _ truth: Bandwidth) -> Double {
        abs(found.bytesPerSecond / truth.bytesPerSecond - 1)
    }

    /// Plays so many seeds: the figure at this share of all that they found, in order. A run that finds nothing is a violation.
    private static func figures(
        _ runs: Int, _ seed: UInt64, at share: Double, _ play: (inout LinkBench) -> [Double],
        ways: () -> [LinkBench.Way]
    ) -> Figures {
        var found: [Double] = []
        var result = Figures(runs: runs, virtualSeconds: 0)
        for run in 0..<runs {
            var bench = LinkBench(ways: ways(), seed: seed &+ UInt64(run))
            let values = play(&bench)
            if values.isEmpty { result.violations.append("seed \(seed &+ UInt64(run)): nothing was measured") }
            found += values
            result.virtualSeconds += Double(bench.time.nanoseconds) / 1e9
        }
        found.sort()
        if !found.isEmpty { result.value = found[min(Int(Double(found.count) * share), found.count - 1)] }
        return result
    }
}

extension Probing.Event {
    fileprivate var isMeasured: Bool { if case .measured = self { true } else { false } }
    fileprivate var isAvailable: Bool { if case .available = self { true } else { false } }
}

extension ScenarioTable {
    /// The rows of `LinkTable`. Rates in Gbit/s and Mbit/s; figures in percent, seconds or as a factor.
    static func linkRows(seed: UInt64) -> [Row] {
        let runs = 20
        func row(
            _ name: String, _ title: String, _ measure: String, _ unit: String, atMost limit: Double,
            times factor: Double = 1, _ play: @escaping @Sendable () -> LinkTable.Figures
        ) -> Row {
            Row(name: name, title: title, measure: measure, unit: unit, limit: limit) {
                var figures = play()
                figures.value = figures.value.map { $0 * factor }
                return figures
            }
        }
        let capacity = [1, 2.5, 5, 10].flatMap { (rate: Double) in
            [("median", 0.5, 2.0), ("p95", 0.95, 5.0)].map { name, share, limit in
                row(
                    "capacity-\(rate)G-\(name)", "idle capacity, \(rate) Gbit/s, interrupts every 60 µs",
                    "error, \(name)", "%", atMost: limit, times: 100
                ) { LinkTable.capacity(gigabits: rate, share: share, runs: runs, seed: seed) }
            }
        }
        let available = [10.0, 100, 1000].flatMap { rate in
            [(30, 5.0), (70, 10.0)].map { load, limit in
                row(
                    "available-\(Int(rate))M-\(load)", "available bandwidth, \(Int(rate)) Mbit/s at \(load) % load",
                    "error, median", "%", atMost: limit, times: 100
                ) { LinkTable.available(megabits: rate, load: Double(load) / 100, runs: runs, seed: seed) }
            }
        }
        let losses = [1, 10].map { percent in
            row(
                "loss-\(percent)", "\(percent) % of the packets lost, 2,000 echoes", "error, median, in points", "",
                atMost: 0.5, times: 100
            ) { LinkTable.loss(share: Double(percent) / 100, runs: runs, seed: seed) }
        }
        return capacity + available + losses + [
            row("halving-idle", "an idle link's rate halves", "until both ends know, worst", "s", atMost: 600) {
                LinkTable.halving(runs: runs, seed: seed)
            },
            row("halving-in-use", "the rate of a link in use halves", "until both ends know, worst", "s", atMost: 10) {
                LinkTable.halvingInUse(runs: runs, seed: seed)
            },
            row("one-liar", "one end claims ten times as much", "inflation of the link, worst", "x", atMost: 1.1) {
                LinkTable.liar(runs: runs, seed: seed)
            },
            row("honest-pairs", "nobody lies for an hour, 3 ms of jitter", "pairs flagged", "", atMost: 0) {
                LinkTable.honest(runs: runs, seed: seed)
            },
            row(
                "busy-pairs", "the same on machines that are busy half of the time, for 20 ms on average",
                "pairs flagged", "", atMost: 0
            ) {
                LinkTable.honest(
                    busyness: .init(run: .milliseconds(20), rest: .milliseconds(20)), runs: runs, seed: seed)
            },
        ]
    }
}
