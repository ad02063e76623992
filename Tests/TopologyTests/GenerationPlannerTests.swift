import Primitives
import Testing

@testable import Topology

/// What every plan for generation must obey, against every plan there is on few peers.
struct GenerationPlannerTests {
    /// Calls with every pipeline of some peers in some order with some cut.
    private static func everyPipeline(
        _ tables: GenerationTables, _ body: ([GenerationLayout.Stage]) -> Void
    ) {
        func visit(_ stages: [GenerationLayout.Stage]) {
            let start = stages.last?.layers.upperBound ?? 0
            guard start < tables.layers else {
                body(stages)
                return
            }
            for peer in 0..<tables.peers where !stages.contains(where: { $0.peer == peer }) {
                for end in (start + 1)...tables.layers
                where tables.stageBytes(start..<end, sequences: 1) <= tables.memoryBytes[peer] {
                    visit(stages + [GenerationLayout.Stage(peer: peer, layers: start..<end)])
                }
            }
        }
        visit([])
    }

    /// The least time of an answer over all pipelines and numbers of chunks, within a cost limit.
    private static func optimum(_ problem: PlanningProblem) throws -> Double {
        let tables = try GenerationTables(problem)
        let budget = CostBudget(problem)
        var best = Double.infinity
        everyPipeline(tables) { stages in
            guard budget.allows(stages.map(\.peer)) else { return }
            for chunks in tables.chunkChoices {
                let pipeline = GenerationLayout.Pipeline(stages: stages, promptChunks: chunks)
                best = min(best, GenerationLatency(pipeline, tables: tables).total)
            }
        }
        return best / Double(tables.newTokens)
    }

    private static func plan(
        _ problem: PlanningProblem, _ goal: PlanningGoal, budget: Int = 2_000, seed: UInt64 = 1
    ) throws -> GenerationReport {
        var search = try GenerationSearch(problem, goal: goal, options: PlannerOptions(seed: seed, budget: budget))
        while !search.isFinished { search.advance(512) }
        return try search.report()
    }

