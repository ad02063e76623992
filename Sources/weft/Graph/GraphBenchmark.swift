import Control
import Foundation
import Simulation
import Topology

/// `weft bench --graph`: holds what the graph says of unmeasured links against networks that are known in full.
struct GraphBenchmark {
    /// One line of the table.
    struct Row: Codable {
        var network: String
        var peers: Int
        var what: String
        var partners: Int
        var choice: String
        /// Medians over the runs; relative errors.
        var medianError: Double
        var ninetiethError: Double
        /// Share of truths inside the intervals that should hold 90 %.
        var covered: Double
        var medianBar: Double?
        var ninetiethBar: Double?
        var runs: Int
        var secondsPerRun: Double

        var passed: Bool { medianError <= medianBar ?? .infinity && ninetiethError <= ninetiethBar ?? .infinity }
    }

    /// Plans on a partly measured graph, verified, beside one on the true graph.
    struct PlanRow: Codable {
        var problem: String
        var peers: Int
        var partners: Int
        /// Medians over the runs of the speed as a share of that of the plan made on the true graph.
        var unverifiedSpeed: Double
        var verifiedSpeed: Double
        var speedBar: Double
        var measuredPairs: Int
        var verifiedPairs: Int
        var allPairs: Int
        var runs: Int
        var secondsPerRun: Double

        var passed: Bool { verifiedSpeed >= speedBar }
    }

    /// All that was found.
    struct Report: Codable {
        var predictions: [Row]
        var plans: [PlanRow]
    }

    /// Planning problems whose graphs are known in full.
    var problems: [PlanningProblem]
    /// Measured networks; synthetic ones are always tried, too.
    var networks: [TrueNetwork]
    var runs: Int
    var seed: UInt64
    var json: Bool

    /// The bars of unmeasured round trips.
    private static let roundTripBars = (median: 0.09 as Double?, ninetieth: 0.30 as Double?)
    /// The bar of unmeasured rates between clouds, and the partners that it is for.
    private static let rateBars = (median: 0.12 as Double?, ninetieth: nil as Double?)
    private static let ratePartners = 16
    /// Share of the speed of a plan made on the true graph that a verified plan must reach.
    private static let speedBar = 0.95
    /// Candidates of every search: a run makes five plans, and the usual search takes minutes.
    private static let planBudget = 3000

    func run() throws {
        var rows: [Row] = []
        let progress = ProgressLine()
        let synthetic = [
            WideAreaNetwork.make(.clouds, peers: 64, seed: seed), WideAreaNetwork.make(.sites, peers: 128, seed: seed),
            WideAreaNetwork.make(.homes, peers: 250, seed: seed),
        ]
        for network in networks + synthetic {
            for choice in CompletionTrial.Choice.allCases {
                rows.append(roundTrips(network, choice))
                if !network.rates.isEmpty { rows.append(rates(network, choice)) }
                if !json { progress.show("\(rows.count) rows done") }
            }
        }
        var plans: [PlanRow] = []
        for problem in problems {
            progress.show("planning \(problem.name)")
            plans.append(try plan(problem))
        }
        progress.clear()
        let report = Report(predictions: rows, plans: plans)
        if json {
            try printJSON(report)
        } else {
            show(rows)
            if !plans.isEmpty {
                print()
                show(plans)
            }
        }
        let missed =
            rows.filter { !$0.passed }.map { "\($0.what) of \($0.network) (\($0.choice))" }
            + plans.filter { !$0.passed }.map { "plan of \($0.problem)" }
        guard missed.isEmpty else { throw CommandFailure("missed the bar: \(missed.joined(separator: ", "))") }
    }

    private func rates(_ network: TrueNetwork, _ choice: CompletionTrial.Choice) -> Row {
        var kinds: [String: Int] = [:]
        var row = row(network, "rate", choice, Self.ratePartners, Self.rateBars) { seed in
            let found = CompletionTrial(network, choice: choice, partners: Self.ratePartners, seed: seed).rates()
            kinds[found.kind.rawValue, default: 0] += 1
            return found.errors
        }
        let usual = kinds.max { ($0.value, $1.key) < ($1.value, $0.key) }
        row.what = "rate, \(usual?.key ?? "")"
        return row
    }

