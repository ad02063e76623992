import ArgumentParser
import Control
import Primitives
import Runtime
import Wire

/// Prints a ticket with this peer as the first one to ask.
struct TicketCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ticket", abstract: "Print a ticket with which others can join this peer's swarm.")

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let directory = state.directory
        try printTicket(directory, addresses: try await ownAddresses(directory))
    }

    /// Synchronous, so that the move-only ticket never lives across a suspension.
    private func printTicket(_ directory: StateDirectory, addresses: [NetworkAddress]) throws {
        let stored = try directory.ticket()
        let own = Contact(
            peer: try directory.identityKey().peer, agreementKey: try directory.agreementKey().publicKey,
            addresses: addresses)
        let ticket = try stored.replacingContacts([own] + stored.contacts.filter { $0.peer != own.peer })
        if output.json {
            try printJSON(
                Printed(
                    ticket: ticket.text, swarm: ticket.swarmName,
                    contacts: ticket.contacts.map {
                        Printed.Contact(peer: $0.peer.description, addresses: $0.addresses.map(\.description))
                    }))
        } else {
            print(ticket.text)
        }
    }

    /// Those of the running node, which knows its port; else those that it would have.
    private func ownAddresses(_ directory: StateDirectory) async throws -> [NetworkAddress] {
        if let status = try? await ControlClient(state: directory).status() {
            let addresses = status.addresses.compactMap { NetworkAddress($0) }
            if !addresses.isEmpty { return addresses }
        }
        let configuration = try NodeConfiguration(
            state: directory, settings: try directory.settings(), bootstrap: [], version: Weft.version)
        return configuration.reachableAddresses(bound: configuration.listen)
    }

    private struct Printed: Encodable {
        struct Contact: Encodable {
            let peer: String
            let addresses: [String]
        }

        let ticket: String
        let swarm: String
        let contacts: [Contact]
    }
}
