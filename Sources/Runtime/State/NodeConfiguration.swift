internal import Foundation
package import Primitives
package import Wire

/// All that a node needs to start, resolved and checked; made from options, the configuration file and the state
/// directory.
package struct NodeConfiguration: Hashable, Sendable {
    /// UDP and TCP port unless told otherwise.
    package static let defaultPort: UInt16 = 7600

    package var state: StateDirectory
    package var name: String
    /// Where to listen; port 0 lets the system choose.
    package var listen: NetworkAddress
    /// Addresses to give to others before those of the interfaces.
    package var advertise: [NetworkAddress]
    /// Contacts of the ticket, to be asked first.
    package var bootstrap: [Contact]
    /// Whether to look for peers on the local network by multicast.
    package var discovery: Bool
    /// Whether to offer itself as a coordinator of jobs.
    package var coordinator: Bool
    /// Overrides of what is detected.
    package var memoryBytes: UInt64?
    package var flopsPerSecond: Double?
    /// A `weft.topology/1` file after which this process shapes its traffic (demo and tests only).
    package var topologyFile: String?
    /// Version of the software, for the capability entry.
    package var version: String

    package init(
        state: StateDirectory, name: String, listen: NetworkAddress, advertise: [NetworkAddress] = [],
        bootstrap: [Contact] = [], discovery: Bool = true, coordinator: Bool = true, memoryBytes: UInt64? = nil,
        flopsPerSecond: Double? = nil, topologyFile: String? = nil, version: String
    ) {
        self.state = state
        self.name = name
        self.listen = listen
        self.advertise = advertise
        self.bootstrap = bootstrap
        self.discovery = discovery
        self.coordinator = coordinator
        self.memoryBytes = memoryBytes
        self.flopsPerSecond = flopsPerSecond
        self.topologyFile = topologyFile
        self.version = version
    }

    /// Resolves settings; throws a sentence for a bad name or address.
    package init(
        state: StateDirectory, settings: NodeSettings, bootstrap: [Contact], topologyFile: String? = nil,
        version: String
    ) throws {
        let name = settings.name ?? Self.defaultName
        guard Ticket.isAcceptable(name: name) else { throw TicketError.unusableName }
        let listen = settings.listen ?? "0.0.0.0:\(Self.defaultPort)"
        self.init(
            state: state, name: name, listen: try AddressText.resolve(listen, defaultPort: Self.defaultPort),
            advertise: try (settings.advertise ?? []).map {
                try AddressText.resolve($0, defaultPort: Self.defaultPort)
            },
            bootstrap: bootstrap, discovery: settings.discovery ?? true, coordinator: settings.coordinator ?? true,
            memoryBytes: settings.memoryBytes, flopsPerSecond: settings.flopsPerSecond, topologyFile: topologyFile,
            version: version)
    }

    /// The host's name up to its first dot.
    package static var defaultName: String {
        let host = ProcessInfo.processInfo.hostName
        let short = String(host.prefix { $0 != "." })
        return Ticket.isAcceptable(name: short) ? short : "peer"
    }

    /// The addresses to give to others while listening on `bound`: those asked for, then `bound` itself, or the
    /// interfaces' when it is every one of them.
    package func reachableAddresses(bound: NetworkAddress) -> [NetworkAddress] {
        let own = bound.isUnspecified ? InterfaceAddresses.reachable(port: bound.port) : [bound]
        var addresses: [NetworkAddress] = []
        for address in advertise + own where !addresses.contains(address) { addresses.append(address) }
        return Array(addresses.prefix(Limits.addressesPerRecord))
    }
}
