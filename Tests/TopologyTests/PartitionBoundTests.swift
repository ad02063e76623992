import Primitives
import Testing

@testable import Topology

/// The bound over divisions of few peers: never above a plan, and nearer than the bounds that take every link for the best.
struct PartitionBoundTests {
    /// Of plans that spread their exchange and those that do not the lesser.
    private static func bound(_ problem: PlanningProblem, replicas: Int, high: Double) throws -> Double {
        let tables = CostTables(problem)
        return try [tables, tables.withoutSpreading].map {
            var partitions = try #require(PartitionBound(problem, tables: $0, nodes: 20_000))
            return bound(below: high) { partitions.suffices($0, replicas: replicas) }
        }.min() ?? 0
    }

    /// The greatest time that is not enough, to 1/128 of `high`, or that.
    private static func bound(below high: Double, suffices: (Double) -> Bool) -> Double {
        guard suffices(high) else { return high }
        var (low, high) = (0.0, high)
        for _ in 0..<7 {
            let middle = (low + high) / 2
            if suffices(middle) { high = middle } else { low = middle }
        }
        return low
    }

    /// No layout, good or bad, under any schedule, is faster than what is said of its number of pipelines: with all cut alike
    /// or each in its own way, where arithmetic takes the time and where gradients do.
    @Test(arguments: [1.0, 1e3]) func holdsForEveryLayout(speed: Double) throws {
        var judged = 0
        for seed: UInt64 in 100..<130 {
            var generator = SeededGenerator(seed: seed)
            var problem = RandomProblem.make(
                seed: seed, peers: 3 + generator.index(below: 4), layers: 5,
                microBatches: 2 + generator.index(below: 9), sharesAccess: seed.isMultiple(of: 4))
            for peer in problem.graph.nodes.indices { problem.graph.nodes[peer].flopsPerSecond *= speed }
            problem.weighsSlices = seed.isMultiple(of: 3)
            problem.localSteps = seed.isMultiple(of: 5) ? 4 : 1
            problem.exchangesInLevels = seed.isMultiple(of: 2)
            if seed.isMultiple(of: 7) { problem.taskOverheadSeconds = 0.01 }
            let tables = CostTables(problem)
            // Of each number of pipelines the fastest.
            var best: [Int: Double] = [:]
            for schedule in PlanSchedule.allCases {
                for draw in 0..<12 {
                    let layout =
                        draw.isMultiple(of: 2)
                        ? RandomProblem.layout(of: problem, schedule: schedule, generator: &generator)
                        : RandomProblem.unevenLayout(of: problem, schedule: schedule, generator: &generator)
                    guard let layout else { continue }
                    let seconds = IterationSimulator.run(layout, tables: tables).seconds
                    best[layout.pipelines.count] = min(best[layout.pipelines.count] ?? .infinity, seconds)
                }
            }
            for (replicas, seconds) in best.sorted(by: { $0.key < $1.key }) {
                let bound = try Self.bound(problem, replicas: replicas, high: 2 * seconds)
                #expect(bound <= seconds, "seed \(seed), \(replicas) pipelines: \(seconds) is below the bound \(bound)")
                problem.shape.replicas = replicas
                var skeletons = SkeletonBound(problem, tables: tables, replicas: replicas, nodes: 2_000)
                let cuts = Self.bound(below: 2 * seconds) { skeletons.suffices($0) }
                #expect(cuts <= seconds, "seed \(seed), \(replicas) pipelines: \(seconds) is below the bound \(cuts)")
                let simple = IterationLowerBound(problem: problem, tables: tables).seconds
                #expect(simple <= seconds, "seed \(seed), \(replicas) pipelines: \(seconds) is below \(simple)")
                judged += 1
            }
        }
        #expect(judged > 60)
    }

    /// Nor is the best plan of all.
    @Test(arguments: [UInt64(21), 22, 23, 24]) func staysBelowTheOptimum(seed: UInt64) throws {
        for layers in [2, 3] {
            var problem = RandomProblem.make(seed: seed, peers: 4, layers: layers, microBatches: 3)
            problem.exchangesInLevels = true
            let report = try Planner.plan(
                problem, options: PlannerOptions(seed: 1, budget: 60, exactNodes: 2_000_000))
            #expect(report.isOptimal)
            let bound = IterationLowerBound(problem: problem, tables: CostTables(problem)).seconds(
                plan: 2 * report.objectiveSeconds, nodes: 200_000)
            #expect(bound <= report.objectiveSeconds)
        }
    }

