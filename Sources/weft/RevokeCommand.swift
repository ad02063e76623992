import ArgumentParser
import Control
import Runtime

/// The founder's decision about one peer.
struct RevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "End a peer's admission to this closed swarm; on its founder only.")

    @Argument(help: "The peer's identity, as `weft id` prints it there, or the beginning of one in `weft members`.")
    var peer: String

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let view = try await ControlClient(state: state.directory).revoke(AdmissionRequest(peer: peer))
        if output.json { try printJSON(view) } else { print("\(view.peer) is revoked") }
    }
}
