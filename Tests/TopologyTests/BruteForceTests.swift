import Primitives
import Testing

@testable import Topology

/// The planner against every plan there is, on six peers, judged by the simulator.
struct BruteForceTests {
    /// Every choice of peers, order, cuts and micro-batch shares for a given shape under 1F1B.
    private static func optimum(_ problem: PlanningProblem, stages: Int, replicas: Int) -> Double {
        let tables = CostTables(problem)
        var best = Double.infinity
        let cuts = compositions(tables.layers, parts: stages)
        let shares = compositions(tables.microBatches, parts: replicas)
        func visit(_ chosen: [Int]) {
            guard chosen.count < stages * replicas else {
                price(chosen)
                return
            }
            for peer in 0..<tables.peers where !chosen.contains(peer) { visit(chosen + [peer]) }
        }
        func price(_ chosen: [Int]) {
            // Pipelines are interchangeable where the shares are enumerated too.
            for share in shares {
                var cutChoice = Array(repeating: 0, count: replicas)
                while true {
                    let pipelines = (0..<replicas).map { replica in
                        var start = 0
                        return (0..<stages).map { stage -> Layout.Stage in
                            let count = cuts[cutChoice[replica]][stage]
                            defer { start += count }
                            return Layout.Stage(
                                peer: chosen[replica * stages + stage], layers: start..<(start + count),
                                depth: min(stages - stage, share[replica]))
                        }
                    }
                    let layout = Layout(pipelines: pipelines, microBatches: share, schedule: .oneForwardOneBackward)
                    best = min(best, IterationSimulator.run(layout, tables: tables).seconds)
                    var digit = 0
                    while digit < replicas {
                        cutChoice[digit] += 1
                        if cutChoice[digit] < cuts.count { break }
                        cutChoice[digit] = 0
                        digit += 1
                    }
                    if digit == replicas { break }
                }
            }
        }
        visit([])
        return best
    }

    private static func compositions(_ total: Int, parts: Int) -> [[Int]] {
        guard parts > 1 else { return [[total]] }
        return (1...(total - parts + 1)).flatMap { first in
            compositions(total - first, parts: parts - 1).map { [first] + $0 }
        }
    }

    private static func check(_ problem: PlanningProblem, stages: Int, replicas: Int) throws {
        var problem = problem
        problem.schedule = .oneForwardOneBackward
        problem.shape = PlanningProblem.Shape(stages: stages, replicas: replicas)
        let best = optimum(problem, stages: stages, replicas: replicas)
        let report = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 4_000))
        #expect(
            report.objectiveSeconds <= best * (1 + 1e-9),
            "\(problem.name), \(stages) x \(replicas): planned \(report.objectiveSeconds), optimum \(best)")
        #expect(report.lowerBoundSeconds <= best * (1 + 1e-9), "\(problem.name): the bound is above the optimum")
    }

    @Test(arguments: [UInt64(1), 2, 3]) func twoStagesTwoReplicasTwoSpares(seed: UInt64) throws {
        try Self.check(RandomProblem.make(seed: seed, peers: 6, layers: 3, microBatches: 3), stages: 2, replicas: 2)
    }

    @Test func twoStagesThreeReplicas() throws {
        try Self.check(
            RandomProblem.make(seed: 4, peers: 6, layers: 2, microBatches: 4, exactReduction: true), stages: 2,
            replicas: 3)
    }

    @Test func sixStages() throws {
        try Self.check(RandomProblem.make(seed: 5, peers: 6, layers: 7, microBatches: 4), stages: 6, replicas: 1)
    }

    /// With the shape left open, the planner is never worse than the best of all shapes with one or two pipelines.
    @Test(arguments: [UInt64(11), 12]) func freeShape(seed: UInt64) throws {
        var problem = RandomProblem.make(seed: seed, peers: 4, layers: 3, microBatches: 3)
        problem.schedule = .oneForwardOneBackward
        var best = Double.infinity
        for (stages, replicas) in [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 3)] {
            best = min(best, Self.optimum(problem, stages: stages, replicas: replicas))
        }
        let report = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 4_000))
        #expect(report.objectiveSeconds <= best * (1 + 1e-9), "planned \(report.objectiveSeconds), optimum \(best)")
    }
}