    @Test(arguments: Array(0..<6) as [UInt64]) func latencyIsTheOptimum(seed: UInt64) throws {
        let problem = RandomGeneration.make(seed: seed, peers: 4, layers: 4, memoryBytes: 6e6)
        let best = try Self.optimum(problem)
        let report = try Self.plan(problem, .latency)
        #expect(
            abs(report.objectiveSeconds - best) <= 1e-9 * best,
            "seed \(seed): planned \(report.objectiveSeconds), optimum \(best)")
        #expect(report.lowerBoundSeconds <= best * (1 + 1e-9), "seed \(seed)")
    }

    /// One box a stage, an arrow between two, the bottleneck of every pipeline in red where there is one, names escaped.
    @Test(arguments: PlanningGoal.allCases.dropFirst()) func drawing(goal: PlanningGoal) throws {
        var problem = RandomGeneration.make(seed: 3, peers: 6, memoryBytes: 9e6)
        for peer in problem.graph.nodes.indices { problem.graph.nodes[peer].name = "<\(peer) & co>" }
        let report = try Self.plan(problem, goal, budget: 400, seed: 3)
        let svg = GenerationDrawing(report, problem: problem).svg
        #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n") && !svg.contains(" & co"))
        let lines = svg.split(separator: "\n")
        let stages = report.layout.peers.count
        #expect(lines.count { $0.contains("rx=\"6\"") } == stages)
        #expect(lines.count { $0.contains("marker-end") } == stages - report.layout.pipelines.count)
        #expect(
            lines.count { $0.contains("stroke=\"#c22\"") } == (goal == .throughput ? report.layout.pipelines.count : 0))
    }

    @Test(arguments: PlanningGoal.allCases.dropFirst()) func everyPlanIsValid(goal: PlanningGoal) throws {
        for seed: UInt64 in 0..<10 {
            var problem = RandomGeneration.make(seed: seed, peers: 3 + Int(seed), memoryBytes: 9e6)
            if seed.isMultiple(of: 2) { problem.generation.maximumSequences = 12 }
            let report = try Self.plan(problem, goal, budget: 400, seed: seed)
            #expect(report.layout.fault(layers: 5) == nil, "seed \(seed): \(report.layout.fault(layers: 5) ?? "")")
            let tables = try GenerationTables(problem)
            for pipeline in report.layout.pipelines {
                for stage in pipeline.stages {
                    let bytes = tables.stageBytes(stage.layers, sequences: pipeline.sequences)
                    #expect(bytes <= problem.graph.nodes[stage.peer].memoryBytes, "seed \(seed)")
                }
            }
            if let most = problem.generation.maximumSequences {
                #expect(report.layout.pipelines.reduce(0) { $0 + $1.sequences } <= most)
            }
            #expect(report.lowerBoundSeconds > 0 && report.lowerBoundSeconds <= report.objectiveSeconds)
            if goal == .latency {
                #expect(report.layout.pipelines.count == 1)
            } else {
                let simulated = report.layout.pipelines.reduce(0) {
                    $0 + GenerationSimulator.run($1, tables: tables).tokensPerSecond
                }
                #expect(abs(1 / report.objectiveSeconds - simulated) <= 1e-9 * simulated, "seed \(seed)")
            }
        }
    }

    /// Naming the peers in another order changes nothing.
    @Test(arguments: PlanningGoal.allCases.dropFirst()) func orderOfPeersDoesNotMatter(goal: PlanningGoal) throws {
        for seed: UInt64 in 0..<6 {
            let problem = RandomGeneration.make(seed: seed, peers: 5, layers: 4, memoryBytes: 8e6)
            var generator = SeededGenerator(seed: seed)
            var order = Array(0..<5)
            generator.shuffle(&order)
            var permuted = problem
            permuted.graph = problem.graph.permuted(order)
            let before = try Self.plan(problem, goal, budget: 2_500).objectiveSeconds
            let after = try Self.plan(permuted, goal, budget: 2_500).objectiveSeconds
            #expect(abs(before - after) <= 1e-9 * before, "seed \(seed): \(before) became \(after)")
        }
    }

    /// The throughput's bound holds for every plan, and the planner's is not beaten by random ones.
    @Test func noPlanBeatsTheThroughputBound() throws {
        for seed: UInt64 in 0..<8 {
            let problem = RandomGeneration.make(seed: seed, peers: 5, memoryBytes: 20e6)
            let report = try Self.plan(problem, .throughput, budget: 400)
            let tables = try GenerationTables(problem)
            var generator = SeededGenerator(seed: seed)
            for _ in 0..<20 {
                let pipeline = RandomGeneration.pipeline(tables, generator: &generator)
                let isFitting = pipeline.stages.allSatisfy {
                    tables.stageBytes($0.layers, sequences: pipeline.sequences) <= tables.memoryBytes[$0.peer]
                }
                guard isFitting else { continue }
                let seconds = 1 / GenerationThroughput(tables: tables).steady(pipeline)
                #expect(seconds >= report.lowerBoundSeconds * (1 - 1e-9), "seed \(seed)")
                #expect(seconds >= report.objectiveSeconds * (1 - 1e-9), "seed \(seed): a random plan is better")
            }
        }
    }

    /// Within a limit that excludes the free choice, the plan is the best of those that may be paid.
    @Test(arguments: Array(0..<6) as [UInt64]) func costLimitIsKept(seed: UInt64) throws {
        var problem = RandomGeneration.make(seed: seed, peers: 4, layers: 4, memoryBytes: 6e6)
        let free = try Self.plan(problem, .latency)
        problem.maximumCostPerHour = free.costPerHour * 0.9
        let best = try Self.optimum(problem)
        guard best < .infinity else {
            #expect(throws: PlanningError.self) { try Self.plan(problem, .latency) }
            return
        }
        let report = try Self.plan(problem, .latency)
        #expect(report.costPerHour <= free.costPerHour * 0.9 + 1e-9)
        #expect(abs(report.objectiveSeconds - best) <= 1e-9 * best, "seed \(seed)")
        let rate = try Self.plan(problem, .throughput)
        #expect(rate.costPerHour <= free.costPerHour * 0.9 + 1e-9)
    }

    @Test func errorsSayWhatIsShort() {
        func message(_ goal: PlanningGoal = .latency, _ change: (inout PlanningProblem) -> Void) -> String {
            var problem = RandomProblem.make(seed: 1, peers: 4)
            change(&problem)
            do {
                _ = try Self.plan(problem, goal, budget: 50)
                return "no error"
            } catch { return "\(error)" }
        }
        #expect(message { $0.model.generation = nil } == "small has no figures for generation: give the model's shape")
        #expect(
            message { $0.generation.newTokens = 0 } == "generation needs newTokens from 1 to 1048576, not 0")
        #expect(
            message(.throughput) { $0.generation.maximumSequences = 0 }
                == "generation needs positive maximumSequences, not 0")
        #expect(
            message { problem in for peer in 0..<4 { problem.graph.nodes[peer].memoryBytes = 1e6 } }
                == "small needs 5.99 MB for its weights and the cache of one sequence (2.62 MB): all 4 peers together "
                + "have 4.00 MB, 1.99 MB too little")
        #expect(
            message { $0.graph.nodes[1].pricePerHour = -1 }
                == "peer peer1 has pricePerHour -1.0: it must not be negative"
        )
        #expect(
            message { $0.graph.nodes[1].memoryBytesPerSecond = .nan }
                == "peer peer1 has memoryBytesPerSecond nan: it must be positive")
        #expect(
            message(.throughput) { problem in
                for peer in 0..<4 {
                    problem.graph.nodes[peer].memoryBytes = 3e6
                    problem.graph.nodes[peer].pricePerHour = 0.5
                }
                problem.maximumCostPerHour = 0.6
            }
                == "at most 0.60 an hour is too little: the cheapest peers that could hold small and the cache of one "
                + "sequence (5.99 MB) cost 1.00 an hour, 0.40 more")
        #expect(message { $0.maximumCostPerHour = .nan } == "the cost limit is nan an hour: it must not be negative")
    }
}
