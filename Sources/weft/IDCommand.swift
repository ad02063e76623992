import ArgumentParser
import Primitives
import Runtime

/// Prints the identity, making one if there is none yet.
struct IDCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "id", abstract: "Print this peer's identity, making one if there is none yet.")

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        try state.directory.create()
        let peer = try state.directory.identityKey().peer
        if output.json {
            try printJSON(Identity(peer: peer.description, short: peer.short))
        } else {
            print(peer)
        }
    }

    private struct Identity: Encodable {
        let peer: String
        let short: String
    }
}
