import Primitives
import Testing

@testable import Topology

/// What the planner says for people: the quoted arithmetic, the questions what if, the pictures.
struct PlanExplanationTests {
    /// A hundred equal peers at 1 Gbit/s and a model of 175 billion parameters.
    private static func large() -> PlanningProblem {
        var graph = LinkGraph(
            nodes: (0..<100).map { LinkGraph.Node(name: "p\($0)", flopsPerSecond: 1.5e14, memoryBytes: 9.6e10) },
            digest: Digest.sha256([UInt8]()))
        for source in 0..<100 {
            for target in 0..<100 where target != source {
                graph.setLink(from: source, to: target, latency: .measured(0.01), bytesPerSecond: .measured(1.25e8))
            }
        }
        let model = ModelProfile.gpt(
            name: "gpt3", shape: GPTShape(layers: 96, width: 12288, heads: 96, context: 2048, vocabulary: 50257),
            precision: .mixed(activationElementBytes: 2, gradientElementBytes: 4), totalParameters: 1.75e11)
        return PlanningProblem(
            name: "gpt3", graph: graph, model: model.recomputing(),
            batch: PlanningProblem.Batch(sequences: 64, microBatchSequences: 1),
            shape: PlanningProblem.Shape(stages: 48, replicas: 2), schedule: .oneForwardOneBackward)
    }

    @Test func quotedArithmetic() throws {
        var problem = Self.large()
        problem.compression = try #require(.named("aq-sgd", activationElementBytes: 2, gradientElementBytes: 4))
        problem.localSteps = 4
        let report = try Planner.plan(problem, options: PlannerOptions(budget: 10))
        let lines = PlanArithmetic(report, problem: problem).lines
        #expect(
            lines.first
                == "the arithmetic: 700 GB of fp32 parameters take 224 s at 25 Gbit/s and 5,600 s at 1 Gbit/s; 100 peers "
                + "that each move all of them move 70.0 TB a step")
        let text = lines.joined(separator: "\n")
        for word in ["pipelining", "sharding", "compression aq-sgd", "overlap", "4 local steps"] {
            #expect(text.contains(word), "\(word) is not in\n\(text)")
        }
    }

    @Test func whatIfAnswersEveryQuestion() throws {
        let problem = RandomProblem.make(seed: 6, peers: 6, layers: 4, microBatches: 8)
        let report = try Planner.plan(problem, options: PlannerOptions(budget: 400))
        let text = PlanWhatIf(report, problem: problem).lines.joined(separator: "\n")
        for words in ["busiest link", "all links were twice as fast", "compression aq-sgd", "one peer more", "without"]
        {
            #expect(text.contains(words), "\(words) is not in\n\(text)")
        }
        #expect(!text.contains("twice as fast: never"))
    }

    /// One element a stage, well-formed tags, names escaped.
    @Test func drawing() throws {
        var problem = RandomProblem.make(seed: 6, peers: 6, layers: 4, microBatches: 8)
        problem.graph.nodes[0].name = "<a & b>"
        let report = try Planner.plan(problem, options: PlannerOptions(budget: 400))
        let svg = PlanDrawing(report, problem: problem).svg
        #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n"))
        #expect(!svg.contains("<a &"))
        let boxes = svg.split(separator: "\n").filter { $0.contains("rx=\"6\"") }.count
        #expect(boxes == report.layout.peers.count)
        #expect(svg.contains("#c22"), "the bottleneck must be marked")
    }

    /// The best template is a plan of the problem, and ours is not worse.
    @Test func oursIsNotWorseThanTemplates() throws {
        for seed: UInt64 in 0..<4 {
            let problem = RandomProblem.make(seed: seed, peers: 8, layers: 5, microBatches: 8)
            let template = try #require(Baselines.bestTemplate(problem))
            let report = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 2_000))
            #expect(report.trace.seconds <= template.trace.seconds * (1 + 1e-9), "seed \(seed): \(template.name)")
            let peers = template.layout.pipelines.map { $0.map(\.peer) }
            let again = try #require(Baselines.best(ofPipelines: peers, problem: problem))
            #expect(again.trace.seconds <= template.trace.seconds * (1 + 1e-9))
        }
    }
}
