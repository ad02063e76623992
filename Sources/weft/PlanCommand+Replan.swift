import Primitives
import Runtime
import Topology

/// What one peer's leaving does to a plan. Iterations are those without relays, which are fitted to a plan in the end.
struct LeaverView: Encodable {
    var leaver: String
    var elapsedSeconds: Double
    var iterationSecondsBefore: Double
    var iterationSeconds: Double
    /// Planned anew from nothing with the usual budget.
    var anewIterationSeconds: Double
    var movedPeers: Int
    var movedBytes: Double
    var moveSeconds: Double
    /// Spares that stood by before the peer left.
    var spares: Int

    var lines: [String] {
        [
            "\(leaver) leaves: planned again in \(Figures.seconds(elapsedSeconds)); \(movedPeers) peers fetch "
                + "\(Figures.bytes(movedBytes)) in \(Figures.seconds(moveSeconds)); \(spares) spares stood by",
            "an iteration took \(Figures.seconds(iterationSecondsBefore)) and takes \(Figures.seconds(iterationSeconds)); "
                + "planning anew gives \(Figures.seconds(anewIterationSeconds))",
        ]
    }
}

extension PlanCommand {
    /// Lets a peer leave and plans again, once from the plan in force and once from nothing.
    func replan(_ report: PlanReport, _ problem: PlanningProblem, without name: String) throws -> LeaverView {
        let nodes = problem.graph.nodes
        guard let gone = nodes.firstIndex(where: { $0.name == name }) else {
            throw CommandFailure("\(problem.name) has no peer named \"\(name)\"")
        }
        var next = problem
        next.graph = problem.graph.permuted(nodes.indices.filter { $0 != gone })
        let limit = Duration.seconds(timeLimit ?? Self.usualLimit)
        let (outcome, elapsed) = try PlanRun.replan(report.plan, problem: next, seed: seed, timeLimit: limit)
        let (anew, _) = try PlanRun.plan(
            next, options: PlannerOptions(seed: seed, patience: Self.patience),
            timeLimit: limit, threads: threads)
        return LeaverView(
            leaver: name, elapsedSeconds: elapsed,
            iterationSecondsBefore: report.plan.predictedIterationSeconds,
            iterationSeconds: outcome.report.plan.predictedIterationSeconds,
            anewIterationSeconds: anew.plan.predictedIterationSeconds, movedPeers: outcome.movedPeers.count,
            movedBytes: outcome.movedBytes, moveSeconds: outcome.moveSeconds, spares: report.plan.spares.count)
    }
}
