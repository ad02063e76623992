import Primitives
import Testing

@testable import Topology

/// Slices of each layer for its own holders.
@Suite struct TailoredSlicesTests {
    private static func figures(
        peers: Int, latency: (Int, Int) -> Double = { _, _ in 0 }, secondsPerByte: (Int, Int) -> Double
    ) -> SpreadFigures {
        func table(_ value: (Int, Int) -> Double) -> LinkTable<Double> {
            LinkTable(peers: peers, values: (0..<(peers * peers)).map { value($0 / peers, $0 % peers) }, own: 0)
        }
        return SpreadFigures(
            latency: table(latency), secondsPerByte: table(secondsPerByte), peers: peers, largest: 0.5)
    }

    /// How long the slowest link is busy.
    private static func longest(
        _ slices: [[Double]], _ groups: [TailoredSlices.Group], _ figures: SpreadFigures
    ) -> Double {
        let peers = figures.peers
        var seconds = Array(repeating: 0.0, count: peers * peers)
        for (index, group) in groups.enumerated() {
            for adder in 0..<peers {
                for holder in group.holders where holder != adder {
                    for link in [holder * peers + adder, adder * peers + holder] {
                        seconds[link] += group.bytes * slices[index][adder] * figures.seconds[link]
                    }
                }
            }
        }
        return seconds.max() ?? 0
    }

    /// Random links, two pipelines of three stages, every other peer a spare.
    private static func random(_ seed: UInt64) -> (figures: SpreadFigures, groups: [TailoredSlices.Group]) {
        var generator = SeededGenerator(seed: seed)
        var rates: [Double] = []
        for _ in 0..<64 { rates.append(1 + 99 * generator.unit()) }
        let figures = figures(peers: 8) { 1 / rates[$0 * 8 + $1] }
        let groups = (0..<3).map {
            TailoredSlices.Group(holders: [$0, $0 + 3], bytes: 10 + 90 * generator.unit())
        }
        return (figures, groups)
    }

    @Test func eachGroupsSlicesAreAWhole() {
        for seed: UInt64 in 0..<40 {
            let (figures, groups) = Self.random(seed)
            var isUsed = Array(repeating: true, count: 8)
            isUsed[6] = false
            for largest in [0.05, 0.3, 1] {
                let slices = TailoredSlices(figures, groups: groups, largest: largest).slices(among: isUsed)
                let all = groups.reduce(0) { $0 + $1.bytes }
                for group in slices {
                    #expect(
                        abs(group.reduce(0, +) - 1) < 1e-9 && group.allSatisfy { $0 >= 0 }, "seed \(seed): \(group)")
                    #expect(group[6] == 0, "seed \(seed): a peer without a place in the plan adds something up")
                }
                for peer in 0..<8 {
                    var own = 0.0
                    var added = 0.0
                    for (index, group) in groups.enumerated() {
                        if group.holders.contains(peer) {
                            own += group.bytes
                        } else {
                            added += group.bytes * slices[index][peer]
                        }
                    }
                    #expect(
                        added <= largest * (all - own) * (1 + 1e-9),
                        "seed \(seed): peer \(peer) has no room for \(added) bytes of others' layers")
                }
            }
        }
    }

    /// Two sites with a slow link between: what the peers of one hold is added up there.
    @Test func layersAreAddedUpNearTheirHolders() {
        let figures = Self.figures(peers: 8) { ($0 < 4) == ($1 < 4) ? 0.1 : 10 }
        let groups = [
            TailoredSlices.Group(holders: [0, 1], bytes: 100), TailoredSlices.Group(holders: [4, 5], bytes: 100),
        ]
        let slices = TailoredSlices(figures, groups: groups, largest: 1).slices(among: Array(repeating: true, count: 8))
        #expect(slices[0].suffix(4).reduce(0, +) < 0.02, "\(slices[0])")
        #expect(slices[1].prefix(4).reduce(0, +) < 0.02, "\(slices[1])")
        let alike = Self.longest(
            Array(repeating: figures.slices(bytes: 100), count: 2), groups, figures)
        #expect(Self.longest(slices, groups, figures) < 0.1 * alike)
    }

    /// Never worse than equal slices, and on random links by a quarter better in the median.
    @Test func slowestLinksAreRelieved() {
        var gains: [Double] = []
        for seed: UInt64 in 0..<40 {
            let (figures, groups) = Self.random(seed)
            let slices = TailoredSlices(figures, groups: groups, largest: 1).slices(
                among: Array(repeating: true, count: 8))
            let equal = groups.map { _ in Array(repeating: 0.125, count: 8) }
            let gain = Self.longest(equal, groups, figures) / Self.longest(slices, groups, figures)
            #expect(gain >= 1 - 1e-9, "seed \(seed): \(gain)")
            gains.append(gain)
        }
        gains.sort()
        #expect(gains[20] > 1.25, "\(gains)")
    }

    @Test func slicesFollowThePeers() {
        for seed: UInt64 in 0..<20 {
            let (figures, groups) = Self.random(seed)
            let turned = Self.figures(peers: 8) { figures.seconds[(7 - $0) * 8 + 7 - $1] }
            let others = groups.map { TailoredSlices.Group(holders: $0.holders.map { 7 - $0 }, bytes: $0.bytes) }
            let isUsed = Array(repeating: true, count: 8)
            let slices = TailoredSlices(figures, groups: groups, largest: 0.5).slices(among: isUsed)
            let same = TailoredSlices(turned, groups: others, largest: 0.5).slices(among: isUsed)
            for (one, other) in zip(slices, same) {
                for peer in 0..<8 { #expect(abs(one[peer] - other[7 - peer]) < 1e-6, "seed \(seed)") }
            }
        }
    }
}
