import Primitives
import Testing

@testable import Topology

/// Exchanges of gradients in levels: against times worked out by hand, against the direct exchange, and the closed form
/// against the simulator.
struct ExchangeFormTests {
    /// Clusters of equal size; one layer of 4,000,000 bytes of gradients at every peer, no work.
    private static func problem(
        clusters: Int, members: Int, nearRate: Double, farRate: Double, nearLatency: Double = 0, farLatency: Double = 0,
        inLevels: Bool = true
    ) -> PlanningProblem {
        let peers = clusters * members
        var graph = LinkGraph(
            nodes: (0..<peers).map { LinkGraph.Node(name: "\($0)", flopsPerSecond: 1e12, memoryBytes: 1e12) },
            digest: Digest.sha256([UInt8]()))
        for source in 0..<peers {
            for target in 0..<peers where target != source {
                let isNear = source / members == target / members
                graph.setLink(
                    from: source, to: target, latency: .measured(isNear ? nearLatency : farLatency),
                    bytesPerSecond: .measured(isNear ? nearRate : farRate))
            }
        }
        let layer = ModelProfile.Layer(
            parameters: 1e6, forwardFlops: 1, backwardFlops: 2, activationBytes: 1, activationGradientBytes: 1,
            storedBytes: 1)
        return PlanningProblem(
            name: "clusters", graph: graph,
            model: ModelProfile(
                name: "one layer", layers: [layer], gradientBytesPerParameter: 4, stateBytesPerParameter: 16,
                weightBytesPerParameter: 4, tiedParameters: 0),
            batch: PlanningProblem.Batch(sequences: peers, microBatchSequences: 1), weighsSlices: true,
            exchangesInLevels: inLevels)
    }

    private static func layout(_ peers: Int) -> Layout {
        Layout(
            pipelines: (0..<peers).map { [Layout.Stage(peer: $0, layers: 0..<1, depth: 1)] },
            microBatches: Array(repeating: 1, count: peers), schedule: .oneForwardOneBackward)
    }

    private static func exchangeSeconds(_ problem: PlanningProblem) -> Double {
        IterationSimulator.run(layout(problem.graph.count), tables: CostTables(problem)).exchangeSeconds
    }

    /// Two clusters of four with fast links inside: every pair across swaps a sixteenth, 0.25 s at 1 MB/s, where
    /// the direct exchange sends an eighth there and back, 1 s.
    @Test func clustersAddUpFirst() {
        let levels = Self.exchangeSeconds(Self.problem(clusters: 2, members: 4, nearRate: 1e12, farRate: 1e6))
        let direct = Self.exchangeSeconds(
            Self.problem(clusters: 2, members: 4, nearRate: 1e12, farRate: 1e6, inLevels: false))
        #expect(abs(levels - 0.25) < 1e-4, "\(levels)")
        #expect(abs(direct - 2 * 4.0 / 8) < 0.51, "\(direct)")
        #expect(levels < direct)
    }

    /// Two far clusters swap: one latency, not two.
    @Test func aSwapTakesOneLatency() {
        let levels = Self.exchangeSeconds(
            Self.problem(clusters: 2, members: 2, nearRate: 1e9, farRate: 1e9, farLatency: 0.5))
        #expect(levels < 0.6, "\(levels)")
    }

    /// Among equal links there is nothing to gain.
    @Test func equalLinksExchangeDirectly() {
        let problem = Self.problem(clusters: 1, members: 6, nearRate: 1e6, farRate: 1e6)
        let exchange = GradientExchange(layout: Self.layout(6), tables: CostTables(problem))
        #expect(exchange.forms.allSatisfy { $0 == nil })
        #expect(exchange.segments.count == 1)
    }

    /// Whatever the form, so many bytes are sent as n holders need at least to know a sum: 2 (n − 1) times the gradients,
    /// and the pieces are the whole.
    @Test(arguments: [(2, 4), (3, 2), (4, 4), (6, 1)]) func bytesAreThoseOfAnExchange(shape: (Int, Int)) {
        for farRate in [1e3, 1e5, 1e6, 1e7] {
            let problem = Self.problem(
                clusters: shape.0, members: shape.1, nearRate: 1e7, farRate: farRate, nearLatency: 0.001,
                farLatency: 0.05)
            let tables = CostTables(problem)
            let layout = Self.layout(problem.graph.count)
            let exchange = GradientExchange(layout: layout, tables: tables)
            let whole = exchange.segments.reduce(0) { $0 + $1.bytes }
            #expect(abs(whole - 4e6) < 1e-3)
            let sent = IterationSimulator.run(layout, tables: tables).links.reduce(0) { $0 + $1.bytes }
            let least = 2 * Double(problem.graph.count - 1) * 4e6
            #expect(sent >= least * (1 - 1e-9), "\(sent) of at least \(least)")
        }
    }

    /// Where a form is chosen it gains on the whole. It is chosen as if all holders began at once, so that it may lose where
    /// their pipelines end at different times; layouts may then refuse it.
    @Test func levelsAreChosenWhereTheyGain() {
        var gained = 0
        var total = (direct: 0.0, levels: 0.0)
        for seed: UInt64 in 0..<60 {
            var generator = SeededGenerator(seed: seed)
            var problem = RandomProblem.make(seed: seed, peers: 12, layers: 4, microBatches: 12, memoryBytes: 1e11)
            problem.weighsSlices = true
            guard let layout = RandomProblem.layout(of: problem, schedule: .zeroBubble, generator: &generator) else {
                continue
            }
            let direct = IterationSimulator.run(layout, tables: CostTables(problem)).seconds
            problem.exchangesInLevels = true
            let tables = CostTables(problem)
            let levels = IterationSimulator.run(layout, tables: tables).seconds
            if levels < direct * 0.98 { gained += 1 }
            total.direct += direct
            total.levels += levels
            var refused = layout
            refused.exchange = .direct
            #expect(IterationSimulator.run(refused, tables: tables).seconds == direct)
            let best = refused.withBetterExchange(tables: tables)
            #expect(IterationSimulator.run(best, tables: tables).seconds <= min(direct, levels))
        }
        #expect(gained > 5, "\(gained) layouts gained")
        #expect(total.levels < total.direct)
    }

