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

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard seconds >= 0.1, seconds <= 60 else { throw ValidationError("--seconds is from 0.1 to 60") }
    }

    func run() async throws {
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
