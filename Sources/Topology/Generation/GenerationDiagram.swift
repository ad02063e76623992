/// Draws a plan for generation in characters: pipelines, their stages with times and memory, the links between them, and
/// what is busiest.
package struct GenerationDiagram {
    private let report: GenerationReport
    private let problem: PlanningProblem

    package init(_ report: GenerationReport, problem: PlanningProblem) {
        self.report = report
        self.problem = problem
    }

    /// The drawing, one element a line.
    package var lines: [String] {
        var lines = [headline]
        let names = report.layout.peers.map { problem.graph.nodes[$0].name.count }
        let width = min(28, names.max() ?? 8)
        for (rank, pipeline) in report.layout.pipelines.enumerated() {
            lines.append(heading(rank, pipeline))
            for position in pipeline.stages.indices {
                lines.append(line(rank, position, nameWidth: width))
                if position + 1 < pipeline.stages.count { lines.append(hop(rank, position)) }
            }
        }
        if let spareLine { lines.append(spareLine) }
        if let line = CostLine(report.layout.peers, problem: problem).text { lines.append(line) }
        return lines
    }

    /// Who is in no pipeline, or `nil` if everybody is in one.
    var spareLine: String? {
        let used = Set(report.layout.peers)
        let spares = problem.graph.nodes.indices.filter { !used.contains($0) }.map { problem.graph.nodes[$0].name }
        guard !spares.isEmpty else { return nil }
        return "spare: " + spares.prefix(12).joined(separator: ", ")
            + (spares.count > 12 ? " and \(spares.count - 12) more" : "")
    }

    /// The goal's figure, and how far it is from the best possible.
    var headline: String {
        let gap = Figures.fixed(report.gap * 100, digits: 1)
        switch report.goal {
        case .throughput:
            let bound = 1 / report.lowerBoundSeconds
            return "\(Figures.significant(report.tokensPerSecond)) tokens/s over \(report.layout.pipelines.count) "
                + "pipeline\(report.layout.pipelines.count == 1 ? "" : "s")   (no plan above "
                + "\(Figures.significant(bound)) tokens/s, \(report.isOptimal ? "proven optimal" : "gap \(gap) %"))"
        default:
            let first = report.pipelines.first
            let bound = "lower bound \(Figures.seconds(report.lowerBoundSeconds)), gap \(gap) %"
            return "normalised latency \(Figures.seconds(report.objectiveSeconds)) a token: first token after "
                + "\(Figures.seconds(first?.timeToFirstToken ?? 0)), then \(Figures.seconds(first?.timePerOutputToken ?? 0)) "
                + "each; an answer takes \(Figures.seconds(first?.answerSeconds ?? 0))   "
                + "(\(report.isOptimal ? "proven optimal" : bound))"
        }
    }

    private func heading(_ rank: Int, _ pipeline: GenerationLayout.Pipeline) -> String {
        let figures = report.pipelines[rank]
        let chunks = pipeline.promptChunks
        let prompts = chunks == 1 ? "prompts whole" : "prompts in \(chunks) chunks"
        guard report.goal == .throughput else { return "pipeline \(rank): one sequence, \(prompts)" }
        return "pipeline \(rank): \(pipeline.groups) groups of \(pipeline.groupSequences) sequences, \(prompts), "
            + "\(Figures.significant(figures.tokensPerSecond)) tokens/s; a lone sequence would take "
            + "\(Figures.seconds(figures.timePerOutputToken)) a token"
    }

    private func line(_ rank: Int, _ position: Int, nameWidth: Int) -> String {
        let stage = report.layout.pipelines[rank].stages[position]
        let figures = report.pipelines[rank].stages[position]
        let worst = report.busiest(rank)
        let isWorst = report.goal == .throughput && worst.position == position && !worst.isLink
        let busy =
            report.goal == .throughput ? " busy \(Figures.fixed(figures.busyShare * 100, digits: 0)) %" : ""
        return "  [\(Self.padded(problem.graph.nodes[stage.peer].name, nameWidth))]  layers "
            + Self.padded("\(stage.layers.lowerBound)-\(stage.layers.upperBound - 1)", 7)
            + " prompt \(Self.padded(Figures.seconds(figures.prefillSeconds), 8))"
            + " token \(Self.padded(Figures.seconds(figures.decodeSeconds), 8))\(busy)"
            + "  memory \(Figures.bytes(figures.memoryBytes)) of "
            + "\(Figures.bytes(problem.graph.nodes[stage.peer].memoryBytes))\(isWorst ? "   <== bottleneck" : "")"
    }

    private func hop(_ rank: Int, _ position: Int) -> String {
        let pipeline = report.layout.pipelines[rank]
        let link = problem.graph.position(
            from: pipeline.stages[position].peer, to: pipeline.stages[position + 1].peer)
        let rate = problem.graph.rates[link]
        let latency = problem.graph.latencies[link]
        let worst = report.busiest(rank)
        let isWorst = report.goal == .throughput && worst.position == position && worst.isLink
        let share = report.pipelines[rank].stages[position].linkShare
        let busy = report.goal == .throughput ? ", busy \(Figures.fixed(share * 100, digits: 0)) %" : ""
        let predicted = rate.source == .predicted || latency.source == .predicted ? " (predicted)" : ""
        return "     |  \(Figures.significant(rate.value * 8e-6)) Mbit/s + \(Figures.seconds(latency.value)) latency"
            + "\(busy)\(predicted)\(isWorst ? "   <== bottleneck" : "")"
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text.count >= width ? text : text + String(repeating: " ", count: width - text.count)
    }
}

/// What a plan's peers cost, if any peer has a price.
package struct CostLine {
    /// One line, or `nil`.
    package let text: String?

    package init(_ peers: [Int], problem: PlanningProblem) {
        guard problem.graph.nodes.contains(where: { $0.pricePerHour != nil }) else {
            text = nil
            return
        }
        let budget = CostBudget(problem)
        let all = Figures.price(budget.cost(of: problem.graph.nodes.indices))
        let limit = budget.limit.map { ", at most \(Figures.price($0))" } ?? ""
        text =
            "cost: \(Figures.price(budget.cost(of: peers))) an hour\(limit) (all \(problem.graph.count) peers: "
            + "\(all))"
    }
}
