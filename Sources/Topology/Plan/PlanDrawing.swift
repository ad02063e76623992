/// Draws a plan as an SVG picture: a row a pipeline, a box a stage filled by how busy its peer is, an arrow a link
/// labelled with its rate and load, the bottleneck in red.
package struct PlanDrawing {
    private let report: PlanReport
    private let problem: PlanningProblem
    private let bottleneck: PlanDiagram.Bottleneck
    private let busyOfLink: [Int: Double]

    private static let boxWidth = 168.0
    private static let boxHeight = 56.0
    private static let gap = 84.0
    private static let rowHeight = 84.0
    private static let margin = 20.0
    private static let head = 64.0

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
        let longest = report.layout.pipelines.map(\.count).max() ?? 0
        let width = 2 * Self.margin + 130 + Double(longest) * (Self.boxWidth + Self.gap)
        let height = Self.head + Double(report.layout.pipelines.count) * Self.rowHeight + 60
        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(number(width))\" height=\"\(number(height))\" "
                + "viewBox=\"0 0 \(number(width)) \(number(height))\" font-family=\"sans-serif\" font-size=\"12\">",
            "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" "
                + "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>",
            "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
            text(Self.margin, 26, "\(problem.name): one iteration \(Figures.seconds(report.trace.seconds))", size: 16),
            text(
                Self.margin, 46,
                "pipelines \(Figures.seconds(report.trace.pipelineSeconds)) + exchange "
                    + "\(Figures.seconds(report.trace.exchangeSeconds)) + optimiser "
                    + "\(Figures.seconds(report.trace.optimizerSeconds)); no plan below "
                    + "\(Figures.seconds(report.lowerBoundSeconds)); schedule \(report.layout.schedule.name)"),
        ]
        for rank in report.layout.pipelines.indices { lines += row(rank) }
        lines += foot(at: height - 34)
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    private func row(_ rank: Int) -> [String] {
        let top = Self.head + Double(rank) * Self.rowHeight
        let pipeline = report.layout.pipelines[rank]
        let end = report.trace.stages[rank].map(\.finishSeconds).max() ?? 0
        var lines = [
            text(Self.margin, top + 24, "pipeline \(rank)", size: 13),
            text(Self.margin, top + 42, "\(report.layout.microBatches[rank]) micro-batches"),
            text(Self.margin, top + 58, "done \(Figures.seconds(end))"),
        ]
        for (position, stage) in pipeline.enumerated() {
            let left = Self.margin + 130 + Double(position) * (Self.boxWidth + Self.gap)
            let figures = report.trace.stages[rank][position]
            let busy = report.trace.seconds > 0 ? figures.computeSeconds / report.trace.seconds : 0
            let isWorst = bottleneck == .compute(pipeline: rank, stage: position)
            lines.append(
                "<rect x=\"\(number(left))\" y=\"\(number(top))\" width=\"\(number(Self.boxWidth))\" "
                    + "height=\"\(number(Self.boxHeight))\" rx=\"6\" fill=\"#eef3fa\" stroke=\""
                    + "\(isWorst ? "#c22" : "#456")\" stroke-width=\"\(isWorst ? "3" : "1")\"/>")
            lines.append(
                "<rect x=\"\(number(left + 1))\" y=\"\(number(top + Self.boxHeight - 6))\" width=\""
                    + "\(number((Self.boxWidth - 2) * min(1, busy)))\" height=\"5\" fill=\"#38a\"/>")
            lines.append(text(left + 8, top + 17, problem.graph.nodes[stage.peer].name, size: 13))
            lines.append(
                text(
                    left + 8, top + 32,
                    "layers \(stage.layers.lowerBound)-\(stage.layers.upperBound - 1), busy "
                        + "\(Figures.fixed(busy * 100, digits: 0)) %"))
            lines.append(
                text(
                    left + 8, top + 46,
                    "\(Figures.seconds(figures.forwardSeconds)) + \(Figures.seconds(figures.backwardSeconds)), "
                        + Figures.bytes(figures.memoryBytes)))
            guard position + 1 < pipeline.count else { continue }
            lines += arrow(from: stage.peer, to: pipeline[position + 1].peer, left: left + Self.boxWidth, top: top)
        }
        return lines
    }

    private func arrow(from source: Int, to target: Int, left: Double, top: Double) -> [String] {
        let there = problem.graph.position(from: source, to: target)
        let back = problem.graph.position(from: target, to: source)
        let busy = max(busyOfLink[there] ?? 0, busyOfLink[back] ?? 0)
        let share = report.trace.seconds > 0 ? busy / report.trace.seconds : 0
        let isWorst =
            bottleneck == .link(source: source, target: target) || bottleneck == .link(source: target, target: source)
        let colour = isWorst ? "#c22" : "#555"
        let middle = top + Self.boxHeight / 2
        return [
            "<line x1=\"\(number(left + 4))\" y1=\"\(number(middle))\" x2=\"\(number(left + Self.gap - 4))\" "
                + "y2=\"\(number(middle))\" stroke=\"\(colour)\" stroke-width=\"\(isWorst ? "3" : "1.5")\" "
                + "marker-end=\"url(#tip)\"/>",
            text(
                left + 6, middle - 7, Figures.significant(problem.graph.rates[there].value * 8e-6) + " Mbit/s", size: 10
            ),
            text(
                left + 6, middle + 15,
                "\(Figures.seconds(problem.graph.latencies[there].value)), \(Figures.fixed(share * 100, digits: 0)) %",
                size: 10),
        ]
    }

    private func foot(at top: Double) -> [String] {
        var lines: [String] = []
        if report.layout.pipelines.count > 1 {
            let mark = bottleneck == .exchange ? " (bottleneck)" : ""
            lines.append(
                text(
                    Self.margin, top,
                    "then \(report.layout.pipelines.count) replicas exchange gradients: "
                        + Figures.seconds(report.trace.exchangeSeconds) + mark,
                    colour: bottleneck == .exchange ? "#c22" : "#222"))
        }
        if !report.plan.spares.isEmpty {
            lines.append(text(Self.margin, top + 18, "\(report.plan.spares.count) spare peers"))
        }
        return lines
    }

    private func text(
        _ left: Double, _ top: Double, _ content: String, size: Int = 11, colour: String = "#222"
    ) -> String {
        var safe = ""
        for character in content {
            switch character {
            case "&": safe += "&amp;"
            case "<": safe += "&lt;"
            case ">": safe += "&gt;"
            default: safe.append(character)
            }
        }
        return
            "<text x=\"\(number(left))\" y=\"\(number(top))\" font-size=\"\(size)\" fill=\"\(colour)\">\(safe)</text>"
    }

    private func number(_ value: Double) -> String { Figures.fixed(value, digits: 1) }
}
