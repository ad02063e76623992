import Primitives
import Testing

@testable import Topology

/// Branch and bound over whole plans against every plan there is, and what follows from having the optimum.
struct ExactIterationTests {
    /// The best of all plans of a small problem, with pipelines of any lengths, by the simulator; depths are the builder's.
    private static func optimum(_ problem: PlanningProblem) -> Double {
        let tables = CostTables(problem)
        var best = Double.infinity
        for schedule in problem.schedule.map({ [$0] }) ?? PlanSchedule.allCases {
            let builder = LayoutBuilder(tables: tables, schedule: schedule)
            func judge(_ pipelines: [[Int]]) {
                guard pipelines.count <= tables.microBatches else { return }
                for shares in compositions(tables.microBatches, parts: pipelines.count) {
                    visit(pipelines, shares, [])
                }
            }
            func visit(_ pipelines: [[Int]], _ shares: [Int], _ built: [[Layout.Stage]]) {
                guard built.count < pipelines.count else {
                    let layout = Layout(pipelines: built, microBatches: shares, schedule: schedule)
                    best = min(best, IterationSimulator.run(layout, tables: tables).seconds)
                    return
                }
                let peers = pipelines[built.count]
                guard peers.count <= tables.layers else { return }
                for counts in compositions(tables.layers, parts: peers.count) {
                    var start = 0
                    let cuts = counts.map { count in
                        defer { start += count }
                        return start..<(start + count)
                    }
                    guard let pipeline = builder.pipeline(peers, cuts: cuts, share: shares[built.count]) else {
                        continue
                    }
                    visit(pipelines, shares, built + [pipeline.stages])
                }
            }
            func arrange(_ pipelines: [[Int]], _ rest: [Int]) {
                judge(pipelines)
                for peer in rest {
                    let others = rest.filter { $0 != peer }
                    arrange(pipelines + [[peer]], others)
                    // Grown at the last pipeline only, so that every arrangement is met.
                    if let last = pipelines.last { arrange(pipelines.dropLast() + [last + [peer]], others) }
                }
            }
            for peer in 0..<tables.peers { arrange([[peer]], (0..<tables.peers).filter { $0 != peer }) }
        }
        return best
    }

    private static func compositions(_ total: Int, parts: Int) -> [[Int]] {
        guard parts > 1 else { return [[total]] }
        guard total >= parts else { return [] }
        return (1...(total - parts + 1)).flatMap { first in
            compositions(total - first, parts: parts - 1).map { [first] + $0 }
        }
    }

