import ArgumentParser
import Control
import Runtime

/// The founder's decision about one peer.
struct AdmitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "admit", abstract: "Admit a peer to this closed swarm; on its founder only.")

    @Argument(help: "The peer's identity, as `weft id` prints it there, or the beginning of one in `weft members`.")
    var peer: String

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let view = try await ControlClient(state: state.directory).admit(AdmissionRequest(peer: peer))
        if output.json { try printJSON(view) } else { print("\(view.peer) is admitted") }
    }
}