    /// What may go over all links by way of anybody is a plan too if it does not: what is said where exchanges may be spread
    /// holds where they may not.
    @Test(arguments: [1.0, 1e3]) func spreadingAllowsMore(speed: Double) throws {
        for seed: UInt64 in 200..<208 {
            var problem = RandomProblem.make(seed: seed, peers: 5, layers: 4, microBatches: 5)
            for peer in problem.graph.nodes.indices { problem.graph.nodes[peer].flopsPerSecond *= speed }
            problem.localSteps = seed.isMultiple(of: 3) ? 4 : 1
            if seed.isMultiple(of: 4) { problem.taskOverheadSeconds = 0.01 }
            let plain = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 300, exactNodes: 0))
            problem.exchangesInLevels = true
            let tables = CostTables(problem)
            #expect(tables.spreadsExchange)
            let bound = IterationLowerBound(problem: problem, tables: tables).seconds(
                plan: 2 * plain.objectiveSeconds, nodes: 20_000)
            #expect(bound <= plain.objectiveSeconds, "seed \(seed)")
            #expect(bound > 0.2 * plain.objectiveSeconds, "seed \(seed): \(bound) of \(plain.objectiveSeconds)")
        }
    }

    /// Without latency no set of peers, nor pipelines of the best peers, can do less if exchanges may be spread, but for the
    /// second hop of the last layer, which is not known of other exchanges.
    @Test func spreadingRaisesNoLimitButByASecondHop() throws {
        for seed: UInt64 in 300..<312 {
            var problem = RandomProblem.make(seed: seed, peers: 5, layers: 5, microBatches: 12)
            for source in 0..<5 {
                problem.graph.nodes[source].flopsPerSecond *= seed.isMultiple(of: 2) ? 1 : 100
                for target in 0..<5 where target != source {
                    let rate = problem.graph.rates[source, target].value
                    problem.graph.setLink(
                        from: source, to: target, latency: .measured(0), bytesPerSecond: .measured(rate))
                }
            }
            problem.localSteps = seed.isMultiple(of: 3) ? 4 : 1
            if seed.isMultiple(of: 4) { problem.taskOverheadSeconds = 0.01 }
            let plain = CostTables(problem)
            let sets = try #require(PeerSets(plain, limit: 4096))
            let holders = SetCapacity(problem, tables: plain, sets: sets)
            let known = IterationLowerBound(problem: problem, tables: plain).seconds
            problem.exchangesInLevels = true
            let tables = CostTables(problem)
            let spread = SetCapacity(problem, tables: tables, sets: sets)
            let hop = tables.twoHops.joined().max() ?? 0
            for replicas in 1...5 {
                for factor in [0.5, 1, 2, 4, 16] {
                    var ofHolders = SetAllowance(holders, time: factor * known, replicas: replicas)
                    var ofAll = SetAllowance(
                        spread, time: factor * known + (replicas > 1 ? hop : 0), replicas: replicas)
                    let (less, more) = (ofHolders.ofAll(), ofAll.ofAll())
                    #expect(zip(less, more).allSatisfy { $0 <= $1 }, "seed \(seed), \(replicas) pipelines")
                    if replicas == 1 { #expect(less == more) }
                }
            }
        }
    }

    /// One layer each for two peers whose links are slow: no pass goes on while it is exchanged. A third comes by the way over
    /// the other peer, at half the rate and after twice the latency.
    @Test func aSpreadExchangeTakesAllLinks() {
        var problem = RandomProblem.make(seed: 1, peers: 3, layers: 1, microBatches: 2)
        let layer = ModelProfile.Layer(
            parameters: 1e6, forwardFlops: 0.25, backwardFlops: 0.5, activationBytes: 1, activationGradientBytes: 1,
            storedBytes: 1)
        problem.model.layers = [layer]
        problem.model.tiedParameters = 0
        problem.shape = PlanningProblem.Shape(stages: 1, replicas: 2)
        for source in 0..<3 {
            problem.graph.nodes[source].flopsPerSecond = 1e12
            for target in 0..<3 where target != source {
                problem.graph.setLink(
                    from: source, to: target, latency: .measured(1), bytesPerSecond: .measured(1e3))
            }
        }
        problem.exchangesInLevels = true
        let tables = CostTables(problem)
        let bytes = tables.gradientBytes(0..<1)
        let bound = IterationLowerBound(problem: problem, tables: tables).seconds
        #expect(bound >= (4.0 / 3 + bytes / 1.5e3) * (1 - 1e-6))
        #expect(bound < (4.0 / 3 + bytes / 1.5e3) * 1.001)
    }

    /// What three pipelines of one peer each add up: each pair of links carries two parts, so all together one and a half times what a
    /// pair carries; with holders alone four messages go over six links, and two of them after the last pipeline's gradients.
    @Test func crossingLinksCarryWhatWindowsAllow() throws {
        var problem = RandomProblem.make(seed: 1, peers: 3, layers: 1, microBatches: 3)
        for source in 0..<3 {
            problem.graph.nodes[source].flopsPerSecond = 1e12 * Double(1 + source)
            for target in 0..<3 where target != source {
                problem.graph.setLink(from: source, to: target, latency: .measured(1), bytesPerSecond: .measured(1e3))
            }
        }
        problem.exchangesInLevels = true
        let spread = CostTables(problem)
        func part(_ tables: CostTables, _ windows: [Double]) throws -> Double {
            let sets = try #require(PeerSets(tables, limit: 100))
            let capacity = SetCapacity(problem, tables: tables, sets: sets)
            return CrossingLinks(capacity, chosen: sets.strides).part(windows: windows) * tables.gradientBytes(0..<1)
        }
        #expect(abs(try part(spread, [11, 11, 11]) - 1.5 * 10e3) < 1e-6)
        // The pipeline with the short window is in two pairs, which cover all.
        #expect(abs(try part(spread, [11, 11, 3]) - 2 * 2e3) < 1e-6)
        let holders = spread.withoutSpreading
        #expect(abs(try part(holders, [11, 11, 11]) - 60e3 / 4) < 1e-6)
        #expect(abs(try part(holders, [11, 11, 3]) - 2 * 2e3) < 1e-6)
    }

    /// A pipeline's gradients leave its peers after all have worked: two pipelines of two stages, fast links within them and slow
    /// ones between, over which a quarter of the bytes takes a second.
    @Test func gradientsLeaveAPipeline() throws {
        var problem = RandomProblem.make(seed: 1, peers: 4, layers: 2, microBatches: 20, memoryBytes: 2e7)
        let layer = ModelProfile.Layer(
            parameters: 1e6, forwardFlops: 1e9, backwardFlops: 2e9, activationBytes: 1, activationGradientBytes: 1,
            storedBytes: 1e6)
        problem.model.layers = [layer, layer]
        problem.model.tiedParameters = 0
        problem.shape = PlanningProblem.Shape(stages: 2, replicas: 2)
        let bytes = CostTables(problem).gradientBytes(0..<2)
        for source in 0..<4 {
            problem.graph.nodes[source].flopsPerSecond = 1e9
            for target in 0..<4 where target != source {
                let isNear = source / 2 == target / 2
                problem.graph.setLink(
                    from: source, to: target, latency: .measured(0),
                    bytesPerSecond: .measured(isNear ? 1e12 : bytes / 4))
            }
        }
        problem.exchangesInLevels = true
        problem.weighsSlices = true
        let report = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 500, exactNodes: 0))
        let bound = try Self.bound(problem, replicas: 2, high: 2 * report.objectiveSeconds)
        // Ten micro-batches of three seconds a stage; what memory lets a stage put off is known not to be done.
        let tables = CostTables(problem)
        let depth = Double(tables.depthThatFits(0..<1, on: 0))
        #expect(depth < 5)
        #expect(bound <= report.objectiveSeconds)
        #expect(bound > (10 * 3 - depth * 2 + 1) * 0.98, "\(bound) s, plan \(report.objectiveSeconds) s")
    }

    /// Twelve peers of five regions: a pipeline of more than three stages leaves its region.
    @Test func seesLinksOfTwelvePeers() throws {
        let fixture = try #require(
            ProblemFixture.many("small_exact").first { $0.name.hasPrefix("dtfm_case4") })
        var problem = fixture.problem
        problem.model.layers = Array(problem.model.layers.prefix(6))
        problem.batch.sequences = 122
        problem.shape = PlanningProblem.Shape(stages: 6, replicas: 1)
        let simple = IterationLowerBound(problem: problem, tables: CostTables(problem)).seconds
        let bound = try Self.bound(problem, replicas: 1, high: 2 * simple)
        #expect(bound > simple * 1.1, "\(bound) s, without divisions \(simple) s")
        let report = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 100))
        #expect(bound <= report.objectiveSeconds)
    }

    /// Peers that differ in nothing are counted.
    @Test func equalPeersAreOneKind() throws {
        var problem = RandomProblem.make(seed: 3, peers: 6)
        for source in 0..<6 {
            problem.graph.nodes[source].flopsPerSecond = source < 4 ? 1e11 : 2e11
            for target in 0..<6 where target != source {
                problem.graph.setLink(
                    from: source, to: target, latency: .measured(0.001), bytesPerSecond: .measured(1e8))
            }
        }
        let sets = try #require(PeerSets(CostTables(problem), limit: 100))
        #expect(sets.kinds == [[0, 1, 2, 3], [4, 5]])
        #expect(sets.count == 15)
        #expect(sets.sizes[sets.all] == 6)
        #expect(sets.parts(of: sets.all).sorted() == Array(0..<15))
        #expect(sets.parts(of: sets.strides[1]) == [0, sets.strides[1]])
        #expect(PeerSets(CostTables(problem), limit: 14) == nil)
    }
}
