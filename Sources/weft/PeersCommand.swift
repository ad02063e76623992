import ArgumentParser
import Control
import Runtime
import Topology

/// The members of the swarm.
struct PeersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peers", abstract: "List the swarm's members with state, address, round trip and machine.")

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let listing = try await ControlClient(state: state.directory).peers()
        guard !output.json else { return try printJSON(listing) }
        for line in PeerTable.lines(listing, colour: Terminal.output.colour) { print(line) }
    }
}

/// The member list for people.
enum PeerTable {
    static func lines(_ listing: PeerListing, colour: Bool) -> [String] {
        var table = TextTable([
            ("peer", .left), ("name", .left), ("state", .left), ("since", .right), ("address", .left),
            ("round trip", .right), ("cores", .right), ("GFLOP/s", .right), ("memory", .right),
        ])
        for peer in listing.peers {
            let style: TextStyle =
                switch peer.state {
                case .alive: .good
                case .suspect: .warning
                case .dead, .revoked: .bad
                case .left: .faint
                }
            let machine = peer.capability
            table.add([
                .init(String(peer.peer.prefix(10)), .accent), .init(peer.name + (peer.isSelf ? " (this)" : "")),
                .init(peer.state.rawValue, style), .init(HumanText.duration(seconds: peer.stateSeconds)),
                .init(peer.address ?? ""), .init(peer.roundTripSeconds.map { Figures.seconds($0) } ?? ""),
                .init(machine.map { "\($0.cores)" } ?? ""),
                .init(machine.map { Figures.significant($0.flopsPerSecond / 1e9) } ?? ""),
                .init(machine.map { Figures.bytes(Double($0.memoryBytes)) } ?? ""),
            ])
        }
        return table.lines(colour: colour)
    }
}
