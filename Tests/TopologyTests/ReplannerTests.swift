import Primitives
import Testing

@testable import Topology

/// What happens to a plan when the swarm changes.
struct ReplannerTests {
    /// A problem without some of its peers.
    private static func without(_ gone: Set<Int>, _ problem: PlanningProblem) -> PlanningProblem {
        let kept = problem.graph.nodes.indices.filter { !gone.contains($0) }
        var next = problem
        next.graph = problem.graph.permuted(kept)
        return next
    }

    private static func options(hysteresis: Double = 0.05) -> Replanner.Options {
        Replanner.Options(planner: PlannerOptions(seed: 1, budget: 400), hysteresis: hysteresis)
    }

    @Test func nothingChangedNothingMoves() throws {
        let problem = RandomProblem.make(seed: 2, peers: 7)
        let plan = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 400)).plan
        let outcome = try Replanner.replan(plan, problem: problem, options: Self.options())
        #expect(outcome.keepsPrevious)
        #expect(outcome.movedBytes == 0)
        #expect(outcome.movedPeers.isEmpty)
        #expect(outcome.report.plan == plan)
    }

    /// One leaver and an equal standby: only the standby fetches, and only one stage's layers.
    @Test func oneLeaverWithAStandbyMovesOneStage() throws {
        var problem = RandomProblem.make(seed: 4, peers: 7, layers: 6, microBatches: 6)
        for source in 0..<7 {
            problem.graph.nodes[source].flopsPerSecond = 1e11
            for target in 0..<7 where target != source {
                problem.graph.setLink(
                    from: source, to: target, latency: .measured(0.001), bytesPerSecond: .measured(1e8))
            }
        }
        problem.shape = PlanningProblem.Shape(stages: 3, replicas: 2)
        let plan = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 400)).plan
        let standby = try #require(plan.spares.first)
        for stage in 0..<3 {
            let assignment = plan.pipelines[1][stage]
            let leaver = try #require(problem.graph.index(of: assignment.peer))
            let next = Self.without([leaver], problem)
            let outcome = try Replanner.replan(plan, problem: next, options: Self.options())
            #expect(outcome.previousSeconds == nil)
            #expect(outcome.movedPeers == [standby], "stage \(stage)")
            let bytes = CostTables(problem).parameters(assignment.layers) * Replanner.checkpointBytesPerParameter
            #expect(abs(outcome.movedBytes - bytes) < 1)
            #expect(outcome.report.plan.fault(layers: 6) == nil)
        }
    }

    /// A spare that leaves changes nothing, and nothing is searched for: the budget would last for days.
    @Test func aSpareThatLeavesChangesNothing() throws {
        var problem = RandomProblem.make(seed: 4, peers: 7, layers: 6, microBatches: 6)
        problem.shape = PlanningProblem.Shape(stages: 3, replicas: 2)
        let plan = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 400)).plan
        let spare = try #require(plan.spares.first)
        let next = Self.without([try #require(problem.graph.index(of: spare))], problem)
        var options = Self.options(hysteresis: 0)
        options.planner.budget = 1 << 40
        let outcome = try Replanner.replan(plan, problem: next, options: options)
        #expect(outcome.keepsPrevious)
        #expect(outcome.movedBytes == 0)
        #expect(outcome.report.plan.pipelines == plan.pipelines)
    }

    /// Settling never makes a plan slower, and nobody gets other layers by it.
    @Test func settlingMovesNoShards() throws {
        var improved = 0
        for seed: UInt64 in 0..<6 {
            var problem = RandomProblem.make(seed: seed, peers: 9, layers: 6, microBatches: 9)
            problem.shape = PlanningProblem.Shape(stages: 3, replicas: 3)
            let tables = CostTables(problem)
            let cuts = LayerSplit.even(layers: 6, stages: 3)
            let start = Layout(
                pipelines: (0..<3).map { rank in
                    (0..<3).map { Layout.Stage(peer: 3 * rank + $0, layers: cuts[$0], depth: 3 - $0) }
                }, microBatches: [3, 3, 3], schedule: .zeroBubble)
            let settled = Settlement(tables: tables, budget: CostBudget(problem)).run(start, limit: 500)
            func holdings(_ layout: Layout) -> [Int: Range<Int>] {
                Dictionary(uniqueKeysWithValues: layout.pipelines.joined().map { ($0.peer, $0.layers) })
            }
            #expect(holdings(settled) == holdings(start), "seed \(seed)")
            #expect(Plan(settled, problem: problem, predictedIterationSeconds: 1).fault(layers: 6) == nil)
            let (before, after) = (
                ClosedForm(tables: tables).seconds(start), ClosedForm(tables: tables).seconds(settled)
            )
            #expect(after <= before, "seed \(seed): \(before) s became \(after) s")
            if after < before * 0.999 { improved += 1 }
        }
        #expect(improved >= 3, "only \(improved) of 6 arbitrary plans became faster")
    }

    @Test func aLeaverWithoutStandbyStillLeavesAPlan() throws {
        for seed: UInt64 in 0..<4 {
            let problem = RandomProblem.make(seed: seed, peers: 6, layers: 6)
            let plan = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 400)).plan
            let leaver = try #require(problem.graph.index(of: plan.pipelines[0][0].peer))
            let outcome = try Replanner.replan(plan, problem: Self.without([leaver], problem), options: Self.options())
            #expect(outcome.report.plan.fault(layers: 6) == nil)
            #expect(!outcome.report.plan.pipelines.flatMap(\.self).contains { $0.peer == plan.pipelines[0][0].peer })
        }
    }

    /// Whoever waits for the next plan gets one however little time there was.
    @Test func aSearchThatIsOverAtOnceStillLeavesAPlan() throws {
        let problem = RandomProblem.make(seed: 2, peers: 6, layers: 6)
        let plan = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 400)).plan
        let leaver = try #require(problem.graph.index(of: plan.pipelines[0][0].peer))
        let next = Self.without([leaver], problem)
        let whole = try Replanner.replan(plan, problem: next)
        let outcome = try Replanner.replan(plan, problem: next, options: Replanner.Options(isOver: { true }))
        #expect(outcome.report.plan.fault(layers: 6) == nil)
        #expect(outcome.report.evaluations < whole.report.evaluations, "the search went on")
    }

    /// A working plan is given up for a large gain and not for a small one.
    @Test func hysteresis() throws {
        let problem = RandomProblem.make(seed: 9, peers: 6, layers: 6, microBatches: 8)
        let plan = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 400)).plan
        var noisy = problem
        var generator = SeededGenerator(seed: 3)
        for position in noisy.graph.rates.indices {
            noisy.graph.rates[position].value *= 0.98 + 0.04 * generator.unit()
        }
        let quiet = try Replanner.replan(plan, problem: noisy, options: Self.options())
        #expect(quiet.keepsPrevious, "measurement noise of 2 % must not move layers")
        var broken = problem
        let slow = try #require(problem.graph.index(of: plan.pipelines[0][0].peer))
        broken.graph.nodes[slow].flopsPerSecond = 1e8
        let loud = try Replanner.replan(plan, problem: broken, options: Self.options())
        #expect(!loud.keepsPrevious, "a peer a thousand times slower must lose its layers")
        #expect(loud.report.objectiveSeconds < (loud.previousSeconds ?? 0))
    }
}
