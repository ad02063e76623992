import Primitives
import Testing

@testable import Topology

/// Slices for who has what when, and what exchanges with them take.
@Suite struct TimedSlicesTests {
    private struct Case {
        var tables: CostTables
        var layout: Layout
        var ends: [StageEnds]
    }

    /// Pipelines of any lengths over clusters of peers, with a tied embedding.
    private static func random(_ seed: UInt64, schedule: PlanSchedule = .zeroBubble) -> Case? {
        var problem = RandomProblem.make(seed: seed, peers: 12, layers: 6, microBatches: 24, memoryBytes: 1e11)
        problem.weighsSlices = true
        problem.exchangesInLevels = true
        problem.model.tiedParameters = problem.model.layers.map(\.parameters).min().map { $0 / 2 } ?? 0
        let tables = CostTables(problem)
        var generator = SeededGenerator(seed: seed)
        guard var layout = RandomProblem.unevenLayout(of: problem, schedule: schedule, generator: &generator),
            layout.pipelines.count > 1
        else { return nil }
        layout.exchange = .timed
        guard layout.fitsMemory(tables: tables) else { return nil }
        let ends = zip(layout.pipelines, layout.microBatches).map {
            PipelineRecurrence($0, schedule: schedule, tables: tables).ends(microBatches: $1)
        }
        return Case(tables: tables, layout: layout, ends: ends)
    }

    private static func recurrence(_ random: Case) throws -> (SpreadRecurrence, pieces: [GradientExchange.Segment]) {
        let pieces = SpreadExchange.pieces(of: random.layout, random.tables)
        let figures = try #require(random.tables.spreadFigures)
        return (
            SpreadRecurrence(
                random.layout, pieces: pieces, ends: random.ends, tables: random.tables, figures), pieces
        )
    }

    /// A slice that is a little larger makes the exchange end later by its price.
    @Test func pricesAreSlopes() throws {
        var compared = 0
        for seed: UInt64 in 0..<20 {
            guard let random = Self.random(seed) else { continue }
            let (recurrence, pieces) = try Self.recurrence(random)
            var generator = SeededGenerator(seed: seed)
            let slices = pieces.map { _ in
                let weights = (0..<12).map { _ in 0.1 + generator.unit() }
                return weights.map { $0 / weights.reduce(0, +) }
            }
            var record = SpreadRecurrence.Record()
            recurrence.record(slices, &record)
            // So sharp that only the last arrival counts.
            let prices = recurrence.prices(record, slices, sharpness: 1e12 / (record.end - record.begin))
            let end = record.end
            let all = pieces.indices.flatMap { piece in (0..<12).map { (piece, $0) } }
            let dearest = all.sorted { prices[$0.0][$0.1] > prices[$1.0][$1.1] }
            for (piece, peer) in dearest.prefix(3) + [all[generator.index(below: all.count)]] {
                var more = slices
                more[piece][peer] += 1e-7
                recurrence.record(more, &record)
                let slope = (record.end - end) / 1e-7
                #expect(
                    abs(slope - prices[piece][peer]) <= 1e-3 * (end + slope),
                    "seed \(seed), piece \(piece), peer \(peer): slope \(slope), price \(prices[piece][peer])")
                compared += slope > 0 ? 1 : 0
            }
        }
        #expect(compared > 30, "only \(compared) slices matter")
    }

    /// Never later than with slices that do not know when who has its gradients, and mostly sooner.
    @Test func exchangesEndSooner() {
        var gains: [Double] = []
        for seed: UInt64 in 0..<60 {
            guard let random = Self.random(seed) else { continue }
            var tailored = random.layout
            tailored.exchange = .tailored
            let last = random.ends.map { $0.inputs.max() ?? 0 }.max() ?? 0
            let form = ClosedForm(tables: random.tables)
            let before = form.seconds(tailored) - last
            let after = form.seconds(random.layout) - last
            #expect(after <= before * (1 + 1e-9), "seed \(seed): \(after) instead of \(before)")
            gains.append(1 - after / before)
        }
        gains.sort()
        #expect(gains.count > 30 && gains[gains.count / 2] > 0.05, "\(gains)")
    }

    @Test func slicesAreAWholeForWhichThereIsRoom() throws {
        for seed: UInt64 in 0..<40 {
            guard let random = Self.random(seed) else { continue }
            let exchange = GradientExchange(layout: random.layout, tables: random.tables)
            let spread = try #require(exchange.spread)
            var added = Array(repeating: 0.0, count: 12)
            var others = Array(repeating: 0.0, count: 12)
            for (index, piece) in exchange.segments.enumerated() {
                let slices = spread.slices[index]
                #expect(abs(slices.reduce(0, +) - 1) < 1e-9 && slices.allSatisfy { $0 >= 0 }, "seed \(seed)")
                let holders = exchange.holders(of: piece).map { random.layout.pipelines[$0.rank][$0.stage].peer }
                for peer in 0..<12 where !holders.contains(peer) {
                    added[peer] += piece.bytes * slices[peer]
                    others[peer] += piece.bytes
                }
            }
            for peer in 0..<12 {
                #expect(
                    added[peer] <= random.tables.largestSlice * others[peer] * (1 + 1e-9),
                    "seed \(seed): peer \(peer) has no room for \(added[peer]) bytes")
            }
        }
    }

    /// Slices that were fitted to a similar layout are good to begin with, and follow peers out of the plan.
    @Test func slicesAreFittedAnew() throws {
        for seed: UInt64 in 0..<20 {
            guard let random = Self.random(seed) else { continue }
            let fitted = try #require(
                SpreadExchange.fittedSlices(random.layout, ends: random.ends, tables: random.tables, from: nil))
            let again = try #require(
                SpreadExchange.fittedSlices(
                    random.layout, ends: random.ends, tables: random.tables, from: (fitted, 10)))
            var form = ClosedForm(tables: random.tables)
            let cold = form.seconds(random.layout)
            form.slices = again
            #expect(form.seconds(random.layout) < cold * 1.02, "seed \(seed)")
            var isUsed = Array(repeating: true, count: 12)
            isUsed[Int(seed) % 12] = false
            for piece in SpreadExchange.pieces(of: random.layout, random.tables) {
                let kept = fitted.slices(of: piece, among: isUsed)
                #expect(abs(kept.reduce(0, +) - 1) < 1e-9 && kept[Int(seed) % 12] == 0, "seed \(seed): \(kept)")
            }
        }
    }
}
