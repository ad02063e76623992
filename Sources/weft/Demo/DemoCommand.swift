import ArgumentParser
import Control
import Foundation
import Primitives
import Runtime
import Topology
import UnixSignals

/// The whole story on one machine: peers meet, measure, plan and train.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Show everything on this machine: peers as real processes on a shaped network train a small GPT.",
        discussion: """
            Each peer is a process of this program; their sockets are slowed down to the rates and delays of a small \
            network of two server sites and two homes. Everything else is real. No process is left behind.
            """)

    @Option(help: "How many peers.")
    var peers = 8

    @Option(help: "A weft.topology/1 file (default: built in; see --print-topology).")
    var topology: String?

    @Option(help: "A text file or folder to train on (default: this project's own documents and sources).")
    var text: String?

    @Option(help: "Training steps (default: \(DemoJob.usualSteps), or what fits into two minutes).")
    var steps: Int?

    @Option(name: .customLong("output"), help: "Where loss curve, graph and checkpoint go.")
    var outputPath = "weft-demo"

    @Option(help: "Seed of parameters, batches and the sampled text.")
    var seed: UInt64 = 1

    @Flag(help: "Print the built-in network and end.")
    var printTopology = false

    func validate() throws {
        guard peers >= 2 else { throw ValidationError("--peers must be at least 2.") }
        guard steps ?? 1 >= 1 else { throw ValidationError("--steps must be at least 1.") }
    }

    func run() async throws {
        if printTopology { return print(DemoTopology.builtIn) }
        var network = try DemoTopology.load(topology)
        guard network.peers.count >= peers else {
            throw CommandFailure(
                "the network has \(network.peers.count) peers: ask for fewer with --peers, or name a larger one with "
                    + "--topology")
        }
        network.peers = Array(network.peers.prefix(peers))
        let story = DemoStory(
            network: network, text: try DemoText(option: text), steps: steps, seed: seed,
            outputPath: absolutePath(outputPath))
        let swarm = try DemoSwarm()
        // Subscribed before the first child starts, so that an early signal is not lost.
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let outcome = await Self.race(signals) { try await story.play(on: swarm) }
        if case .failure(let error) = outcome, !(error is CancellationError) {
            swarm.saveLogs(to: story.outputPath + "/logs")
        }
        await swarm.stop()
        switch outcome {
        case .success: say("\nAll peers have left.")
        case .failure(is CancellationError): throw ExitCode(130)
        case .failure(let error):
            throw CommandFailure("\(error). The peers' logs are in \(story.outputPath)/logs.")
        }
    }

    /// Runs the story until it ends or a signal arrives, which cancels it.
    private static func race(
        _ signals: UnixSignalsSequence, _ play: @escaping @Sendable () async throws -> Void
    ) async -> Result<Void, any Error> {
        await withTaskGroup(of: Result<Void, any Error>.self) { group in
            group.addTask {
                do { return .success(try await play()) } catch { return .failure(error) }
            }
            group.addTask {
                for await _ in signals { return .failure(CancellationError()) }
                return .failure(CancellationError())
            }
            let first = await group.next() ?? .failure(CancellationError())
            group.cancelAll()
            return first
        }
    }
}
