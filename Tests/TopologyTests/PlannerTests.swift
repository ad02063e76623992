import Primitives
import Testing

@testable import Topology

/// What every plan must obey, and what a planner must say when there is none.
struct PlannerTests {
    /// Three groups move on by one, peer by peer; those that have no counterpart stay.
    @Test func groupsChangePlacesInACircle() {
        var arrangement = Arrangement(pipelines: [[0, 2, 4], [1, 3, 5], [6, 7]], spares: [8])
        #expect(arrangement.rotate([[0, 1], [2, 3], [4, 5, 8]]) == [0, 1])
        #expect(arrangement == Arrangement(pipelines: [[2, 4, 0], [3, 5, 1], [6, 7]], spares: [8]))
    }

    @Test func everyPlanIsValid() throws {
        for seed: UInt64 in 0..<8 {
            var problem = RandomProblem.make(
                seed: seed, peers: 3 + Int(seed), layers: 5, microBatches: 6, memoryBytes: 100e6,
                sharesAccess: seed.isMultiple(of: 2), exactReduction: seed.isMultiple(of: 3))
            problem.schedule = [nil, .gpipe, .oneForwardOneBackward][Int(seed) % 3]
            let report = try Planner.plan(problem, options: PlannerOptions(seed: seed, budget: 600))
            #expect(report.plan.fault(layers: 5) == nil, "seed \(seed): \(report.plan.fault(layers: 5) ?? "")")
            #expect(report.plan.pipelines.map { $0[0].microBatches }.reduce(0, +) == 6)
            let everyone = report.plan.pipelines.flatMap { $0.map(\.peer) } + report.plan.spares
            #expect(everyone.sorted() == problem.graph.nodes.map(\.peer).sorted())
            for (rank, stages) in report.trace.stages.enumerated() {
                for (position, stage) in stages.enumerated() {
                    let peer = report.layout.pipelines[rank][position].peer
                    #expect(stage.memoryBytes <= problem.graph.nodes[peer].memoryBytes)
                }
            }
            #expect(report.lowerBoundSeconds <= report.objectiveSeconds)
            #expect(report.parts.reduce(0) { $0 + $1.seconds } - report.objectiveSeconds < 1e-9)
        }
    }

    @Test func sameSeedSamePlan() throws {
        let problem = RandomProblem.make(seed: 21, peers: 9)
        let first = try Planner.plan(problem, options: PlannerOptions(seed: 5, budget: 500))
        let second = try Planner.plan(problem, options: PlannerOptions(seed: 5, budget: 500))
        #expect(first.plan == second.plan)
    }

    @Test func smallerStepsGiveTheSamePlan() throws {
        let problem = RandomProblem.make(seed: 22, peers: 8)
        let options = PlannerOptions(seed: 5, budget: 500)
        var search = try PlanSearch(problem, options: options)
        while !search.isFinished { search.advance(7) }
        #expect(try search.report().plan == Planner.plan(problem, options: options).plan)
    }

    /// A peer behind a link that costs more than its work is worth stays out.
    @Test func farSlowPeerIsSpare() throws {
        var problem = RandomProblem.make(seed: 3, peers: 3, layers: 4, microBatches: 4)
        for peer in 0..<2 { problem.graph.nodes[peer].flopsPerSecond = 1e11 }
        problem.graph.nodes[2].flopsPerSecond = 1e7
        for source in 0..<3 {
            for target in 0..<3 where target != source {
                let isFar = source == 2 || target == 2
                problem.graph.setLink(
                    from: source, to: target, latency: .measured(isFar ? 1 : 0.0001),
                    bytesPerSecond: .measured(isFar ? 1e5 : 1e9))
            }
        }
        let report = try Planner.plan(problem, options: PlannerOptions(budget: 500))
        #expect(report.plan.spares == [problem.graph.nodes[2].peer])
    }

