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
    }
}
