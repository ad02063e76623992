import Control
import Foundation
import Simulation

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

    /// Measured networks; synthetic ones are always tried, too.
    var networks: [TrueNetwork]
    var runs: Int
    var seed: UInt64
    var json: Bool

    /// The bars of unmeasured round trips.
    private static let roundTripBars = (median: 0.09, ninetieth: 0.30)

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
                if !json { progress.show("\(rows.count) rows done") }
            }
        }
        progress.clear()
        if json { try printJSON(rows) } else { show(rows) }
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
        func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
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