    private func plan(_ problem: PlanningProblem) throws -> PlanRow {
        let clock = ContinuousClock()
        let start = clock.now
        let partners = CompletionTrial.partnerCount(peers: problem.graph.count)
        var outcomes: [VerificationTrial.Outcome] = []
        for run in 0..<runs {
            let trial = VerificationTrial(
                problem, choice: .rendezvous,
                options: PlannerOptions(seed: seed &+ UInt64(run), budget: Self.planBudget))
            // Planned with the same seed, so that luck in the search is on both sides.
            let reference = try trial.secondsOnTruth()
            outcomes.append(try trial.run(partners: partners, seed: seed &+ UInt64(run), reference: reference))
        }
        let elapsed = (clock.now - start) / runs
        return PlanRow(
            problem: problem.name, peers: problem.graph.count, partners: partners,
            unverifiedSpeed: median(outcomes.map(\.unverifiedSpeed)),
            verifiedSpeed: median(outcomes.map(\.verifiedSpeed)), speedBar: Self.speedBar,
            measuredPairs: Int(median(outcomes.map { Double($0.measuredPairs) })),
            verifiedPairs: Int(median(outcomes.map { Double($0.verifiedPairs) })),
            allPairs: outcomes[0].allPairs, runs: runs,
            secondsPerRun: Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18)
    }

    private func show(_ rows: [PlanRow]) {
        var table = TextTable([
            ("plans on", .left), ("peers", .right), ("pairs measured", .right), ("verified", .right), ("of", .right),
            ("speed, unverified", .right), ("verified", .right), ("bar", .right), ("s", .right),
        ])
        func percent(_ value: Double) -> String { HumanText.decimal(value * 100, digits: 1) + " %" }
        for row in rows {
            table.add([
                .init(row.problem), .init("\(row.peers)"), .init("\(row.measuredPairs)"),
                .init("\(row.verifiedPairs)"), .init("\(row.allPairs)"), .init(percent(row.unverifiedSpeed)),
                .init(percent(row.verifiedSpeed), row.passed ? .good : .warning), .init(percent(row.speedBar), .faint),
                .init(HumanText.decimal(row.secondsPerRun, digits: 1), .faint),
            ])
        }
        for line in table.lines(colour: Terminal.output.colour) { print(line) }
    }

    private func roundTrips(_ network: TrueNetwork, _ choice: CompletionTrial.Choice) -> Row {
        let partners = CompletionTrial.partnerCount(peers: network.count)
        return row(network, "round trip", choice, partners, Self.roundTripBars) { seed in
            CompletionTrial(network, choice: choice, partners: partners, seed: seed).roundTrips()
        }
    }

    private func row(
        _ network: TrueNetwork, _ what: String, _ choice: CompletionTrial.Choice, _ partners: Int,
        _ bars: (median: Double?, ninetieth: Double?), _ trial: (UInt64) -> CompletionTrial.Errors
    ) -> Row {
        let clock = ContinuousClock()
        let start = clock.now
        let errors = (0..<runs).map { trial(seed &+ UInt64($0)) }
        let elapsed = (clock.now - start) / runs
        return Row(
            network: network.name, peers: network.count, what: what, partners: partners, choice: choice.rawValue,
            medianError: median(errors.map(\.median)), ninetiethError: median(errors.map(\.ninetieth)),
            covered: median(errors.map(\.covered)), medianBar: bars.median, ninetiethBar: bars.ninetieth, runs: runs,
            secondsPerRun: Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18)
    }

    private func show(_ rows: [Row]) {
        var table = TextTable([
            ("network", .left), ("what", .left), ("partners", .right), ("chosen", .left), ("error, median", .right),
            ("bar", .right), ("90th percentile", .right), ("bar", .right), ("inside interval", .right), ("s", .right),
        ])
        func percent(_ value: Double?) -> String { value.map { HumanText.decimal($0 * 100, digits: 1) + " %" } ?? "" }
        for row in rows {
            let style: TextStyle = row.passed ? .plain : .warning
            table.add([
                .init(row.network), .init(row.what), .init("\(row.partners)"), .init(row.choice),
                .init(percent(row.medianError), style), .init(percent(row.medianBar), .faint),
                .init(percent(row.ninetiethError), style), .init(percent(row.ninetiethBar), .faint),
                .init(percent(row.covered)), .init(HumanText.decimal(row.secondsPerRun, digits: 2), .faint),
            ])
        }
        for line in table.lines(colour: Terminal.output.colour) { print(line) }
    }
}

/// The middle of some values, at least one; of an even number the mean of the two in the middle.
private func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
}
