import Primitives
import Testing

@testable import Topology

/// Where spares stand, and what that is worth when a peer leaves.
struct StandbysTests {
    private static let members = 6

    /// Three regions of six equal peers; links between them are slow and long. Fifteen peers hold the whole model each, three
    /// are spares.
    private static func problem() -> PlanningProblem {
        var problem = RandomProblem.make(seed: 3, peers: 3 * members, layers: 6, microBatches: 15)
        for source in 0..<(3 * members) {
            problem.graph.nodes[source].flopsPerSecond = 1e11
            problem.graph.nodes[source].memoryBytes = 1e12
            for target in 0..<(3 * members) where target != source {
                let isNear = source / members == target / members
                problem.graph.setLink(
                    from: source, to: target, latency: .measured(isNear ? 0.001 : 0.1),
                    bytesPerSecond: .measured(isNear ? 1e9 : 1e8))
            }
        }
        problem.shape = PlanningProblem.Shape(stages: 1, replicas: 15)
        return problem
    }

    private static func standbys(_ problem: PlanningProblem) -> Standbys? {
        let tables = CostTables(problem)
        return Standbys(problem, tables: tables, affinity: IterationSearch.affinity(tables))
    }

    /// A spare in every region costs nothing, spares in one region cost something, and more regions without cost more.
    @Test func sparesFarOffAreCharged() throws {
        let standbys = try #require(Self.standbys(Self.problem()))
        func surcharge(_ spares: [Int]) -> Double {
            standbys.surcharge((0..<(3 * Self.members)).filter { !spares.contains($0) }, spares: spares)
        }
        #expect(abs(surcharge([5, 11, 17]) - 1) < 1e-9)
        #expect(surcharge([4, 5, 11]) > 1.01)
        #expect(surcharge([3, 4, 5]) > surcharge([4, 5, 11]) + 0.01)
    }

    /// Where the plan chooses how many work, or nobody is left over, nothing is charged.
    @Test func onlyGivenShapesWithSparesAreCharged() {
        var open = Self.problem()
        open.shape = PlanningProblem.Shape(stages: 1)
        #expect(Self.standbys(open) == nil)
        var full = Self.problem()
        full.shape = PlanningProblem.Shape(stages: 1, replicas: 18)
        #expect(Self.standbys(full) == nil)
    }

    /// Where it hardly matters to the iteration, every region keeps a spare, so that whoever leaves has one near.
    @Test func everyRegionKeepsASpare() throws {
        let problem = Self.problem()
        let options = PlannerOptions(seed: 1, budget: 4_000)
        let report = try Planner.plan(problem, options: options)
        let spares = report.plan.spares.compactMap { problem.graph.index(of: $0) }
        #expect(Set(spares.map { $0 / Self.members }).count == 3, "spares \(spares)")
        for leaver in [report.layout.pipelines[0][0].peer, report.layout.pipelines[14][0].peer] {
            var next = problem
            next.graph = problem.graph.permuted(problem.graph.nodes.indices.filter { $0 != leaver })
            let outcome = try Replanner.replan(
                report.plan, problem: next, options: Replanner.Options(planner: options))
            #expect(outcome.movedPeers.count == 1)
            #expect(outcome.report.objectiveSeconds <= report.objectiveSeconds * 1.000001)
        }
    }
}
