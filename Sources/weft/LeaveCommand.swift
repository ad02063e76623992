import ArgumentParser
import Control

/// Ends this machine's node.
struct LeaveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "leave", abstract: "Say goodbye to the swarm and end this machine's node.")

    @OptionGroup var state: StateOptions

    func run() async throws { try await ControlClient(state: state.directory).leave() }
}
