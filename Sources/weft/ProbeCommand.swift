import ArgumentParser
import Control
import Primitives
import Runtime
import Topology

/// A link's figures, measured now.
struct ProbeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe", abstract: "Measure the link to a peer now: round trip, loss and rate in both directions.")

    @Argument(help: "Identity, the beginning of one, or name.")
    var peer: String

    @Flag(help: "Measure also what other traffic leaves free; takes some seconds.")
    var available = false

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let client = try ControlClient(state: state.directory)
        let report = try await client.probe(
            ProbeRequest(
                peer: try await client.resolve(peer), measuresAvailable: available ? true : nil))
        guard !output.json else { return try printJSON(report) }
        func rate(_ value: Double?) -> String { value.map { Bandwidth(bytesPerSecond: $0).description } ?? "unknown" }
        func line(_ value: Double?, burst: Double?) -> String {
            rate(value) + (burst.map { " sustained; bursts at \(rate($0))" } ?? "")
        }
        func time(_ value: Double?) -> String { value.map { Figures.seconds($0) } ?? "unknown" }
        print("\(report.name.isEmpty ? String(report.peer.prefix(10)) : report.name)")
        print("  round trip  \(time(report.minimumRoundTripSeconds)), jitter \(time(report.jitterSeconds))")
        print("  loss        \(report.lossFraction.map { HumanText.decimal($0 * 100, digits: 1) + " %" } ?? "unknown")")
        print("  to it       \(line(report.sendBytesPerSecond, burst: report.sendBurstBytesPerSecond))")
        print("  from it     \(line(report.receiveBytesPerSecond, burst: report.receiveBurstBytesPerSecond))")
        if available {
            print(
                "  free        \(rate(report.sendAvailableBytesPerSecond)) to it, "
                    + "\(rate(report.receiveAvailableBytesPerSecond)) from it")
        }
        print("  from \(report.samples) packet trains in \(HumanText.duration(seconds: report.elapsedSeconds))")
    }
}
