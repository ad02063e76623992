internal import Foundation

/// What a node is called and where it listens, as kept in `node.json` and as read from `weft up --config FILE`.
///
/// Every key may be missing; an option on the command line wins over the file, the file over the default.
package struct NodeSettings: Codable, Hashable, Sendable {
    /// The name that others see.
    package var name: String?
    /// HOST:PORT for datagrams and streams.
    package var listen: String?
    /// HOST:PORT by which others reach this node, when that is not an address of its interfaces.
    package var advertise: [String]?
    /// Whether to look for peers on the local network by multicast.
    package var discovery: Bool?
    /// Whether to offer itself as a coordinator of jobs.
    package var coordinator: Bool?
    /// Memory for weights and activations, when it is not what was detected.
    package var memoryBytes: UInt64?
    /// Speed for the planner, when it is not what was measured.
    package var flopsPerSecond: Double?

    package init(
        name: String? = nil, listen: String? = nil, advertise: [String]? = nil, discovery: Bool? = nil,
        coordinator: Bool? = nil, memoryBytes: UInt64? = nil, flopsPerSecond: Double? = nil
    ) {
        self.name = name
        self.listen = listen
        self.advertise = advertise
        self.discovery = discovery
        self.coordinator = coordinator
        self.memoryBytes = memoryBytes
        self.flopsPerSecond = flopsPerSecond
    }

    /// These settings with what `other` sets instead.
    package func overridden(by other: NodeSettings) -> NodeSettings {
        NodeSettings(
            name: other.name ?? name, listen: other.listen ?? listen, advertise: other.advertise ?? advertise,
            discovery: other.discovery ?? discovery, coordinator: other.coordinator ?? coordinator,
            memoryBytes: other.memoryBytes ?? memoryBytes, flopsPerSecond: other.flopsPerSecond ?? flopsPerSecond)
    }
}

extension NodeSettings {
    /// Reads a configuration file.
    package init(file path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw FileError("read", path, reason: "there is no such file, or it is not readable")
        }
        do { self = try JSONDecoder().decode(NodeSettings.self, from: data) } catch {
            throw FileError("use", path, reason: "it is not a JSON object with a node's settings")
        }
    }
}
