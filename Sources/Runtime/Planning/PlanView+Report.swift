import Primitives
package import Topology

extension PlanView {
    /// A planner's report as the local API and `weft plan --json` show it.
    ///
    /// - Parameter namesOnly: whether peers are identified by name, as in a problem file, rather than by identity.
    package init(_ report: PlanReport, problem: PlanningProblem, elapsedSeconds: Double, namesOnly: Bool) {
        let nodes = problem.graph.nodes
        func identity(_ index: Int) -> String { namesOnly ? nodes[index].name : nodes[index].peer.description }
        let used = Set(report.layout.peers)
        var parts: [String: Double] = [:]
        for part in report.parts { parts[part.name] = part.seconds }
        self.init(
            objective: Objective(name: report.objective.rawValue, seconds: report.objectiveSeconds, parts: parts),
            lowerBoundSeconds: report.lowerBoundSeconds, seed: report.seed, elapsedSeconds: elapsedSeconds,
            graphDigest: problem.graph.digest.description,
            pipelines: report.layout.pipelines.enumerated().map { rank, pipeline in
                pipeline.enumerated().map { position, stage in
                    Assignment(
                        peer: identity(stage.peer), name: nodes[stage.peer].name, stage: position,
                        firstLayer: stage.layers.lowerBound, layerCount: stage.layers.count,
                        microBatches: report.layout.microBatches[rank])
                }
            }, spares: nodes.indices.filter { !used.contains($0) }.map(identity))
        name = problem.name
        schedule = report.layout.schedule.name
        iterationSeconds = report.trace.seconds
        isOptimal = report.isOptimal
        costPerHour = Self.cost(of: report.layout.peers, problem)
    }

    /// A plan for generation; peers are identified by name, as in a problem file.
    package init(_ report: GenerationReport, problem: PlanningProblem, elapsedSeconds: Double) {
        let nodes = problem.graph.nodes
        let used = Set(report.layout.peers)
        var parts: [String: Double] = [:]
        if report.goal == .latency, let first = report.pipelines.first {
            let tokens = Double(problem.generation.newTokens)
            parts["firstToken"] = first.timeToFirstToken / tokens
            parts["otherTokens"] = first.timePerOutputToken * (tokens - 1) / tokens
        }
        self.init(
            objective: Objective(name: report.goal.rawValue, seconds: report.objectiveSeconds, parts: parts),
            lowerBoundSeconds: report.lowerBoundSeconds, seed: report.seed, elapsedSeconds: elapsedSeconds,
            graphDigest: problem.graph.digest.description,
            pipelines: report.layout.pipelines.map { pipeline in
                pipeline.stages.enumerated().map { position, stage in
                    Assignment(
                        peer: nodes[stage.peer].name, name: nodes[stage.peer].name, stage: position,
                        firstLayer: stage.layers.lowerBound, layerCount: stage.layers.count,
                        microBatches: pipeline.groups)
                }
            }, spares: nodes.indices.filter { !used.contains($0) }.map { nodes[$0].name })
        name = problem.name
        isOptimal = report.isOptimal
        costPerHour = Self.cost(of: report.layout.peers, problem)
        generation = Generation(
            promptTokens: problem.generation.promptTokens, newTokens: problem.generation.newTokens,
            tokensPerSecond: report.tokensPerSecond,
            pipelines: zip(report.layout.pipelines, report.pipelines).map { pipeline, figures in
                Generation.Pipeline(
                    groups: pipeline.groups, groupSequences: pipeline.groupSequences,
                    promptChunks: pipeline.promptChunks, tokensPerSecond: figures.tokensPerSecond,
                    timeToFirstTokenSeconds: figures.timeToFirstToken,
                    timePerOutputTokenSeconds: figures.timePerOutputToken)
            })
    }

    private static func cost(of peers: [Int], _ problem: PlanningProblem) -> Double? {
        guard problem.graph.nodes.contains(where: { $0.pricePerHour != nil }) else { return nil }
        return CostBudget(problem).cost(of: peers)
    }
}
