import Primitives
import Testing

@testable import Topology

/// The costs of generation against times worked out by hand and against the simulator, event by event.
struct GenerationTests {
    /// Peers of one FLOP a second; a layer takes 1 s a token and sends 10 bytes.
    private static func problem(
        peers: Int, layers: Int, latency: Double, promptTokens: Int, newTokens: Int, bytesPerSecond: Double = 1e15
    ) -> PlanningProblem {
        var graph = LinkGraph(
            nodes: (0..<peers).map { LinkGraph.Node(name: "\($0)", flopsPerSecond: 1, memoryBytes: 1e6) },
            digest: Digest.sha256([UInt8]()))
        for source in 0..<peers {
            for target in 0..<peers where target != source {
                graph.setLink(
                    from: source, to: target, latency: .measured(latency), bytesPerSecond: .measured(bytesPerSecond))
            }
        }
        let layer = GenerationProfile.Layer(
            weightBytes: 100, readBytes: 100, tokenFlops: 1, outputFlops: 0, attentionFlops: 0, cacheBytes: 1,
            boundaryBytes: 10)
        let trained = ModelProfile.Layer(
            parameters: 0, forwardFlops: 1, backwardFlops: 2, activationBytes: 10, activationGradientBytes: 10,
            storedBytes: 1)
        var model = ModelProfile(
            name: "hand", layers: Array(repeating: trained, count: layers), gradientBytesPerParameter: 4,
            stateBytesPerParameter: 16, weightBytesPerParameter: 4, tiedParameters: 0)
        model.generation = GenerationProfile(layers: Array(repeating: layer, count: layers), tiedBytes: 0)
        var problem = PlanningProblem(
            name: "hand", graph: graph, model: model,
            batch: PlanningProblem.Batch(sequences: 1, microBatchSequences: 1))
        problem.generation = GenerationWorkload(promptTokens: promptTokens, newTokens: newTokens)
        return problem
    }

    private static func chain(_ stages: Int, groups: Int = 1, chunks: Int = 1) -> GenerationLayout.Pipeline {
        GenerationLayout.Pipeline(
            stages: (0..<stages).map { GenerationLayout.Stage(peer: $0, layers: $0..<($0 + 1)) }, groups: groups,
            promptChunks: chunks)
    }

    /// Two stages 5 s apart, 4 tokens of prompt, 3 new ones: 4 + 5 + 4 + 5 to the first token, then 1 + 5 + 1 + 5 each.
    @Test func oneSequenceByHand() throws {
        let problem = Self.problem(peers: 2, layers: 2, latency: 5, promptTokens: 4, newTokens: 3)
        let latency = GenerationLatency(Self.chain(2), tables: try GenerationTables(problem))
        #expect(abs(latency.timeToFirstToken - 18) < 1e-9)
        #expect(abs(latency.timePerOutputToken - 12) < 1e-9)
        #expect(abs(latency.total - 42) < 1e-9)
        #expect(abs(latency.normalised(newTokens: 3) - 14) < 1e-9)
        // In two chunks the second stage begins two seconds earlier.
        let chunked = GenerationLatency(Self.chain(2, chunks: 2), tables: try GenerationTables(problem))
        #expect(abs(chunked.timeToFirstToken - 16) < 1e-9)
    }

    /// Without a network, two groups keep two stages busy: a token a second where one group gives half of one.
    @Test func groupsFillThePipeline() throws {
        let problem = Self.problem(peers: 2, layers: 2, latency: 0, promptTokens: 1, newTokens: 8)
        let formula = GenerationThroughput(tables: try GenerationTables(problem))
        #expect(abs(formula.steady(Self.chain(2)) - 0.5) < 1e-9)
        #expect(abs(formula.bound(Self.chain(2)) - 0.5) < 1e-9)
        #expect(abs(formula.steady(Self.chain(2, groups: 2)) - 1) < 1e-9)
        #expect(abs(formula.bound(Self.chain(2, groups: 2)) - 1) < 1e-9)
        #expect(abs(formula.steady(Self.chain(2, groups: 5)) - 1) < 1e-9)
    }

    /// A pass that reads its weights slower than it computes costs the same for one sequence and for ten.
    @Test func readingIsSharedByAGroup() throws {
        var problem = Self.problem(peers: 1, layers: 1, latency: 0, promptTokens: 10, newTokens: 2)
        problem.graph.nodes[0].flopsPerSecond = 10
        problem.graph.nodes[0].memoryBytesPerSecond = 10
        let tables = try GenerationTables(problem)
        // 100 bytes of weights and 11 of cache at 10 bytes a second.
        #expect(abs(tables.decodeSeconds(0..<1, on: 0, sequences: 1, context: 11) - 11.1) < 1e-9)
        #expect(abs(tables.decodeSeconds(0..<1, on: 0, sequences: 10, context: 11) - 21) < 1e-9)
        #expect(abs(tables.prefillSeconds(0..<1, on: 0, sequences: 1, tokens: 0..<10) - 11) < 1e-9)
    }

