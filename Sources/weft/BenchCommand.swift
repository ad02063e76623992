import ArgumentParser
import Control
import Runtime
import Topology

/// Measures this machine.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure streams, handshakes, signatures and matrix multiplication on this machine.",
        discussion: """
            Nothing leaves the machine and no node is needed. Close other programs first; medians of several rounds are \
            printed. docs/BENCHMARKS.md has figures to compare with.
            """)

    @Option(help: "Length of one round in seconds.")
    var seconds: Double = 1

    @Flag(help: "Instead, hold the graph's predictions of unmeasured links against networks that are known in full.")
    var graph = false

    @Option(
        help: """
            With --graph, a measured network besides the synthetic ones: a text file with a square matrix of round trips \
            in milliseconds, or JSON with rtt_ms and bandwidth_gbps; may be repeated.
            """)
    var network: [String] = []

    @Option(
        help: """
            With --graph, a planning problem with a known graph: plans made on a measured part of it, and verified, are \
            held against plans made on all of it; may be repeated.
            """)
    var problem: [String] = []

    @Option(help: "With --graph, runs a row, each with other measured links; medians are printed.")
    var runs = 20

    @Option(help: "With --graph, seed of the first run.")
    var seed: UInt64 = 1

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard graph || network.isEmpty && problem.isEmpty else {
            throw ValidationError("--network and --problem go with --graph")
        }
        guard (1...1000).contains(runs) else { throw ValidationError("--runs is from 1 to 1000") }
        guard seconds >= 0.1, seconds <= 60 else { throw ValidationError("--seconds is from 0.1 to 60") }
    }

    func run() async throws {
        if graph {
            return try GraphBenchmark(
                problems: try problem.flatMap { try PlanningProblemFile.read($0).problems.map { try $0.problem() } },
                networks: try network.map { try NetworkFile.read($0) }, runs: runs, seed: seed, json: output.json
            ).run()
        }
        let line = ProgressLine()
        let report = try await Benchmarks.run(version: Weft.version, seconds: seconds) { line.show("measuring \($0)") }
        line.clear()
        guard !output.json else { return try printJSON(report) }
        for line in Self.lines(report, colour: Terminal.output.colour) { print(line) }
    }

    static func lines(_ report: BenchmarkReport, colour: Bool) -> [String] {
        var table = TextTable([("what", .left), ("figure", .right), ("", .left)])
        func add(_ name: String, _ figure: String, _ remark: String) {
            table.add([.init(name), .init(figure, .accent), .init(remark)])
        }
        if let streams = report.streams {
            add(
                "plain TCP", Figures.significant(streams.plain.gibibytesPerSecond) + " GiB/s",
                Figures.significant(streams.plain.cpuSecondsPerGibibyte) + " CPU s/GiB, both sides")
            add(
                "sealed stream", Figures.significant(streams.sealed.gibibytesPerSecond) + " GiB/s",
                Figures.significant(streams.sealed.cpuSecondsPerGibibyte) + " CPU s/GiB, both sides; " + streams.suite)
            add(
                "sealed over plain", Figures.significant(streams.ratio),
                "median of \(streams.rounds) interleaved rounds of \(streams.bytesPerRound >> 20) MiB")
        }
        if let rate = report.echoesPerSecond {
            add("datagrams echoed", Figures.significant(rate) + "/s", "sealed, 100 bytes, one core a side")
        }
        if let rate = report.handshakesPerSecond {
            add("handshakes", Figures.significant(rate) + "/s", "both sides on one core")
        }
        if let rate = report.entriesVerifiedPerSecond {
            add("entries verified", Figures.significant(rate) + "/s", "256 bytes each, one core")
        }
        if let product = report.multiplication {
            let shape = product.shape.map { "\($0)" }.joined(separator: "×")
            add(
                "matrix product", Figures.significant(product.blockedGigaflops) + " GFLOP/s",
                "\(product.instructionSet), \(shape), one core")
            add(
                "its naive twin", Figures.significant(product.naiveGigaflops) + " GFLOP/s",
                product.sameBits ? "the same bits" : "OTHER BITS")
        }
        return table.lines(colour: colour)
    }
}
