import ArgumentParser
import Overlay
import Primitives
import Runtime
import Wire

/// Makes an identity and a swarm, and prints the ticket.
struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Make an identity and a new swarm; prints the swarm's ticket.",
        discussion: """
            Whoever has the ticket can join: hand it on like a password. With --closed this peer is the founder, and \
            only those may join whom it admits with `weft admit`.
            """)

    @Option(help: "This peer's name, as others see it (default: the host's name).")
    var name: String?

    @Option(help: "The swarm's name.")
    var swarm = "weft"

    @Option(help: "HOST:PORT where this peer will listen (default: 0.0.0.0:\(NodeConfiguration.defaultPort)).")
    var listen: String?

    @Option(help: "HOST:PORT by which others reach this peer, if not an address of its interfaces; repeatable.")
    var advertise: [String] = []

    @Flag(help: "Make a closed swarm: a ticket alone admits nobody; this peer decides with `weft admit`.")
    var closed = false

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let directory = state.directory
        if directory.hasSwarm {
            let present = try directory.ticket().swarmName
            throw CommandFailure(
                "\(directory.path) already belongs to the swarm \"\(present)\": `weft ticket` prints its ticket; give "
                    + "another directory with --state to make another swarm")
        }
        let saved = try directory.settings()
        let settings = saved.overridden(
            by: NodeSettings(name: name, listen: listen, advertise: advertise.isEmpty ? nil : advertise))
        let configuration = try NodeConfiguration(
            state: directory, settings: settings, bootstrap: [], version: Weft.version)
        try directory.create()
        let identity = try directory.identityKey()
        let contact = Contact(
            peer: identity.peer, agreementKey: try directory.agreementKey().publicKey,
            addresses: configuration.reachableAddresses(bound: configuration.listen))
        let ticket = try Ticket(
            swarmName: swarm, secret: SystemEntropy().secretBytes(count: Ticket.secretByteCount),
            founder: closed ? identity.peer : nil, contacts: [contact])
        try directory.save(settings.overridden(by: NodeSettings(name: configuration.name)))
        if closed {
            let version = MonotonicClock.wallMilliseconds
            try directory.save(admissionPages: [
                AdmissionPage.first(version: version, signer: Signer(try directory.identityKey()))
            ])
        }
        try directory.save(ticket)
        if output.json {
            try printJSON(
                Created(
                    peer: identity.peer.description, name: configuration.name, swarm: swarm, ticket: ticket.text,
                    stateDirectory: directory.path))
        } else {
            printError("Peer \(identity.peer.short) (\(configuration.name)) starts the swarm \"\(swarm)\".")
            printError("Run it with `weft up`; on other machines run `weft up --join` with this ticket:")
            if closed {
                printError(
                    "The swarm is closed: admit each machine with `weft admit ID`, which `weft id` prints there.")
            }
            print(ticket.text)
        }
    }

    private struct Created: Encodable {
        let peer: String
        let name: String
        let swarm: String
        let ticket: String
        let stateDirectory: String
    }
}
