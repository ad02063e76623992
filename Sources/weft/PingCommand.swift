import ArgumentParser
import Control
import Runtime
import Topology

/// Round trips to a peer, live.
struct PingCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ping", abstract: "Ping a peer over its encrypted session.")

    @Argument(help: "Identity, the beginning of one, or name.")
    var peer: String

    @Option(name: .shortAndLong, help: "How many pings; 0 goes on until interrupted.")
    var count = 5

    @Option(name: .shortAndLong, help: "Seconds between pings.")
    var interval = 1.0

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard count >= 0 else { throw ValidationError("--count cannot be negative.") }
        guard interval >= 0.01 else { throw ValidationError("--interval must be at least 0.01 seconds.") }
    }

    func run() async throws {
        let client = try ControlClient(state: state.directory)
        let target = try await client.resolve(peer)
        var trips: [Double] = []
        var sent = 0
        for try await reply in try await client.ping(
            PingRequest(peer: target, count: count == 0 ? nil : count, intervalSeconds: interval))
        {
            sent += 1
            if let trip = reply.roundTripSeconds { trips.append(trip) }
            if output.json {
                try printJSONLine(reply)
            } else {
                let address = reply.address.map { " (\($0))" } ?? ""
                let answer = reply.roundTripSeconds.map { Figures.seconds($0) } ?? "no answer"
                say("\(peer)\(address) \(reply.sequence): \(answer)")
            }
        }
        if !output.json, let least = trips.min(), let most = trips.max() {
            let mean = trips.reduce(0, +) / Double(trips.count)
            say(
                "\(trips.count) of \(sent) answered, round trip \(Figures.seconds(least)) least, "
                    + "\(Figures.seconds(mean)) mean, \(Figures.seconds(most)) most")
        }
        if trips.isEmpty { throw CommandFailure("\(peer) did not answer") }
    }
}
