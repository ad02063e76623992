import ArgumentParser
import Control
import Runtime

/// A closed swarm's list.
struct MembersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "members", abstract: "List whom a closed swarm's founder has admitted and revoked.")

    @Flag(help: "List who was turned away here of late instead, to be admitted with `weft admit`.")
    var waiting = false

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let listing = try await ControlClient(state: state.directory).admissions()
        guard !output.json else { return try printJSON(listing) }
        guard listing.founder != nil else {
            return print("This swarm is open: everybody with its ticket is a member; `weft peers` lists them.")
        }
        var table = TextTable([("peer", .left), ("name", .left), ("state", .left)])
        for view in waiting ? listing.waiting : listing.members {
            let style: TextStyle =
                switch view.state {
                case .founder, .admitted: .good
                case .waiting: .warning
                case .revoked: .bad
                }
            table.add([.init(view.peer, .accent), .init(view.name), .init(view.state.rawValue, style)])
        }
        for line in table.lines(colour: Terminal.output.colour) { print(line) }
    }
}