    /// The sum in closed form is the sum of the terms, on both sides of where reading overtakes arithmetic.
    @Test func sumsOfTokensAreExact() throws {
        for seed: UInt64 in 0..<12 {
            let problem = RandomGeneration.make(seed: seed, peers: 3)
            let tables = try GenerationTables(problem)
            for group in [1, 3, 16] {
                for peer in 0..<3 {
                    let terms = (1..<tables.newTokens).map {
                        tables.decodeSeconds(0..<3, on: peer, sequences: group, context: tables.promptTokens + $0)
                    }
                    let sum = terms.reduce(0, +)
                    let closed = tables.decodeSum(0..<3, on: peer, sequences: group)
                    #expect(abs(closed - sum) <= 1e-9 * sum, "seed \(seed): \(closed) for \(sum)")
                }
            }
        }
    }

    /// The times of one sequence are the simulator's; so is the throughput followed pass by pass; the asymptotic
    /// bound is one, and the search's estimate for long answers is within 10 % at the 90th percentile.
    @Test func formulasFollowTheSimulator() throws {
        var errors: [Double] = []
        for seed: UInt64 in 0..<24 {
            var generator = SeededGenerator(seed: seed)
            let problem = RandomGeneration.make(seed: seed, peers: 2 + generator.index(below: 6))
            let tables = try GenerationTables(problem)
            for _ in 0..<4 {
                let pipeline = RandomGeneration.pipeline(tables, generator: &generator)
                var alone = pipeline
                alone.groups = 1
                let latency = GenerationLatency(alone, tables: tables)
                let seen = GenerationSimulator.run(alone, tables: tables, startsTogether: true)
                #expect(abs(latency.timeToFirstToken - seen.timeToFirstToken) <= 1e-9 * seen.timeToFirstToken)
                #expect(abs(latency.total - seen.firstAnswer) <= 1e-9 * seen.firstAnswer, "seed \(seed)")
                let formula = GenerationThroughput(tables: tables)
                let simulated = GenerationSimulator.run(pipeline, tables: tables).tokensPerSecond
                let steady = formula.steady(pipeline)
                #expect(abs(steady - simulated) <= 1e-9 * simulated, "seed \(seed): \(steady), simulated \(simulated)")
                let bound = formula.bound(pipeline)
                #expect(bound >= simulated * (1 - 1e-9), "seed \(seed): bound \(bound), simulated \(simulated)")
                errors.append(abs(formula.estimate(pipeline) - simulated) / simulated)
            }
        }
        errors.sort()
        let median = errors[errors.count / 2]
        let tail = errors[errors.count * 9 / 10]
        #expect(median < 0.01 && tail < 0.1, "median \(median), 90th percentile \(tail)")
    }
}

/// Problems of generation drawn from a seed.
enum RandomGeneration {
    static func make(seed: UInt64, peers: Int, layers: Int = 5, memoryBytes: Double = 40e6) -> PlanningProblem {
        var generator = SeededGenerator(seed: seed &+ 1000)
        var problem = RandomProblem.make(
            seed: seed, peers: peers, layers: layers, memoryBytes: memoryBytes, sharesAccess: seed.isMultiple(of: 3))
        for peer in 0..<peers {
            problem.graph.nodes[peer].memoryBytes *= 0.4 + generator.unit()
            if !seed.isMultiple(of: 4) {
                problem.graph.nodes[peer].memoryBytesPerSecond = 2e9 * (0.5 + generator.unit())
            }
            problem.graph.nodes[peer].pricePerHour = 0.1 + generator.unit()
        }
        problem.generation = GenerationWorkload(
            promptTokens: 1 + generator.index(below: 200), newTokens: 1 + generator.index(below: 40))
        return problem
    }

    /// Any pipeline of the problem, whether it fits or not.
    static func pipeline(_ tables: GenerationTables, generator: inout SeededGenerator) -> GenerationLayout.Pipeline {
        var order = Array(0..<tables.peers)
        generator.shuffle(&order)
        let count = 1 + generator.index(below: min(tables.peers, tables.layers))
        let cuts = LayerSplit.even(layers: tables.layers, stages: count)
        let choices = tables.chunkChoices
        return GenerationLayout.Pipeline(
            stages: zip(order, cuts).map { GenerationLayout.Stage(peer: $0, layers: $1) },
            groups: 1 + generator.index(below: 10), groupSequences: 1 + generator.index(below: 8),
            promptChunks: choices[generator.index(below: choices.count)])
    }
}
