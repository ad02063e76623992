import Foundation
import Primitives
import Testing

@testable import Topology

/// The measured round trips and rates of 62 cloud regions.
private struct CloudRegions: Decodable {
    /// Milliseconds.
    var roundTrips: [[Double?]]
    /// Gbit/s, row to column.
    var rates: [[Double?]]

    private enum CodingKeys: String, CodingKey {
        case roundTrips = "rtt_ms"
        case rates = "bandwidth_gbps"
    }

    static func load() throws -> CloudRegions {
        let url = try #require(
            Bundle.module.url(forResource: "skyplane_regions_complete", withExtension: "json", subdirectory: "Fixtures")
        )
        return try JSONDecoder().decode(CloudRegions.self, from: Data(contentsOf: url))
    }

    /// Pairs that a schedule with k partners would measure: a quarter of them the nearest.
    func pairs(partners: Int, seed: UInt64) -> [(Int, Int)] {
        var generator = SeededGenerator(seed: seed)
        var chosen: Set<Int> = []
        for peer in roundTrips.indices {
            var others = roundTrips.indices.filter { $0 != peer }.sorted { time(peer, $0) < time(peer, $1) }
            let near = others.prefix(partners / 4)
            others.removeFirst(partners / 4)
            generator.shuffle(&others)
            for other in near + others.prefix(partners - partners / 4) {
                chosen.insert(min(peer, other) * roundTrips.count + max(peer, other))
            }
        }
        return chosen.sorted().map { ($0 / roundTrips.count, $0 % roundTrips.count) }
    }

    func time(_ left: Int, _ right: Int) -> Double {
        ((roundTrips[left][right] ?? 0) + (roundTrips[right][left] ?? 0)) / 2000
    }

    func rate(_ left: Int, _ right: Int) -> Double { (rates[left][right] ?? 0) * 1e9 / 8 }
}

private func quantile(_ values: [Double], _ share: Double) -> Double {
    values.isEmpty ? .nan : values.sorted()[min(values.count - 1, Int(Double(values.count) * share))]
}

@Suite struct CoordinateFitTests {
    @Test("Unmeasured round trips between cloud regions: median error below 9 %, 90 % below 30 %", arguments: [12, 16])
    func cloudRegions(partners: Int) throws {
        let regions = try CloudRegions.load()
        let count = regions.roundTrips.count
        let pairs = regions.pairs(partners: partners, seed: 7)
        let fit = CoordinateFit.fit(
            roundTrips: pairs.map { ($0.0, $0.1, regions.time($0.0, $0.1)) }, peers: count, seed: 1)
        let measured = Set(pairs.map { $0.0 * count + $0.1 })
        var errors: [Double] = []
        var promised: [Double] = []
        for left in 0..<count {
            for right in (left + 1)..<count where !measured.contains(left * count + right) {
                let prediction = try #require(fit.predict(left, right))
                errors.append(abs(prediction.seconds - regions.time(left, right)) / regions.time(left, right))
                promised.append(prediction.relativeError)
            }
        }
        let median = quantile(errors, 0.5)
        #expect(median < 0.09 && quantile(errors, 0.9) < 0.3, "median \(median), 90 % \(quantile(errors, 0.9))")
        let mean = errors.reduce(0, +) / Double(errors.count)
        let promise = promised.reduce(0, +) / Double(promised.count)
        #expect(promise > mean * 0.6 && promise < mean * 2, "mean error \(mean), promised \(promise)")
    }

    @Test("Points in the plane with heights are found again", arguments: [UInt64(1), 2, 3])
    func synthetic(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let points = (0..<30).map { _ in (generator.unit(), generator.unit(), generator.unit() * 0.1) }
        func truth(_ left: Int, _ right: Int) -> Double {
            let (dx, dy) = (points[left].0 - points[right].0, points[left].1 - points[right].1)
            return 0.1 * ((dx * dx + dy * dy).squareRoot() + points[left].2 + points[right].2)
        }
        var measured: [(Int, Int, Double)] = []
        var rest: [(Int, Int)] = []
        for left in 0..<30 {
            for right in (left + 1)..<30 {
                if generator.unit() < 0.5 {
                    measured.append((left, right, truth(left, right)))
                } else {
                    rest.append((left, right))
                }
            }
        }
        let fit = CoordinateFit.fit(roundTrips: measured, peers: 30, seed: seed)
        let errors = rest.map { left, right in
            abs((fit.predict(left, right)?.seconds ?? 0) - truth(left, right)) / truth(left, right)
        }
        #expect(quantile(errors, 0.5) < 0.05, "seed \(seed): median error \(quantile(errors, 0.5))")
        let again = CoordinateFit.fit(roundTrips: measured, peers: 30, seed: seed)
        #expect(again == fit)
    }

