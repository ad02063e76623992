/// Draws a plan in characters: pipelines, their stages with times, the links between them, and what holds it up.
package struct PlanDiagram {
    private let report: PlanReport
    private let problem: PlanningProblem
    private let bottleneck: Bottleneck
    private let tables: CostTables
    private let busySeconds: [Int: Double]

    /// What is busy for the largest part of an iteration.
    package enum Bottleneck: Hashable, Sendable {
        case compute(pipeline: Int, stage: Int)
        case link(source: Int, target: Int)
        case exchange
    }

    package init(_ report: PlanReport, problem: PlanningProblem) {
        self.report = report
        self.problem = problem
        bottleneck = Self.bottleneck(of: report.trace)
        tables = CostTables(problem).leavingPlain(report.layout.plainLinks)
        var busy: [Int: Double] = [:]
        for link in report.trace.links {
            busy[problem.graph.position(from: link.source, to: link.target)] = link.busySeconds
        }
        busySeconds = busy
    }

    /// The stage or pair that works longest, or the gradient exchange if it takes longer than all pipelines.
    package static func bottleneck(of trace: IterationTrace) -> Bottleneck {
        if trace.exchangeSeconds > trace.pipelineSeconds { return .exchange }
        var best = Bottleneck.exchange
        var longest = -1.0
        for (rank, stages) in trace.stages.enumerated() {
            for (position, stage) in stages.enumerated() where stage.computeSeconds > longest {
                longest = stage.computeSeconds
                best = .compute(pipeline: rank, stage: position)
            }
        }
        for link in trace.links where link.busySeconds > longest {
            longest = link.busySeconds
            best = .link(source: link.source, target: link.target)
        }
        return best
    }

    /// The drawing, one element a line.
    package var lines: [String] {
        var lines = [headline]
        let names = report.layout.peers.map { problem.graph.nodes[$0].name.count }
        let width = min(28, names.max() ?? 8)
        for (rank, pipeline) in report.layout.pipelines.enumerated() {
            let end = report.trace.stages[rank].map(\.finishSeconds).max() ?? 0
            lines.append(
                "pipeline \(rank): \(report.layout.microBatches[rank]) micro-batches, done after "
                    + Figures.seconds(end))
            for (position, stage) in pipeline.enumerated() {
                lines.append(line(of: stage, rank: rank, position: position, nameWidth: width))
                if position + 1 < pipeline.count {
                    lines.append(hop(from: stage, to: pipeline[position + 1]))
                }
            }
        }
        if report.layout.pipelines.count > 1 {
            let manner =
                switch report.layout.exchange {
                case .spread where tables.spreadsExchange: ", all peers adding up slices"
                case .tailored where tables.spreadsExchange, .timed where tables.spreadsExchange:
                    ", all peers adding up slices, of each layer its own"
                case .relayed where tables.spreadsExchange:
                    ", all peers adding up slices, of each layer its own, gathered by relays where that is faster"
                case .clustered where !tables.exchangeClusters.isEmpty: ", near peers first where that is faster"
                default: ""
                }
            let mark = bottleneck == .exchange ? "   <== bottleneck" : ""
            lines.append(
                "gradient exchange between \(report.layout.pipelines.count) replicas\(manner): + "
                    + Figures.seconds(report.trace.exchangeSeconds) + mark)
        }
        if !report.plan.spares.isEmpty {
            let used = Set(report.layout.peers)
            let spares = problem.graph.nodes.indices.filter { !used.contains($0) }.map { problem.graph.nodes[$0].name }
            let shown = spares.prefix(12).joined(separator: ", ")
            lines.append("spare: " + shown + (spares.count > 12 ? " and \(spares.count - 12) more" : ""))
        }
        if let line = CostLine(report.layout.peers, problem: problem).text { lines.append(line) }
        return lines
    }

    private var headline: String {
        let parts = report.parts.map { "\($0.name) \(Figures.seconds($0.seconds))" }.joined(separator: " + ")
        let gap =
            report.isOptimal
            ? "proven optimal"
            : "lower bound \(Figures.seconds(report.lowerBoundSeconds)), gap \(Figures.fixed(report.gap * 100, digits: 1)) %"
        let name = report.objective == .iteration ? "iteration" : "DT-FM objective"
        return "\(name) \(Figures.seconds(report.objectiveSeconds)) = \(parts)   (\(gap); schedule "
            + "\(report.layout.schedule.name))"
    }

    private func line(of stage: Layout.Stage, rank: Int, position: Int, nameWidth: Int) -> String {
        let figures = report.trace.stages[rank][position]
        let busy = report.trace.seconds > 0 ? figures.computeSeconds / report.trace.seconds : 0
        let mark = bottleneck == .compute(pipeline: rank, stage: position) ? "   <== bottleneck" : ""
        return "  [\(Self.padded(problem.graph.nodes[stage.peer].name, nameWidth))]  layers "
            + Self.padded("\(stage.layers.lowerBound)-\(stage.layers.upperBound - 1)", 7)
            + " forward \(Self.padded(Figures.seconds(figures.forwardSeconds), 8))"
            + " backward \(Self.padded(Figures.seconds(figures.backwardSeconds), 8))"
            + " busy \(Self.leftPadded(Figures.fixed(busy * 100, digits: 0), 3)) %"
            + "  memory \(Figures.bytes(figures.memoryBytes))\(mark)"
    }

    private func hop(from stage: Layout.Stage, to next: Layout.Stage) -> String {
        let position = problem.graph.position(from: stage.peer, to: next.peer)
        let latency = problem.graph.latencies[position]
        let rate = problem.graph.rates[position]
        let bytes = tables.forwardBytes(stage.layers.upperBound, link: position)
        let busy = busySeconds[position] ?? 0
        let share = report.trace.seconds > 0 ? busy / report.trace.seconds : 0
        let isBottleneck =
            bottleneck == .link(source: stage.peer, target: next.peer)
            || bottleneck == .link(source: next.peer, target: stage.peer)
        let predicted = rate.source == .predicted || latency.source == .predicted ? " (predicted)" : ""
        return "     |  \(Figures.bytes(bytes)) in \(Figures.seconds(bytes / rate.value)) at "
            + "\(Figures.significant(rate.value * 8e-6)) Mbit/s + \(Figures.seconds(latency.value)) latency, busy "
            + "\(Figures.fixed(share * 100, digits: 0)) %\(predicted)\(isBottleneck ? "   <== bottleneck" : "")"
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text.count >= width ? text : text + String(repeating: " ", count: width - text.count)
    }

    private static func leftPadded(_ text: String, _ width: Int) -> String {
        text.count >= width ? text : String(repeating: " ", count: width - text.count) + text
    }
}
