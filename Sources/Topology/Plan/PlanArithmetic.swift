/// The arithmetic that people quote about training over the Internet, and what a plan makes of it factor by factor.
///
/// The quoted figures are bare divisions: all parameters at four bytes, moved whole by every peer, once a step. Each line
/// after them names one thing that the plan does, the seconds that are left and the factor gained.
struct PlanArithmetic {
    private let report: PlanReport
    private let problem: PlanningProblem
    private let tables: CostTables

    init(_ report: PlanReport, problem: PlanningProblem) {
        self.report = report
        self.problem = problem
        tables = CostTables(problem)
    }

    /// Bytes of all parameters in f32.
    private var singleBytes: Double { problem.model.parameters * 4 }

    var lines: [String] {
        let peers = problem.graph.count
        var lines = [
            "the arithmetic: \(Figures.bytes(singleBytes)) of fp32 parameters take \(whole(singleBytes * 8 / 25e9)) at "
                + "25 Gbit/s and \(whole(singleBytes * 8 / 1e9)) at 1 Gbit/s; \(peers) peers that each move all of them "
                + "move \(Figures.bytes(singleBytes * Double(peers))) a step"
        ]
        guard let rate = medianRate else { return lines }
        var left = singleBytes / rate
        lines.append(
            "at this swarm's median rate of \(Figures.significant(rate * 8e-6)) Mbit/s that is \(whole(left)); this plan:"
        )
        for (name, seconds) in steps(rate: rate) {
            let factor = seconds > 0 ? "factor " + Figures.significant(left / seconds) : "nothing is left"
            lines.append("  \(name): \(Figures.seconds(seconds)) left (\(factor))")
            if seconds > 0 { left = seconds }
        }
        return lines
    }

    /// What is left of the exchange after each of the plan's measures, in seconds a step.
    private func steps(rate: Double) -> [(String, Double)] {
        let layout = report.layout
        let largest = layout.pipelines.joined().map { tables.parameters($0.layers) }.max() ?? 0
        let longest = layout.pipelines.map(\.count).max() ?? 1
        var result = [
            ("pipelining, a peer holds the layers of one of up to \(longest) stages", largest * 4 / rate)
        ]
        if problem.model.gradientBytesPerParameter != 4 {
            result.append(
                (
                    "gradients of \(Figures.significant(problem.model.gradientBytesPerParameter)) bytes a parameter",
                    largest * problem.model.gradientBytesPerParameter / rate
                ))
        }
        guard layout.pipelines.count > 1 else {
            return result + [("one pipeline, no replicas that would exchange gradients", 0)]
        }
        var plain = problem
        plain.compression = .none
        plain.localSteps = 1
        plain.exchangesInLevels = false
        result.append(
            (
                "data-parallel sharding, each of \(layout.pipelines.count) replicas reduces a slice over all its links "
                    + "at once, without overlap",
                alone(plain)
            ))
        if problem.exchangesInLevels, layout.exchange != .direct {
            plain.exchangesInLevels = true
            let what =
                switch layout.exchange {
                case .spread: "all peers add up slices of all layers"
                case .tailored, .timed: "all peers add up slices, of each layer its own"
                case .relayed: "all peers add up slices, of each layer its own, gathered by relays"
                case .clustered, .direct: "near peers add up first where that is faster"
                }
            result.append((what, alone(plain)))
        }
        plain.compression = problem.compression
        if problem.compression.isLossy {
            result.append(("compression \(problem.compression.name)", alone(plain)))
        }
        result.append(
            (
                "overlap, late stages exchange while early ones still compute",
                IterationSimulator.run(layout, tables: CostTables(plain)).exchangeSeconds
            ))
        if problem.localSteps > 1 {
            result.append(("\(problem.localSteps) local steps for one exchange", report.trace.exchangeSeconds))
        }
        return result
    }

    /// The whole exchange by itself: nobody computes, all start together.
    private func alone(_ problem: PlanningProblem) -> Double {
        let tables = CostTables(problem).leavingPlain(report.layout.plainLinks)
        let finishes = report.layout.pipelines.map { $0.map { _ in 0.0 } }
        let starts = finishes.map { StageEnds(finishes: $0) }
        let exchange = GradientExchange(layout: report.layout, tables: tables, ends: starts)
        let ends = exchange.spread.map { exchange.endsOfSpread($0, ends: starts) } ?? exchange.ends(finishes: finishes)
        return ends.joined().max() ?? 0
    }

    private var medianRate: Double? {
        let known = problem.graph.rates.filter(\.isKnown).map(\.value).sorted()
        return known.isEmpty ? nil : known[known.count / 2]
    }

    /// Whole seconds with a comma for thousands, as these figures are quoted.
    private func whole(_ seconds: Double) -> String {
        guard seconds >= 99.5, seconds < 1e15 else { return Figures.seconds(seconds) }
        var digits = Figures.fixed(seconds, digits: 0)
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits.removeLast(3)
        }
        return ([digits] + groups).joined(separator: ",") + " s"
    }
}
