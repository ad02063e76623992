/// Says in lines for people where an iteration's time goes.
package struct PlanExplanation {
    private let report: PlanReport
    private let problem: PlanningProblem
    private let tables: CostTables

    package init(_ report: PlanReport, problem: PlanningProblem) {
        self.report = report
        self.problem = problem
        tables = CostTables(problem)
    }

    /// The explanation.
    package var lines: [String] {
        totals + stages + links + bounds + PlanWhatIf(report, problem: problem).lines
            + PlanArithmetic(report, problem: problem).lines
    }

    private var trace: IterationTrace { report.trace }

    private func share(_ seconds: Double) -> String {
        Figures.fixed(trace.seconds > 0 ? seconds / trace.seconds * 100 : 0, digits: 1) + " %"
    }

    private var totals: [String] {
        let model = problem.model
        return [
            "model \(model.name): \(Figures.significant(model.parameters / 1e6)) M parameters, "
                + "\(model.layers.count) layers, \(Figures.significant(model.flopsPerSequence / 1e12)) TFLOP a sequence; "
                + "\(problem.batch.sequences) sequences in \(problem.batch.microBatches) micro-batches",
            "an iteration of \(Figures.seconds(trace.seconds)): pipelines \(Figures.seconds(trace.pipelineSeconds)) "
                + "(\(share(trace.pipelineSeconds))), then gradient exchange \(Figures.seconds(trace.exchangeSeconds)) "
                + "(\(share(trace.exchangeSeconds))), then optimiser \(Figures.seconds(trace.optimizerSeconds)) "
                + "(\(share(trace.optimizerSeconds)))",
        ]
    }

    private var stages: [String] {
        var lines: [String] = []
        for (rank, pipeline) in report.layout.pipelines.enumerated() {
            for (position, stage) in pipeline.enumerated() {
                let figures = trace.stages[rank][position]
                let node = problem.graph.nodes[stage.peer]
                lines.append(
                    "pipeline \(rank) stage \(position) on \(node.name): computes "
                        + "\(Figures.seconds(figures.computeSeconds)) (\(share(figures.computeSeconds))), waits "
                        + "\(Figures.seconds(figures.finishSeconds - figures.computeSeconds)) before its last backward "
                        + "at \(Figures.seconds(figures.finishSeconds)), exchanges gradients from "
                        + "\(Figures.seconds(figures.exchangeBeginSeconds)), complete at "
                        + "\(Figures.seconds(figures.exchangedSeconds)); holds \(Figures.bytes(figures.memoryBytes)) of "
                        + "\(Figures.bytes(node.memoryBytes)), at most \(stage.depth) micro-batches"
                        + Self.ending(stage.ending))
            }
        }
        return lines
    }

    /// What a stage does first near the end of an iteration, if that is not what its schedule says.
    private static func ending(_ ending: Layout.Ending) -> String {
        (ending.isPrompt ? "; gradients of weights before forward passes" : "")
            + (ending.forwardsFirst > 0
                ? "; forward passes first when \(ending.forwardsFirst) backward passes are left" : "")
    }

    /// The ten busiest pairs.
    private var links: [String] {
        trace.links.sorted { ($0.busySeconds, $1.source, $1.target) > ($1.busySeconds, $0.source, $0.target) }
            .prefix(10).map { link in
                "link \(problem.graph.nodes[link.source].name) -> \(problem.graph.nodes[link.target].name): "
                    + "\(Figures.bytes(link.bytes)), busy \(Figures.seconds(link.busySeconds)) "
                    + "(\(share(link.busySeconds)))"
            }
    }

    private var bounds: [String] {
        let speed = problem.graph.nodes.reduce(0) { $0 + $1.flopsPerSecond }
        let ideal = problem.model.flopsPerSequence * Double(problem.batch.sequences) / speed
        return [
            "all \(problem.graph.count) peers computing without any wait would need \(Figures.seconds(ideal)): this plan "
                + "uses \(share(ideal)) of their speed",
            "no plan can be faster than \(Figures.seconds(report.lowerBoundSeconds)) under this objective",
        ]
    }
}
