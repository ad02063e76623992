/// Draws a plan as an SVG picture: a row a pipeline, a box a stage filled by how busy its peer is, an arrow a link
/// labelled with its rate and load, the bottleneck in red.
package struct PlanDrawing {
    private let report: PlanReport
    private let problem: PlanningProblem
    private let bottleneck: PlanDiagram.Bottleneck
    private let busyOfLink: [Int: Double]

    package init(_ report: PlanReport, problem: PlanningProblem) {
        self.report = report
        self.problem = problem
        bottleneck = PlanDiagram.bottleneck(of: report.trace)
        var busy: [Int: Double] = [:]
        for link in report.trace.links {
            busy[problem.graph.position(from: link.source, to: link.target)] = link.busySeconds
        }
        busyOfLink = busy
    }

    /// A whole SVG document.
    package var svg: String {
        var canvas = PlanCanvas(
            title: "\(problem.name): one iteration \(Figures.seconds(report.trace.seconds))",
            subtitle: "pipelines \(Figures.seconds(report.trace.pipelineSeconds)) + exchange "
                + "\(Figures.seconds(report.trace.exchangeSeconds)) + optimiser "
                + "\(Figures.seconds(report.trace.optimizerSeconds)); no plan below "
                + "\(Figures.seconds(report.lowerBoundSeconds)); schedule \(report.layout.schedule.name)")
        for (rank, pipeline) in report.layout.pipelines.enumerated() {
            let end = report.trace.stages[rank].map(\.finishSeconds).max() ?? 0
            canvas.addRow(
                heading: [
                    "pipeline \(rank)", "\(report.layout.microBatches[rank]) micro-batches",
                    "done \(Figures.seconds(end))",
                ],
                boxes: pipeline.indices.map { box(rank, $0) },
                arrows: zip(pipeline, pipeline.dropFirst()).map { arrow(from: $0.peer, to: $1.peer) })
        }
        if report.layout.pipelines.count > 1 {
            let isWorst = bottleneck == .exchange
            canvas.addFoot(
                "then \(report.layout.pipelines.count) replicas exchange gradients: "
                    + Figures.seconds(report.trace.exchangeSeconds) + (isWorst ? " (bottleneck)" : ""),
                isBottleneck: isWorst)
        }
        if !report.plan.spares.isEmpty { canvas.addFoot("\(report.plan.spares.count) spare peers") }
        return canvas.svg
    }

    private func box(_ rank: Int, _ position: Int) -> PlanCanvas.Box {
        let stage = report.layout.pipelines[rank][position]
        let figures = report.trace.stages[rank][position]
        let busy = report.trace.seconds > 0 ? figures.computeSeconds / report.trace.seconds : 0
        return PlanCanvas.Box(
            title: problem.graph.nodes[stage.peer].name,
            lines: [
                "layers \(stage.layers.lowerBound)-\(stage.layers.upperBound - 1), busy "
                    + "\(Figures.fixed(busy * 100, digits: 0)) %",
                "\(Figures.seconds(figures.forwardSeconds)) + \(Figures.seconds(figures.backwardSeconds)), "
                    + Figures.bytes(figures.memoryBytes),
            ],
            busy: busy, isBottleneck: bottleneck == .compute(pipeline: rank, stage: position))
    }

    private func arrow(from source: Int, to target: Int) -> PlanCanvas.Arrow {
        let there = problem.graph.position(from: source, to: target)
        let back = problem.graph.position(from: target, to: source)
        let busy = max(busyOfLink[there] ?? 0, busyOfLink[back] ?? 0)
        let share = report.trace.seconds > 0 ? busy / report.trace.seconds : 0
        return PlanCanvas.Arrow(
            above: Figures.significant(problem.graph.rates[there].value * 8e-6) + " Mbit/s",
            below: "\(Figures.seconds(problem.graph.latencies[there].value)), "
                + "\(Figures.fixed(share * 100, digits: 0)) %",
            isBottleneck: bottleneck == .link(source: source, target: target)
                || bottleneck == .link(source: target, target: source))
    }
}