    private static func exact(_ problem: PlanningProblem) throws -> PlanReport {
        let report = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 60, exactNodes: 2_000_000))
        #expect(report.isOptimal, "\(problem.name): the tree was not searched to its end")
        #expect(report.lowerBoundSeconds == report.objectiveSeconds)
        return report
    }

    @Test(arguments: [UInt64(21), 22, 23, 24]) func nothingIsBetter(seed: UInt64) throws {
        var problem = RandomProblem.make(
            seed: seed, peers: 4, layers: 3, microBatches: 2, exactReduction: seed.isMultiple(of: 2))
        problem.exchangesInLevels = true
        let best = Self.optimum(problem)
        let report = try Self.exact(problem)
        #expect(
            report.objectiveSeconds <= best * (1 + 1e-9), "planned \(report.objectiveSeconds), the optimum is \(best)")
        let bound = IterationLowerBound(problem: problem, tables: CostTables(problem)).seconds
        #expect(bound <= best, "the bound \(bound) is above the optimum \(best)")
    }

    /// Equal peers are interchangeable: the tree is searched once for all of them.
    @Test func twinsAreNotTriedTwice() throws {
        var problem = RandomProblem.make(seed: 3, peers: 8, layers: 4, microBatches: 4)
        problem.schedule = .oneForwardOneBackward
        for source in 0..<8 {
            problem.graph.nodes[source].flopsPerSecond = 1e11
            for target in 0..<8 where target != source {
                problem.graph.setLink(
                    from: source, to: target, latency: .measured(0.001), bytesPerSecond: .measured(1e8))
            }
        }
        let report = try Self.exact(problem)
        #expect(report.plan.fault(layers: 4) == nil)
    }

    /// To simulate a plan takes as long as to lay down hundreds of stages. A limit that did not count it kept jobs on eight peers
    /// waiting for minutes.
    @Test(arguments: [false, true]) func theLimitCountsSimulations(sharesAccess: Bool) {
        let problem = RandomProblem.make(
            seed: 5, peers: 8, layers: 4, microBatches: 32, sharesAccess: sharesAccess)
        var exact = IterationExact(
            problem, tables: CostTables(problem), seconds: .infinity, nodeLimit: 20_000)
        let isWhole = exact.run()
        #expect(!isWhole, "the tree was searched to its end: this shows nothing")
        // Every micro-batch passes through a stage at least.
        let most = 20_000 / (sharesAccess ? 64 : 32) + 1
        #expect(exact.simulations > 0 && exact.simulations <= most, "\(exact.simulations) of at most \(most)")
    }

    @Test func whoHasNoTimeGetsNoSearchOfTheTree() throws {
        let problem = RandomProblem.make(seed: 5, peers: 8, layers: 4, microBatches: 32)
        var exact = IterationExact(problem, tables: CostTables(problem), seconds: .infinity, nodeLimit: .max - 1)
        var questions = 0
        let isWhole = exact.run {
            questions += 1
            return questions > 3
        }
        #expect(!isWhole && questions == 4, "\(questions) questions")
        // The plan that is there is enough.
        let search = try PlanSearch(problem, options: PlannerOptions(exactNodes: .max - 1))
        let report = try search.report { true }
        #expect(!report.isOptimal && report.plan.fault(layers: 4) == nil)
    }

    /// The search by itself comes within 10 % of the optimum.
    @Test(arguments: [UInt64(31), 32, 33]) func searchComesNear(seed: UInt64) throws {
        let problem = RandomProblem.make(seed: seed, peers: 5, layers: 3, microBatches: 3)
        let found = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 2_000))
        #expect(!found.isOptimal)
        let report = try Self.exact(problem)
        #expect(
            found.objectiveSeconds <= report.objectiveSeconds * 1.1,
            "found \(found.objectiveSeconds), the optimum is \(report.objectiveSeconds)")
    }

    @Test(arguments: [UInt64(41), 42, 43]) func moreBandwidthNeverMakesTheOptimumSlower(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let problem = RandomProblem.make(seed: seed, peers: 5, layers: 3, microBatches: 3)
        var faster = problem
        for position in faster.graph.rates.indices where generator.index(below: 2) == 0 {
            faster.graph.rates[position].value *= 1 + 3 * generator.unit()
        }
        let before = try Self.exact(problem).objectiveSeconds
        let after = try Self.exact(faster).objectiveSeconds
        #expect(after <= before * (1 + 1e-9), "\(before) became \(after)")
    }

    /// Equal peers of one layer's forward pass a second, two for the backward pass, and a network that takes no time.
    private static func ideal(peers: Int, layers: Int, microBatches: Int, stages: Int, replicas: Int) -> PlanningProblem
    {
        var problem = RandomProblem.make(seed: 1, peers: peers, microBatches: microBatches)
        for source in 0..<peers {
            problem.graph.nodes[source].flopsPerSecond = 1
            for target in 0..<peers where target != source {
                problem.graph.setLink(
                    from: source, to: target, latency: .measured(0), bytesPerSecond: .measured(1e15))
            }
        }
        // A micro-batch is four sequences.
        let layer = ModelProfile.Layer(
            parameters: 0, forwardFlops: 0.25, backwardFlops: 0.5, activationBytes: 1, activationGradientBytes: 1,
            storedBytes: 1)
        problem.model.layers = Array(repeating: layer, count: layers)
        problem.model.tiedParameters = 0
        problem.shape = PlanningProblem.Shape(stages: stages, replicas: replicas)
        return problem
    }

    /// Whole layers, whole micro-batches and the way through a pipeline are counted.
    ///
    /// Five micro-batches of three layers over two peers: one of them does three, 27 s. Three layers over two stages: one of
    /// them does two, 60 s for ten micro-batches. Three stages of one layer: the last gets its first micro-batch after
    /// 2 s and works 18 s on six.
    @Test(arguments: [(2, 3, 5, 1, 2, 27.0), (2, 3, 10, 2, 1, 60.0), (3, 3, 6, 3, 1, 20.0)])
    func boundCountsWholeThings(
        shape: (peers: Int, layers: Int, microBatches: Int, stages: Int, replicas: Int, seconds: Double)
    ) throws {
        let problem = Self.ideal(
            peers: shape.peers, layers: shape.layers, microBatches: shape.microBatches, stages: shape.stages,
            replicas: shape.replicas)
        let bound = IterationLowerBound(problem: problem, tables: CostTables(problem)).seconds
        #expect(abs(bound - shape.seconds) < 1e-3 * shape.seconds, "\(bound)")
        let report = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 500, exactNodes: 0))
        #expect(report.objectiveSeconds >= bound)
        #expect(report.objectiveSeconds < bound * 1.1, "\(report.objectiveSeconds) s, bound \(bound) s")
    }

    /// One pipeline may have a single stage where another has two: its links to both work at the same time.
    @Test func boundHoldsForPipelinesThatAreCutDifferently() {
        var problem = Self.ideal(peers: 3, layers: 4, microBatches: 2, stages: 1, replicas: 2)
        problem.shape.stages = nil
        for layer in problem.model.layers.indices { problem.model.layers[layer].parameters = 1e6 }
        for source in 0..<3 {
            problem.graph.nodes[source].flopsPerSecond = 1e12
            for target in 0..<3 where target != source {
                problem.graph.setLink(
                    from: source, to: target, latency: .measured(0), bytesPerSecond: .measured(1e6))
            }
        }
        let tables = CostTables(problem)
        let layout = Layout(
            pipelines: [
                [Layout.Stage(peer: 0, layers: 0..<4, depth: 1)],
                [
                    Layout.Stage(peer: 1, layers: 0..<2, depth: 1),
                    Layout.Stage(peer: 2, layers: 2..<4, depth: 1),
                ],
            ], microBatches: [1, 1], schedule: .oneForwardOneBackward)
        let seconds = IterationSimulator.run(layout, tables: tables).seconds
        let lower = IterationLowerBound(problem: problem, tables: tables)
        #expect(lower.seconds <= seconds)
        #expect(lower.seconds(plan: 2 * seconds, nodes: 1_000) <= seconds)
        // Half of the gradients over each link, no less.
        #expect(lower.seconds > 0.9 * seconds)
    }

    /// No layout, good or bad, under any schedule, is faster than the bound.
    @Test func boundHoldsForEveryLayout() {
        for seed: UInt64 in 0..<40 {
            var generator = SeededGenerator(seed: seed)
            var problem = RandomProblem.make(
                seed: seed, peers: 2 + generator.index(below: 9), layers: 6,
                microBatches: 2 + generator.index(below: 14),
                sharesAccess: seed.isMultiple(of: 4))
            problem.weighsSlices = seed.isMultiple(of: 3)
            problem.localSteps = seed.isMultiple(of: 5) ? 4 : 1
            problem.exchangesInLevels = seed.isMultiple(of: 2)
            if seed.isMultiple(of: 7) { problem.taskOverheadSeconds = 0.01 }
            let tables = CostTables(problem)
            let bound = IterationLowerBound(problem: problem, tables: tables).seconds
            #expect(bound > 0)
            for schedule in PlanSchedule.allCases {
                for _ in 0..<3 {
                    guard let layout = RandomProblem.layout(of: problem, schedule: schedule, generator: &generator)
                    else { continue }
                    let seconds = IterationSimulator.run(layout, tables: tables).seconds
                    #expect(bound <= seconds, "seed \(seed) \(schedule.name): \(seconds) is below the bound \(bound)")
                }
            }
        }
    }
}
