/// Draws a plan for generation as an SVG picture: a row a pipeline, a box a stage filled by how busy its peer is, an arrow a
/// link, each pipeline's busiest stage or link in red.
package struct GenerationDrawing {
    private let report: GenerationReport
    private let problem: PlanningProblem

    package init(_ report: GenerationReport, problem: PlanningProblem) {
        self.report = report
        self.problem = problem
    }

    /// A whole SVG document.
    package var svg: String {
        let diagram = GenerationDiagram(report, problem: problem)
        var canvas = PlanCanvas(
            title: "\(problem.name): generation, "
                + (isThroughput
                    ? "\(Figures.significant(report.tokensPerSecond)) tokens/s"
                    : "\(Figures.seconds(report.objectiveSeconds)) a token"),
            subtitle: diagram.headline)
        for (rank, pipeline) in report.layout.pipelines.enumerated() {
            canvas.addRow(
                heading: heading(rank, pipeline), boxes: pipeline.stages.indices.map { box(rank, $0) },
                arrows: pipeline.stages.indices.dropLast().map { arrow(rank, $0) })
        }
        if let line = diagram.spareLine { canvas.addFoot(line) }
        if let line = CostLine(report.layout.peers, problem: problem).text { canvas.addFoot(line) }
        return canvas.svg
    }

    private var isThroughput: Bool { report.goal == .throughput }

    private func heading(_ rank: Int, _ pipeline: GenerationLayout.Pipeline) -> [String] {
        let figures = report.pipelines[rank]
        guard isThroughput else {
            return ["pipeline \(rank)", "first \(Figures.seconds(figures.timeToFirstToken))", "one sequence"]
        }
        return [
            "pipeline \(rank)", "\(Figures.significant(figures.tokensPerSecond)) tokens/s",
            "\(pipeline.groups) × \(pipeline.groupSequences) sequences",
        ]
    }

    private func box(_ rank: Int, _ position: Int) -> PlanCanvas.Box {
        let stage = report.layout.pipelines[rank].stages[position]
        let figures = report.pipelines[rank].stages[position]
        let worst = report.busiest(rank)
        let busy = isThroughput ? ", busy \(Figures.fixed(figures.busyShare * 100, digits: 0)) %" : ""
        return PlanCanvas.Box(
            title: problem.graph.nodes[stage.peer].name,
            lines: [
                "layers \(stage.layers.lowerBound)-\(stage.layers.upperBound - 1)\(busy)",
                "\(Figures.seconds(figures.prefillSeconds)), \(Figures.seconds(figures.decodeSeconds)), "
                    + Figures.bytes(figures.memoryBytes),
            ],
            busy: isThroughput ? figures.busyShare : nil,
            isBottleneck: isThroughput && worst.position == position && !worst.isLink)
    }

    private func arrow(_ rank: Int, _ position: Int) -> PlanCanvas.Arrow {
        let pipeline = report.layout.pipelines[rank]
        let link = problem.graph.position(
            from: pipeline.stages[position].peer, to: pipeline.stages[position + 1].peer)
        let worst = report.busiest(rank)
        let share = Figures.fixed(report.pipelines[rank].stages[position].linkShare * 100, digits: 0)
        return PlanCanvas.Arrow(
            above: Figures.significant(problem.graph.rates[link].value * 8e-6) + " Mbit/s",
            below: Figures.seconds(problem.graph.latencies[link].value) + (isThroughput ? ", \(share) %" : ""),
            isBottleneck: isThroughput && worst.position == position && worst.isLink)
    }
}