    @Test("Without measurements nothing is predicted, and absurd ones are ignored")
    func degenerate() {
        #expect(CoordinateFit.fit(roundTrips: [], peers: 3, seed: 1).predict(0, 1) == nil)
        let fit = CoordinateFit.fit(
            roundTrips: [(0, 1, 0.02), (1, 1, 5), (0, 9, 1), (-1, 0, 1), (0, 2, .nan), (0, 2, -1)], peers: 3, seed: 1)
        #expect(abs((fit.predict(0, 1)?.seconds ?? 0) - 0.02) < 0.002)
        #expect(fit.predict(0, 2)?.relativeError == 1)
        #expect(fit.predict(0, 0) == nil && fit.predict(0, 3) == nil)
    }
}

@Suite struct AccessRateFitTests {
    @Test(
        "Where access links are the bottleneck, unmeasured links are predicted nearly exactly",
        arguments: [UInt64(1), 2, 3])
    func accessLimited(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let up = (0..<40).map { _ in 1e6 + 1e7 * generator.unit() }
        let down = (0..<40).map { _ in 1e7 + 1e8 * generator.unit() }
        var rates: [(Int, Int, Double)] = []
        var rest: [(Int, Int)] = []
        for sender in 0..<40 {
            for receiver in 0..<40 where sender != receiver {
                if generator.unit() < 0.3 {
                    rates.append((sender, receiver, min(up[sender], down[receiver])))
                } else {
                    rest.append((sender, receiver))
                }
            }
        }
        let fit = AccessRateFit.fit(rates: rates, peers: 40)
        let errors = rest.map { sender, receiver in
            let truth = min(up[sender], down[receiver])
            return abs((fit.predict(from: sender, to: receiver)?.bytesPerSecond ?? 0) - truth) / truth
        }
        #expect(quantile(errors, 0.9) < 0.03, "seed \(seed): 90 % of errors below \(quantile(errors, 0.9))")
    }

    @Test("Between cloud regions most predictions are within a factor of two, and the promised error is honest")
    func cloudRegions() throws {
        let regions = try CloudRegions.load()
        let count = regions.roundTrips.count
        let pairs = regions.pairs(partners: 12, seed: 3)
        let measured = Set(pairs.flatMap { [$0.0 * count + $0.1, $0.1 * count + $0.0] })
        let fit = AccessRateFit.fit(
            rates: measured.sorted().map { ($0 / count, $0 % count, regions.rate($0 / count, $0 % count)) },
            peers: count)
        var within = 0.0
        var total = 0.0
        var misfits = 0.0
        var promised = 0.0
        for sender in 0..<count {
            for receiver in 0..<count where sender != receiver && !measured.contains(sender * count + receiver) {
                let truth = regions.rate(sender, receiver)
                guard truth > 0 else { continue }
                let prediction = try #require(fit.predict(from: sender, to: receiver))
                total += 1
                if prediction.bytesPerSecond < 2 * truth, prediction.bytesPerSecond > truth / 2 { within += 1 }
                misfits += 1 - min(prediction.bytesPerSecond, truth) / max(prediction.bytesPerSecond, truth)
                promised += prediction.relativeError
            }
        }
        #expect(within / total > 0.7, "\(within / total) within a factor of two")
        let ratio = promised / misfits
        #expect(ratio > 0.6 && ratio < 2, "promised error over real error: \(ratio)")
    }

    @Test("A peer without measurements is not predicted")
    func unknown() {
        let fit = AccessRateFit.fit(rates: [(0, 1, 5), (1, 1, 9), (0, 7, 1), (2, 0, .infinity)], peers: 3)
        #expect(fit.predict(from: 0, to: 1)?.bytesPerSecond == 5)
        #expect(fit.predict(from: 0, to: 2) == nil && fit.predict(from: 2, to: 0) == nil)
    }
}
