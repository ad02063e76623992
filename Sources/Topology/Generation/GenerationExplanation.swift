/// Says in lines for people where the time of generation goes, and what would change it.
package struct GenerationExplanation {
    private let report: GenerationReport
    private let problem: PlanningProblem

    /// Pipelines that are explained one by one.
    private static let shown = 8

    package init(_ report: GenerationReport, problem: PlanningProblem) {
        self.report = report
        self.problem = problem
    }

    /// The explanation.
    package var lines: [String] {
        guard let tables = try? GenerationTables(problem) else { return [] }
        var lines = [model(tables)]
        for rank in report.layout.pipelines.indices.prefix(Self.shown) { lines += pipeline(rank, tables) }
        return lines + bounds(tables) + whatIf
    }

    private func model(_ tables: GenerationTables) -> String {
        let whole = 0..<tables.layers
        let weights = tables.weightBytes(whole)
        let cache = tables.stageBytes(whole, sequences: 1) - weights
        return "model \(problem.model.name): \(Figures.bytes(weights)) of weights, \(Figures.bytes(cache)) of keys and "
            + "values a sequence of \(tables.promptTokens) + \(tables.newTokens) tokens"
    }

    /// An answer's time as a sum over what a lone sequence waits for.
    private func pipeline(_ rank: Int, _ tables: GenerationTables) -> [String] {
        let pipeline = report.layout.pipelines[rank]
        let figures = report.pipelines[rank]
        let tokens = Double(tables.newTokens)
        var compute = 0.0
        var latency = 0.0
        var transfer = 0.0
        for (position, stage) in pipeline.stages.enumerated() {
            compute += tables.decodeSum(stage.layers, on: stage.peer, sequences: 1)
            guard position + 1 < pipeline.stages.count else { break }
            let next = pipeline.stages[position + 1].peer
            latency += tables.latency[stage.peer * tables.peers + next] * (tokens - 1)
            transfer += tables.transferSeconds(
                from: stage.peer, to: next, boundary: stage.layers.upperBound, tokens: tables.newTokens - 1)
        }
        let back =
            figures.answerSeconds - figures.timeToFirstToken - compute - latency - transfer
        func share(_ seconds: Double) -> String {
            "\(Figures.seconds(seconds)) ("
                + Figures.fixed(figures.answerSeconds > 0 ? seconds / figures.answerSeconds * 100 : 0, digits: 1)
                + " %)"
        }
        var lines = [
            "pipeline \(rank), a lone sequence's answer of \(Figures.seconds(figures.answerSeconds)): prompt "
                + "\(share(figures.timeToFirstToken)), then for the other tokens compute \(share(compute)), latency "
                + "\(share(latency)), transfers \(share(transfer)), way back \(share(max(0, back)))"
        ]
        for (position, stage) in pipeline.stages.enumerated() {
            let node = problem.graph.nodes[stage.peer]
            let reads = node.memoryBytesPerSecond.map {
                "reads \(Figures.bytes(tables.readPrefix[stage.layers.upperBound] - tables.readPrefix[stage.layers.lowerBound])) "
                    + "of weights a pass at \(Figures.bytes($0))/s"
            }
            lines.append(
                "pipeline \(rank) stage \(position) on \(node.name): \(reads ?? "memory rate unknown, reading is free"); "
                    + "room for \(room(stage, tables)) sequences beside its weights")
        }
        return lines
    }

    private func room(_ stage: GenerationLayout.Stage, _ tables: GenerationTables) -> Int {
        let weights = tables.weightBytes(stage.layers)
        let cache = tables.stageBytes(stage.layers, sequences: 1) - weights
        guard cache > 0 else { return Int.max }
        return Int(min(1e15, max(0, (tables.memoryBytes[stage.peer] - weights) / cache)))
    }

    private func bounds(_ tables: GenerationTables) -> [String] {
        if report.isOptimal { return ["proven: no plan of this problem has a lower normalised latency"] }
        guard report.goal == .throughput else {
            return ["no plan has a normalised latency below \(Figures.seconds(report.lowerBoundSeconds)) a token"]
        }
        return [
            "no plan generates more than \(Figures.significant(1 / report.lowerBoundSeconds)) tokens/s: the arithmetic "
                + "and the reading of all peers, and the sequences that their memory holds"
        ]
    }

    /// The same plan on other networks and peers.
    private var whatIf: [String] {
        func value(_ change: (inout PlanningProblem) -> Void) -> String {
            var next = problem
            change(&next)
            guard let tables = try? GenerationTables(next) else { return "never" }
            let seconds: Double
            if report.goal == .latency, let pipeline = report.layout.pipelines.first {
                seconds = GenerationLatency(pipeline, tables: tables).normalised(newTokens: tables.newTokens)
            } else {
                let formula = GenerationThroughput(tables: tables)
                seconds = 1 / report.layout.pipelines.reduce(0) { $0 + formula.steady($1) }
            }
            let percent = (seconds - report.objectiveSeconds) / report.objectiveSeconds * 100
            let figure =
                report.goal == .latency
                ? "\(Figures.seconds(seconds)) a token" : "\(Figures.significant(1 / seconds)) tokens/s"
            return "\(figure) (\(percent > 0 ? "+" : "")\(Figures.fixed(percent, digits: 1)) % a token)"
        }
        var lines: [String] = []
        if report.layout.pipelines.contains(where: { $0.stages.count > 1 }) {
            lines.append(
                "if all latencies were half as long: "
                    + value { next in
                        for index in next.graph.latencies.indices { next.graph.latencies[index].value /= 2 }
                    })
            lines.append(
                "if all links were twice as fast: "
                    + value { next in for index in next.graph.rates.indices { next.graph.rates[index].value *= 2 } })
        }
        lines.append(
            "if all peers computed twice as fast: "
                + value { next in for index in next.graph.nodes.indices { next.graph.nodes[index].flopsPerSecond *= 2 }
                })
        if problem.graph.nodes.contains(where: { $0.memoryBytesPerSecond != nil }) {
            lines.append(
                "if all peers read their memory twice as fast: "
                    + value { next in
                        for index in next.graph.nodes.indices {
                            next.graph.nodes[index].memoryBytesPerSecond? *= 2
                        }
                    })
        }
        return lines
    }
}
