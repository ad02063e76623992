import Control
import Simulation

/// `weft simulate --table`: plays every promise of `ScenarioTable` and prints what came out against its bar.
struct SimulationTable {
    /// Play only these rows; all if empty.
    var only: [String]
    var seed: UInt64
    /// Seeds of the sweep.
    var sweepSeeds: Int
    var json: Bool
    /// Where to write what happened, of a row with one run.
    var trace: String?

    /// The rows that will be played. Throws if a name is unknown.
    func rows() throws -> [ScenarioTable.Row] {
        let all = ScenarioTable.rows(seed: seed, sweepSeeds: sweepSeeds)
        for name in only where !all.contains(where: { $0.name == name }) {
            throw CommandFailure(
                "there is no row \"\(name)\" in the table: choose from \(all.map(\.name).joined(separator: ", "))")
        }
        let chosen = only.isEmpty ? all : all.filter { only.contains($0.name) }
        guard trace == nil || chosen.map(\.runs.count) == [1] else {
            throw CommandFailure(
                "--trace follows one run: name a row of one run with --only (of the sweep, --sweep-seeds 1 and its --seed)"
            )
        }
        return chosen
    }

    /// Plays, prints, and throws if a bar was missed.
    func run() async throws {
        var outcomes: [ScenarioTable.Outcome] = []
        let clock = ContinuousClock()
        var seconds: [Double] = []
        for row in try rows() {
            let start = clock.now
            let outcome = try await play(row)
            outcomes.append(outcome)
            seconds.append(Self.seconds(clock.now - start))
            if !json { Self.show(outcome, seconds: seconds[seconds.count - 1]) }
        }
        if json { try printJSON(outcomes) } else { Self.summarise(outcomes, seconds: seconds) }
        let failed = outcomes.filter { !$0.passed }.map(\.name)
        guard failed.isEmpty else { throw CommandFailure("missed the bar: \(failed.joined(separator: ", "))") }
    }

    /// Plays the runs of a row, two at a time: they know nothing of each other.
    private func play(_ row: ScenarioTable.Row) async throws -> ScenarioTable.Outcome {
        if let outcome = await Self.playLinks(row) { return outcome }
        if let trace { return ScenarioTable.judge(row, try Self.follow(row.runs, to: trace)) }
        let progress = ProgressLine()
        var reports: [SimulationReport] = []
        await withTaskGroup(of: SimulationReport.self) { group in
            var waiting = row.runs[...]
            for _ in 0..<Self.parallelRuns {
                if let options = waiting.popFirst() { group.addTask { await Self.simulate(options) } }
            }
            for await report in group {
                reports.append(report)
                if !json { progress.show("\(row.name): \(reports.count) of \(row.runs.count) runs") }
                if let options = waiting.popFirst() { group.addTask { await Self.simulate(options) } }
            }
        }
        progress.clear()
        return ScenarioTable.judge(row, reports.sorted { $0.seed < $1.seed })
    }

    private static func follow(_ runs: [ScenarioOptions], to path: String) throws -> [SimulationReport] {
        var lines: [String] = []
        let reports = runs.map { ScenarioRunner.run($0, tracer: { lines.append($0.description) }) }
        try writeFile(lines.joined(separator: "\n") + "\n", to: path)
        return reports
    }

    private static let parallelRuns = 2

    @concurrent private static func playLinks(_ row: ScenarioTable.Row) async -> ScenarioTable.Outcome? {
        ScenarioTable.playLinks(row)
    }

    @concurrent private static func simulate(_ options: ScenarioOptions) async -> SimulationReport {
        ScenarioRunner.run(options)
    }

    private static func show(_ outcome: ScenarioTable.Outcome, seconds: Double) {
        let verdict = Terminal.output.style(outcome.passed ? "pass" : "FAIL", outcome.passed ? .good : .bad)
        say("\(verdict)  \(outcome.name): \(outcome.title); \(figure(outcome)) (\(SimulationText.number(seconds)) s)")
        for violation in outcome.violations.prefix(5) { say("      \(violation)") }
    }

    private static func figure(_ outcome: ScenarioTable.Outcome) -> String {
        let unit = outcome.unit.isEmpty ? "" : " \(outcome.unit)"
        let measured = outcome.measured.map { SimulationText.number($0) + unit } ?? "nothing measured"
        return "\(outcome.measure): \(measured), at most \(SimulationText.number(outcome.limit))\(unit)"
    }

    private static func summarise(_ outcomes: [ScenarioTable.Outcome], seconds: [Double]) {
        var table = TextTable([
            ("row", .left), ("measured", .right), ("bar", .right), ("unit", .left), ("runs", .right),
            ("virtual s", .right), ("took s", .right), ("", .left),
        ])
        for (outcome, taken) in zip(outcomes, seconds) {
            table.add([
                .init(outcome.name), .init(outcome.measured.map(SimulationText.number) ?? "-"),
                .init(SimulationText.number(outcome.limit)), .init(outcome.unit), .init(String(outcome.runs)),
                .init(SimulationText.number(outcome.virtualSeconds)), .init(SimulationText.number(taken)),
                .init(outcome.passed ? "pass" : "FAIL", outcome.passed ? .good : .bad),
            ])
        }
        print()
        for line in table.lines(colour: Terminal.output.colour) { print(line) }
    }

    private static func seconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}

/// Figures of simulations for people.
enum SimulationText {
    /// Three significant digits or the whole part.
    static func number(_ value: Double) -> String {
        if value == 0 { return "0" }
        return HumanText.decimal(value, digits: value >= 100 ? 0 : value >= 10 ? 1 : 2)
    }
}
