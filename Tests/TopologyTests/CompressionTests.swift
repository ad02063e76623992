import Primitives
import Testing

@testable import Topology

/// Compression by link, local steps and slices by link speed, in both cost models and in the plan.
struct CompressionTests {
    private static func problem(seed: UInt64) -> PlanningProblem {
        var problem = RandomProblem.make(seed: seed, peers: 7, layers: 6, microBatches: 8)
        // Slow enough for tensors to matter.
        for position in problem.graph.rates.indices { problem.graph.rates[position].value /= 20 }
        return problem
    }

    private static func named(_ name: String) throws -> PlanningProblem.Compression {
        try #require(.named(name, activationElementBytes: 4, gradientElementBytes: 4))
    }

    @Test func factorsFollowTheBits() throws {
        #expect(try Self.named("none") == .none)
        #expect(try Self.named("bf16").activationFactor == 0.5)
        #expect(try Self.named("aq-sgd").activationFactor == 0.125)
        #expect(abs(try Self.named("cocktail-sgd").gradientFactor - 0.1825 / 32) < 1e-12)
        #expect(PlanningProblem.Compression.named("zip", activationElementBytes: 4, gradientElementBytes: 4) == nil)
    }

    /// With factors of one half everything takes as long as on links twice as fast.
    @Test func halfTheBytesIsTwiceTheRate() throws {
        for seed: UInt64 in 0..<6 {
            var generator = SeededGenerator(seed: seed)
            var compressed = Self.problem(seed: seed)
            var faster = compressed
            compressed.compression = try Self.named("bf16")
            for position in faster.graph.rates.indices { faster.graph.rates[position].value *= 2 }
            guard let layout = RandomProblem.layout(of: faster, schedule: .zeroBubble, generator: &generator) else {
                continue
            }
            let one = IterationSimulator.run(layout, tables: CostTables(compressed)).seconds
            let two = IterationSimulator.run(layout, tables: CostTables(faster)).seconds
            #expect(abs(one - two) < 1e-9 * two, "seed \(seed): \(one) and \(two)")
            #expect(abs(ClosedForm(tables: CostTables(compressed)).seconds(layout) - one) < 1e-9 * one)
        }
    }

    /// The plan leaves links plain only where that costs nothing, and the closed form knows which.
    @Test func plainLinksCostNothing() throws {
        var spared = 0
        for seed: UInt64 in 0..<4 {
            var problem = Self.problem(seed: seed)
            problem.compression = try Self.named("aq-sgd")
            let report = try Planner.plan(problem, options: PlannerOptions(seed: seed, budget: 400))
            let tables = CostTables(problem)
            var squeezed = report.layout
            squeezed.plainLinks = []
            let all = IterationSimulator.run(squeezed, tables: tables).seconds
            #expect(report.trace.seconds <= all * 1.001 + 1e-12, "seed \(seed)")
            #expect(abs(ClosedForm(tables: tables).seconds(report.layout) - report.trace.seconds) < 1e-9)
            let used = Set(report.trace.links.map { $0.source * tables.peers + $0.target })
            #expect(report.layout.plainLinks.isSubset(of: used))
            spared += report.layout.plainLinks.count
        }
        #expect(spared > 0, "some link of some plan must have time to spare")
    }

    @Test func localStepsShareOneExchange() {
        for seed: UInt64 in 0..<6 {
            var generator = SeededGenerator(seed: seed)
            var problem = Self.problem(seed: seed)
            guard
                let layout = RandomProblem.layout(of: problem, schedule: .oneForwardOneBackward, generator: &generator)
            else { continue }
            let each = IterationSimulator.run(layout, tables: CostTables(problem)).seconds
            problem.localSteps = 4
            let tables = CostTables(problem)
            let mean = IterationSimulator.run(layout, tables: tables)
            #expect(mean.seconds <= each)
            #expect(layout.pipelines.count == 1 || mean.seconds < each)
            #expect(abs(ClosedForm(tables: tables).seconds(layout) - mean.seconds) < 0.02 * each, "seed \(seed)")
            let parts = mean.pipelineSeconds + mean.exchangeSeconds + mean.optimizerSeconds
            #expect(abs(parts - mean.seconds) < 1e-9 * each || mean.exchangeSeconds == 0)
        }
    }

    /// Slices by link speed never make the exchange slower than equal ones when all start together.
    @Test func weighedSlicesAreFaster() {
        for seed: UInt64 in 0..<8 {
            var problem = Self.problem(seed: seed)
            let layout = Layout(
                pipelines: (0..<4).map { [Layout.Stage(peer: $0, layers: 0..<6, depth: 1)] },
                microBatches: [2, 2, 2, 2], schedule: .oneForwardOneBackward)
            for position in problem.graph.latencies.indices { problem.graph.latencies[position].value = 0 }
            func seconds(_ weighs: Bool) -> Double {
                problem.weighsSlices = weighs
                let exchange = GradientExchange(layout: layout, tables: CostTables(problem))
                let slices = exchange.slices(of: exchange.segments[0])
                #expect(abs(slices.reduce(0, +) - 1) < 1e-12)
                return exchange.ends(finishes: [[0], [0], [0], [0]]).joined().max() ?? 0
            }
            #expect(seconds(true) <= seconds(false) * (1 + 1e-9), "seed \(seed)")
        }
    }

    /// Two stages without delay: the first stage's bubble shrinks because it need not wait for weights' gradients.
    @Test func zeroBubbleIsNeverSlowerOnEqualStages() {
        for seed: UInt64 in 0..<6 {
            var generator = SeededGenerator(seed: seed)
            let problem = RandomProblem.make(seed: seed, peers: 4, layers: 4, microBatches: 6)
            guard let plain = RandomProblem.layout(of: problem, schedule: .gpipe, generator: &generator) else {
                continue
            }
            var bubble = plain
            bubble.schedule = .zeroBubble
            var deep = plain
            deep.schedule = .deepOneForwardOneBackward
            let tables = CostTables(problem)
            let one = IterationSimulator.run(bubble, tables: tables).pipelineSeconds
            let two = IterationSimulator.run(deep, tables: tables).pipelineSeconds
            #expect(one <= two * 1.02, "seed \(seed): \(one), without \(two)")
        }
    }
}
