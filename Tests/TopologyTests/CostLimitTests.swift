import Primitives
import Testing

@testable import Topology

/// Plans that must not cost more than so much an hour.
struct CostLimitTests {
    private static func problem(_ seed: UInt64, peers: Int = 8) -> PlanningProblem {
        var problem = RandomProblem.make(seed: seed, peers: peers, layers: 4, microBatches: 6)
        var generator = SeededGenerator(seed: seed &+ 77)
        for peer in 0..<peers { problem.graph.nodes[peer].pricePerHour = 0.2 + generator.unit() }
        return problem
    }

    private static func cost(_ report: PlanReport, _ problem: PlanningProblem) -> Double {
        CostBudget(problem).cost(of: report.layout.peers)
    }

    /// The limit is kept, and what a looser one allows is never slower in proof: its bound is not above the tighter one's.
    @Test func limitIsKept() throws {
        for seed: UInt64 in 0..<3 {
            var problem = Self.problem(seed)
            let options = PlannerOptions(seed: seed, budget: 200)
            let free = try Planner.plan(problem, options: options)
            for share in [0.75, 0.4] {
                problem.maximumCostPerHour = share * CostBudget(problem).cost(of: 0..<8)
                let report = try Planner.plan(problem, options: options)
                let cost = Self.cost(report, problem)
                #expect(cost <= share * CostBudget(problem).cost(of: 0..<8) + 1e-9, "seed \(seed): \(cost)")
                #expect(report.plan.fault(layers: 4) == nil)
                #expect(report.lowerBoundSeconds >= free.lowerBoundSeconds * (1 - 1e-12))
                #expect(report.lowerBoundSeconds <= report.objectiveSeconds)
            }
        }
    }

    /// A limit that pays for a few of many peers leaves a plan for every goal.
    @Test func fewOfMany() throws {
        var problem = Self.problem(5, peers: 24)
        problem.maximumCostPerHour = 2
        let report = try Planner.plan(problem, options: PlannerOptions(budget: 200))
        #expect(Self.cost(report, problem) <= 2)
        for goal in PlanningGoal.allCases.dropFirst() {
            var search = try GenerationSearch(problem, goal: goal, options: PlannerOptions(budget: 100))
            while !search.isFinished { search.advance(64) }
            #expect(try search.report().costPerHour <= 2)
        }
    }

    /// With one pipeline of one stage, the plan under a limit is that of the fastest peer that can be paid.
    @Test func fastestAffordablePeer() throws {
        var problem = Self.problem(3)
        problem.shape = PlanningProblem.Shape(stages: 1, replicas: 1)
        for limit in [0.3, 0.6, 0.9, 2] {
            problem.maximumCostPerHour = limit
            let nodes = problem.graph.nodes
            let affordable = nodes.indices.filter { (nodes[$0].pricePerHour ?? 0) <= limit }
            guard let best = affordable.max(by: { nodes[$0].flopsPerSecond < nodes[$1].flopsPerSecond }) else {
                #expect(throws: PlanningError.self) { try Planner.plan(problem, options: PlannerOptions(budget: 50)) }
                continue
            }
            let report = try Planner.plan(problem, options: PlannerOptions(budget: 300))
            #expect(report.layout.peers == [best])
        }
    }

    /// The cheapest set with enough memory, against every set there is.
    @Test func leastCostIsExact() {
        for seed: UInt64 in 0..<20 {
            var generator = SeededGenerator(seed: seed)
            var problem = Self.problem(seed)
            let memory = (0..<8).map { _ in 1 + 9 * generator.unit() }
            for peer in 0..<8 { problem.graph.nodes[peer].memoryBytes = memory[peer] }
            let budget = CostBudget(problem)
            let needed = 5 + 30 * generator.unit()
            var best = Double.infinity
            for set in 1..<256 {
                let peers = (0..<8).filter { set >> $0 & 1 == 1 }
                if peers.reduce(0, { $0 + memory[$1] }) >= needed { best = min(best, budget.cost(of: peers)) }
            }
            let least = budget.leastCost(bytes: needed, memory: memory, count: 1)
            #expect(least == best || abs(least - best) < 1e-9, "seed \(seed): \(least), the cheapest set costs \(best)")
        }
    }

    /// No affordable set has more than the relaxation says.
    @Test func mostIsABound() {
        for seed: UInt64 in 0..<20 {
            var problem = Self.problem(seed)
            let speeds = problem.graph.nodes.map(\.flopsPerSecond)
            problem.maximumCostPerHour = 0.5 + Double(seed) / 8
            let budget = CostBudget(problem)
            for set in 1..<256 {
                let peers = (0..<8).filter { set >> $0 & 1 == 1 }
                guard budget.allows(peers) else { continue }
                #expect(peers.reduce(0) { $0 + speeds[$1] } <= budget.most(speeds) * (1 + 1e-12))
            }
            for count in 1...8 {
                let chosen = budget.selection(count, by: speeds)
                #expect(chosen.isEmpty || chosen.count == count && budget.allows(chosen))
                #expect(Set(chosen).count == chosen.count)
            }
        }
    }

    @Test func errorsSayWhatIsShort() {
        func message(objective: PlanningObjective = .iteration, _ change: (inout PlanningProblem) -> Void) -> String {
            var problem = RandomProblem.make(seed: 1, peers: 4)
            for peer in 0..<4 { problem.graph.nodes[peer].pricePerHour = 0.5 }
            change(&problem)
            do {
                _ = try Planner.plan(problem, options: PlannerOptions(objective: objective, budget: 50))
                return "no error"
            } catch { return error.description }
        }
        #expect(
            message { problem in
                for peer in 0..<4 { problem.graph.nodes[peer].memoryBytes = 12e6 }
                problem.maximumCostPerHour = 0.75
            }
                == "at most 0.75 an hour is too little: the cheapest peers that could train small (13.5 MB for weights and "
                + "optimiser) cost 1.00 an hour, 0.25 more")
        #expect(
            message {
                $0.shape = PlanningProblem.Shape(stages: 2, replicas: 2)
                $0.maximumCostPerHour = 1.5
            }
                == "at most 1.50 an hour is too little: the cheapest peers that could train small (27.0 MB for weights and "
                + "optimiser in 2 pipelines) cost 2.00 an hour, 0.50 more")
        #expect(message { $0.maximumCostPerHour = -1 } == "the cost limit is -1.0 an hour: it must not be negative")
        #expect(
            message(objective: .dtfm) {
                $0.shape = PlanningProblem.Shape(stages: 2, replicas: 2)
                $0.dtfm = PlanningProblem.DTFMConstants(gradientBytes: 1, activationBytes: 1)
                $0.maximumCostPerHour = 1
            }
                == "DT-FM's objective places all peers, which cost 2.00 an hour, 1.00 more than the limit: use the "
                + "iteration's")
    }
}