    @Test func requestedShapeIsKept() throws {
        var problem = RandomProblem.make(seed: 30, peers: 8, layers: 6, microBatches: 8)
        problem.shape = PlanningProblem.Shape(stages: 4, replicas: 2)
        let report = try Planner.plan(problem, options: PlannerOptions(budget: 500))
        #expect(report.plan.pipelines.count == 2)
        #expect(report.plan.pipelines.allSatisfy { $0.count == 4 })
        problem.shape = PlanningProblem.Shape(stages: 3)
        let second = try Planner.plan(problem, options: PlannerOptions(budget: 500))
        #expect(second.plan.pipelines.allSatisfy { $0.count == 3 })
    }

    @Test func errorsSayWhatIsShort() {
        func message(_ change: (inout PlanningProblem) -> Void) -> String {
            var problem = RandomProblem.make(seed: 1, peers: 4)
            change(&problem)
            do {
                _ = try Planner.plan(problem, options: PlannerOptions(budget: 50))
                return "no error"
            } catch { return error.description }
        }
        #expect(
            message { $0.shape = PlanningProblem.Shape(stages: 3, replicas: 2) }
                == "3 stages times 2 replicas need 3 x 2 peers: there are 4, 2 too few")
        #expect(
            message { $0.graph.rates[1] = .unknown }
                == "1 of 12 links have no measurement or prediction, the first is peer0 -> peer1")
        #expect(
            message { $0.graph.rates[1].value = .nan }
                == "the link peer0 -> peer1 has bandwidth nan bit/s: it must be positive")
        #expect(
            message { $0.graph.nodes[2].flopsPerSecond = 0 }
                == "peer peer2 has flopsPerSecond 0.0: it must be positive")
        #expect(
            message { problem in for peer in 0..<4 { problem.graph.nodes[peer].memoryBytes = 3e6 } }.hasPrefix(
                "small needs 13.5 MB for weights and optimiser in 1 pipeline: all 4 peers together have 12.0 MB, 1.48 MB too little"
            ))
        #expect(
            message {
                $0.graph = LinkGraph(nodes: [], digest: $0.graph.digest)
            } == "there are no peers to plan for")
        #expect(message { $0.shape.stages = 5 }.hasPrefix("5 stages need at least as many layers"))
    }

    @Test func diagramNamesEveryPeerAndTheBottleneck() throws {
        let problem = RandomProblem.make(seed: 6, peers: 6, layers: 4, microBatches: 8)
        let report = try Planner.plan(problem, options: PlannerOptions(budget: 500))
        let text = PlanDiagram(report, problem: problem).lines.joined(separator: "\n")
        for node in problem.graph.nodes { #expect(text.contains(node.name), "\(node.name) is not in\n\(text)") }
        #expect(text.contains("<== bottleneck"), "\(text)")
        #expect(!PlanExplanation(report, problem: problem).lines.isEmpty)
    }

    @Test func splits() {
        #expect(MicroBatchSplit.even(7, over: 3) == [3, 2, 2])
        // A pipeline twice as fast gets about twice as many.
        #expect(MicroBatchSplit.balanced(9, fills: [1, 1], cycles: [1, 2]) == [6, 3])
        #expect(MicroBatchSplit.balanced(2, fills: [1, 100], cycles: [1, 100]) == [1, 1])
        #expect(LayerSplit.even(layers: 7, stages: 3) == [0..<3, 3..<5, 5..<7])
    }

    @Test func exponentialVariatesHaveMeanOne() {
        var generator = SeededGenerator(seed: 1)
        var sum = 0.0
        var above = 0
        for _ in 0..<20_000 {
            let value = generator.exponential()
            #expect(value >= 0)
            sum += value
            if value > 1 { above += 1 }
        }
        #expect(abs(sum / 20_000 - 1) < 0.03)
        #expect(abs(Double(above) / 20_000 - 0.3679) < 0.02)
    }
}
