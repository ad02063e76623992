import Primitives
import Testing

@testable import Topology

/// Planning on a partly measured graph.
struct VerificationTests {
    /// Eight peers in two sites; links between the sites are slow, which nobody has measured.
    private static func problem(measured: (Int, Int) -> Bool) -> PlanningProblem {
        let count = 8
        var graph = LinkGraph(
            nodes: (0..<count).map { LinkGraph.Node(name: "n\($0)", flopsPerSecond: 1e12, memoryBytes: 1e11) },
            digest: Digest.sha256([UInt8]()))
        for source in 0..<count {
            for target in 0..<count where target != source && measured(source, target) {
                let isNear = source / 4 == target / 4
                graph.setLink(
                    from: source, to: target, latency: .measured(isNear ? 0.001 : 0.04),
                    bytesPerSecond: .measured(isNear ? 1e9 : 1e7))
            }
        }
        let shape = GPTShape(layers: 8, width: 256, heads: 4, context: 256, vocabulary: 512)
        return PlanningProblem(
            name: "two sites", graph: graph, model: .gpt(name: "tiny", shape: shape, precision: .single),
            batch: .init(sequences: 16, microBatchSequences: 1), shape: .init(stages: 4, replicas: 2))
    }

    /// Every peer has measured four others.
    private static func isMeasured(_ left: Int, _ right: Int) -> Bool { [1, 3, 4].contains(abs(left - right) % 8) }

    private static func options() -> PlannerOptions { PlannerOptions(seed: 1, budget: 400) }

    @Test func onlyPredictedLinksOfThePlanAreAskedForAndAtMostThreeTimes() throws {
        var problem = Self.problem(measured: Self.isMeasured)
        let truth = Self.problem { _, _ in true }
        var verification = PlanVerification(measured: problem.graph)
        var rounds = 0
        problem.graph = verification.graph
        var report = try Planner.plan(problem, options: Self.options())
        while let pairs = verification.next(after: report) {
            rounds += 1
            let used = Set(report.trace.links.map { PlanVerification.Pair($0.source, $0.target) })
            for pair in pairs {
                #expect(used.contains(pair), "\(pair) is not part of the plan")
                #expect(!Self.isMeasured(pair.left, pair.right), "\(pair) was measured before")
            }
            verification.take(
                pairs.flatMap { [($0.left, $0.right), ($0.right, $0.left)] }.map { from, to in
                    let position = truth.graph.position(from: from, to: to)
                    return .init(
                        from: from, to: to, latencySeconds: truth.graph.latencies[position].value,
                        bytesPerSecond: truth.graph.rates[position].value)
                })
            problem.graph = verification.graph
            report = try Planner.plan(problem, options: Self.options())
        }
        #expect(rounds <= 3)
        #expect(verification.rounds == rounds)
        for pair in verification.asked {
            let rate = verification.graph.rates[verification.graph.position(from: pair.left, to: pair.right)]
            #expect(rate.source == .measured, "\(pair) was measured and is \(rate.source)")
        }
    }

    @Test func aMeasuredGraphNeedsNoVerification() throws {
        let problem = Self.problem { _, _ in true }
        var verification = PlanVerification(measured: problem.graph)
        #expect(verification.graph == problem.graph)
        #expect(verification.next(after: try Planner.plan(problem, options: Self.options())) == nil)
    }

    @Test func nonsenseFromOutsideIsLeftOut() {
        var verification = PlanVerification(measured: Self.problem(measured: Self.isMeasured).graph)
        let before = verification.graph
        verification.take([
            .init(from: 0, to: 99, latencySeconds: 1, bytesPerSecond: 1),
            .init(from: 3, to: 3, latencySeconds: 1, bytesPerSecond: 1),
            .init(from: 0, to: 2, latencySeconds: -1, bytesPerSecond: .infinity),
        ])
        #expect(verification.graph == before)
    }
}