    /// The closed form is the simulator's value where all pipelines are cut alike, and near it elsewhere.
    @Test(arguments: [true, false]) func closedFormFollowsTheSimulator(isCutAlike: Bool) {
        var errors: [Double] = []
        for seed: UInt64 in 0..<60 {
            var generator = SeededGenerator(seed: seed)
            var problem = RandomProblem.make(
                seed: seed, peers: 4 + generator.index(below: 20), layers: 6, microBatches: 30, memoryBytes: 1e11)
            problem.weighsSlices = seed.isMultiple(of: 2)
            problem.exchangesInLevels = true
            for peer in problem.graph.nodes.indices where isCutAlike {
                problem.graph.nodes[peer].flopsPerSecond = 1e11
            }
            let tables = CostTables(problem)
            guard let layout = RandomProblem.layout(of: problem, schedule: .zeroBubble, generator: &generator),
                layout.pipelines.count > 1
            else { continue }
            let simulated = IterationSimulator.run(layout, tables: tables).seconds
            errors.append(abs(ClosedForm(tables: tables).seconds(layout) - simulated) / simulated)
        }
        errors.sort()
        let tail = errors[errors.count * 95 / 100]
        let report =
            "\(errors.count) layouts: median \(errors[errors.count / 2]), 95th percentile \(tail), worst "
            + "\(errors[errors.count - 1])"
        #expect(errors.count > 20)
        #expect(tail < 0.05, "\(report)")
        #expect(errors[errors.count / 2] < 0.002, "\(report)")
    }

    /// The first and the last of equal pieces say as much as all of them.
    @Test(arguments: [true, false]) func piecesBetweenTheFirstAndTheLastTellNothing(isCutAlike: Bool) {
        var inLevels = 0
        for seed: UInt64 in 0..<40 {
            guard let (problem, layout) = Self.randomLayout(seed: seed, isCutAlike: isCutAlike) else { continue }
            let tables = CostTables(problem)
            let finishes = layout.pipelines.map { pipeline in
                pipeline.indices.map { 1 + 0.1 * Double((pipeline[$0].peer * 7) % 11) - 0.05 * Double($0) }
            }
            let all = GradientExchange(layout: layout, tables: tables)
            let few = GradientExchange(layout: layout, tables: tables, omitsPieces: true)
            if all.segments.count > few.segments.count { inLevels += 1 }
            for (left, right) in zip(all.ends(finishes: finishes).joined(), few.ends(finishes: finishes).joined()) {
                #expect(abs(left - right) < 1e-9 * left, "\(left) and \(right), seed \(seed)")
            }
        }
        #expect(inLevels > 10, "\(inLevels) layouts had pieces")
    }

    /// A limit changes nothing below it, and what is above may be refused.
    @Test func aLimitOnlyRefusesWhatTakesLonger() {
        var refused = 0
        for seed: UInt64 in 0..<40 {
            guard let (problem, layout) = Self.randomLayout(seed: seed, isCutAlike: false) else { continue }
            let closedForm = ClosedForm(tables: CostTables(problem))
            let ends = layout.pipelines.enumerated().map { rank, pipeline in
                closedForm.stageEnds(
                    pipeline, microBatches: layout.microBatches[rank], schedule: layout.schedule)
            }
            let whole = closedForm.exchangeFinish(layout, ends: ends)
            #expect(closedForm.exchangeFinish(layout, ends: ends, limit: whole) == whole)
            let below = closedForm.exchangeFinish(layout, ends: ends, limit: whole * 0.9)
            #expect(below == whole || below == .infinity)
            if below == .infinity { refused += 1 }
        }
        #expect(refused > 5, "\(refused) layouts were refused")
    }

    /// Levels may be refused, and half of the search knows direct exchanges alone, so that allowing levels costs no more than
    /// half of the candidates.
    @Test(arguments: [UInt64(3), 7, 11]) func levelsDoNotMakePlansWorse(seed: UInt64) throws {
        var problem = RandomProblem.make(seed: seed, peers: 18, layers: 6, microBatches: 24, memoryBytes: 1e11)
        problem.weighsSlices = true
        let direct = try Planner.plan(problem, options: PlannerOptions(seed: seed, budget: 10_000)).objectiveSeconds
        problem.exchangesInLevels = true
        let levels = try Planner.plan(problem, options: PlannerOptions(seed: seed, budget: 20_000)).objectiveSeconds
        #expect(levels < direct * 1.02, "\(levels) with levels, \(direct) without")
    }

    private static func randomLayout(seed: UInt64, isCutAlike: Bool) -> (PlanningProblem, Layout)? {
        var generator = SeededGenerator(seed: seed)
        var problem = RandomProblem.make(
            seed: seed, peers: 6 + generator.index(below: 18), layers: 6, microBatches: 30, memoryBytes: 1e11)
        problem.exchangesInLevels = true
        for peer in problem.graph.nodes.indices where isCutAlike { problem.graph.nodes[peer].flopsPerSecond = 1e11 }
        guard let layout = RandomProblem.layout(of: problem, schedule: .zeroBubble, generator: &generator),
            layout.pipelines.count > 1
        else { return nil }
        return (problem, layout)
    }
}
