import ArgumentParser
import Control
import Foundation
import Runtime
import Simulation
import Wire

/// Plays a scenario with simulated peers that run the real protocol cores.
struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Play a scenario with the real protocols under a simulated network and clock.",
        discussion: """
            The same seed gives the same run on every machine; the digest at the end says so. The exit status is 1 if an \
            invariant was broken. Scenarios:
            \(Scenario.allCases.map { "  \($0.rawValue): \($0.summary)" }.joined(separator: "\n"))
            """)

    @Option(help: "What to play: \(Scenario.allCases.map(\.rawValue).joined(separator: ", ")).")
    var scenario: Scenario = .join

    @Option(help: "Peers in the swarm.")
    var peers = 50

    @Option(help: "Decides everything that is random (default: the file's own, else 1).")
    var seed: UInt64?

    @Option(help: "Play so many seeds, beginning with --seed.")
    var seeds = 1

    @Option(help: "Virtual seconds of the main phase (default: the scenario's own).")
    var seconds: Double?

    @Flag(help: "Peers on one switched network instead of all over the world.")
    var local = false

    @Flag(help: "Begin with a swarm in which everybody has long known everybody, instead of joining.")
    var settled = false

    @Flag(help: "Measure no bandwidth: most simulated packets are those of the measurements.")
    var noTrains = false

    @Flag(help: "Measure no links at all: membership and gossip alone.")
    var noLinks = false

    @Option(help: "Play the scenario of a JSON file (docs/SIMULATION.md) instead.")
    var file: String?

    @Option(help: "Draw convergence and detection times to an SVG file.")
    var plot: String?

    @Option(help: "Write what happened, line by line, to a file: virtual seconds, peer, event; separated by tabs.")
    var trace: String?

    @Flag(help: "List every packet that was read in the trace, too.")
    var tracePackets = false

    @Flag(help: "Play every promise of the protocols with its bar, instead of one scenario. Takes a while.")
    var table = false

    @Option(help: "Of the table, only this row; may be repeated.")
    var only: [String] = []

    @Option(help: "Seeds of the table's sweep.")
    var sweepSeeds = 200

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (2...Limits.members).contains(peers) else {
            throw ValidationError("--peers must be from 2 to \(Limits.members).")
        }
        guard !settled || (scenario != .join && scenario != .admission && scenario != .paths) else {
            throw ValidationError("--settled leaves nothing to see of the scenario \(scenario.rawValue).")
        }
        guard seconds.map({ $0 > 0 && $0 <= 1e6 }) ?? true else {
            throw ValidationError("--seconds must be from 0 to 1000000.")
        }
        guard (1...100_000).contains(sweepSeeds) else {
            throw ValidationError("--sweep-seeds must be from 1 to 100000.")
        }
        guard !noLinks || (scenario != .measure && scenario != .upkeep) else {
            throw ValidationError("the scenario \(scenario.rawValue) is about links: not with --no-links.")
        }
        guard scenario != .script || file != nil else { throw ValidationError("--scenario script needs --file.") }
        guard table || only.isEmpty else { throw ValidationError("--only needs --table.") }
        guard (1...100_000).contains(seeds) else { throw ValidationError("--seeds must be from 1 to 100000.") }
    }

    func run() async throws {
        if table || peers >= Self.largeSwarm || file != nil { ProcessMemory.restartWithHugePages() }
        if table {
            return try await SimulationTable(
                only: only, seed: seed ?? 1, sweepSeeds: sweepSeeds, json: output.json, trace: trace
            ).run()
        }
        let first = try firstOptions()
        try requireMemory(peers: first.peers, settled: first.startsSettled)
        var reports: [SimulationReport] = []
        for offset in 0..<seeds {
            var options = first
            options.seed = first.seed &+ UInt64(offset)
            reports.append(try play(options))
        }
        if let plot { try writeFile(SimulationPlot.document(reports), to: plot) }
        if output.json {
            if reports.count == 1 { try printJSON(reports[0]) } else { try printJSON(reports) }
        }
        let broken = reports.filter { !$0.violations.isEmpty }
        guard broken.isEmpty else {
            let seeds = broken.map { String($0.seed) }.joined(separator: ", ")
            throw CommandFailure("invariants broken with seed \(seeds): play it again with --seed to see the same run")
        }
    }

    /// Peers from which on a simulation needs so much memory that starting again for larger pages pays.
    private static let largeSwarm = 200

    /// What a peer keeps of another in a simulation: a thousand peers that joined took 0.58 GB, ten
    /// thousand that had settled 8.3 GB.
    private static func bytesPerPair(settled: Bool) -> Int { settled ? 100 : 600 }

    /// Says so before, and not by being killed after half an hour, when a swarm does not fit.
    private func requireMemory(peers: Int, settled: Bool) throws {
        let bytesPerPair = Self.bytesPerPair(settled: settled)
        let (needed, free) = (UInt64(peers * peers * bytesPerPair), SystemMemory.availableBytes)
        guard needed > free else { return }
        let possible = Int((Double(free) / Double(bytesPerPair)).squareRoot()) / 100 * 100
        throw CommandFailure(
            "\(peers) peers would take about \(needed >> 30) GiB of memory, for each keeps the whole swarm, and "
                + "\(free >> 30) GiB are free: simulate fewer, up to \(possible)"
                + (settled ? "" : ", or begin with --settled, which takes a sixth"))
    }

    /// What the file or the options say, with the first seed.
    private func firstOptions() throws -> ScenarioOptions {
        var options: ScenarioOptions
        if let file {
            options = try ScenarioDocument.options(path: file)
            if let seed { options.seed = seed }
        } else {
            options = ScenarioOptions(scenario: scenario, peers: peers, seed: seed ?? 1, seconds: seconds)
            if local { options.profile = .local }
            options.measuresBandwidth = !noTrains
            options.measuresLinks = !noLinks
            options.startsSettled = settled
        }
        options.tracesPackets = tracePackets
        options.recordsTimeline = plot != nil
        return options
    }

    private func play(_ options: ScenarioOptions) throws -> SimulationReport {
        var lines: [String] = []
        let progress = ProgressLine()
        let clock = ContinuousClock()
        let start = clock.now
        var shown = start
        let name = options.script?.name ?? options.scenario.rawValue
        let title = "\(name), \(options.peers) peers, seed \(options.seed)"
        let report = ScenarioRunner.run(
            options,
            progress: { virtual in
                guard !output.json, clock.now - shown > .milliseconds(200) else { return }
                shown = clock.now
                progress.show("\(title): \(Int(virtual)) virtual seconds")
            }, tracer: trace == nil ? nil : { lines.append($0.description) })
        progress.clear()
        if let trace { try writeFile(lines.joined(separator: "\n") + "\n", to: trace) }
        let elapsed = Self.seconds(clock.now - start)
        guard !output.json else { return report }
        if seeds > 1 {
            let heal = report.healSeconds.map { ", healed after \(Self.text($0)) s" } ?? ""
            let verdict = report.violations.isEmpty ? "good" : report.violations.joined(separator: "; ")
            print("seed \(report.seed): \(verdict)\(heal), digest \(report.digest.prefix(10))")
        } else {
            show(report, title: title, elapsed: elapsed)
        }
        return report
    }

    private func show(_ report: SimulationReport, title: String, elapsed: Double) {
        let terminal = Terminal.output
        func row(_ name: String, _ value: String?) {
            guard let value else { return }
            print("  " + terminal.style(name.padding(toLength: 22, withPad: " ", startingAt: 0), .faint) + value)
        }
        print(terminal.style(title, .accent))
        row("everyone knows all", report.joinSeconds.map { "\(Self.text($0)) s after the last start" })
        row("digests equal", report.digestsEqualSeconds.map { "\(Self.text($0)) s after the last start" })
        row("death known", report.detectionSeconds.map { Self.text($0, unit: " s") })
        row("goodbye known", report.leaveSeconds.map { Self.text($0, unit: " s") })
        row("healed", report.healSeconds.map { "\(Self.text($0)) s after the last fault" })
        row("missing from views", report.worstMissingShare.map { "\(Self.text($0 * 100)) % at the worst moment" })
        if let liars = report.liars, let named = report.namedLiars, let wronged = report.namedHonest {
            row("liars named", "\(named) of \(liars), and \(wronged) honest peers")
        }
        row("declared dead wrongly", "\(report.falseDeaths) times")
        row("settled", report.settledSeconds.map { "\(Self.text($0)) s after the first start" })
        if let bytes = report.bytesPerPeerPerSecond, let datagrams = report.datagramsPerPeerPerSecond {
            row("traffic", "\(Self.text(bytes)) bytes/s in \(Self.text(datagrams)) datagrams/s a peer")
        }
        if let admission = report.admission {
            row("refused", admission.refusedSeconds.map { "after \(Self.text($0)) s" })
            row("cut off", admission.cutOffSeconds.map { "after \(Self.text($0)) s" })
            row("admitted", admission.admittedSeconds.map { "after \(Self.text($0)) s" })
        }
        if let paths = report.paths {
            func milliseconds(_ spread: SimulationReport.Spread?) -> String? {
                spread.map { "\(Self.text($0.median * 1000)) ms median, \(Self.text($0.most * 1000)) ms most" }
            }
            row("beyond the nearest", milliseconds(paths.firstExcessSeconds).map { $0 + ", as first found" })
            row("once chosen", milliseconds(paths.chosenExcessSeconds))
            row("after a detour", milliseconds(paths.detourExcessSeconds))
            row("after a dead path", paths.longestSilenceSeconds.map { "\(Self.text($0)) s of silence at most" })
            row("changes of path", "\(paths.moves), of them \(paths.firstMoves) at first")
        }
        row("first graph", report.graphSeconds.map { "\(Self.text($0)) s after the first start" })
        row("of access links", report.accessShare.map(Self.percent))
        row("in ten minutes", report.accessShareInWindow.map(Self.percent))
        if let measurement = report.measurement {
            row("links measured", "\(measurement.measuredLinks) of \(measurement.links)")
            row("bandwidth error", measurement.bandwidthError.map(Self.percent))
            row("round trip error", measurement.roundTripError.map(Self.percent))
            row("predicted bandwidth", measurement.predictedBandwidthError.map(Self.percent))
            row("predicted round trip", measurement.predictedRoundTripError.map(Self.percent))
        }
        let speed = elapsed > 0 ? report.virtualSeconds / elapsed : 0
        row(
            "simulated",
            "\(Self.text(report.virtualSeconds)) s in \(Self.text(elapsed)) s (\(Self.text(speed)) times real time), "
                + "\(report.deliveries) datagrams delivered, \(report.packetsLost + report.queueDrops) lost")
        row("digest", report.digest)
        for violation in report.violations { print("  " + terminal.style("broken: ", .bad) + violation) }
    }

    private static func seconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }

    private static func text(_ value: Double) -> String { SimulationText.number(value) }

    private static func text(_ spread: SimulationReport.Spread, unit: String) -> String {
        "first \(text(spread.least))\(unit), median \(text(spread.median))\(unit), last \(text(spread.most))\(unit) "
            + "(\(spread.count))"
    }

    private static func percent(_ spread: SimulationReport.Spread) -> String {
        "median \(text(spread.median * 100)) %, nine of ten below \(text(spread.ninetieth * 100)) %, "
            + "worst \(text(spread.most * 100)) %"
    }
}

extension Scenario: ExpressibleByArgument {}
