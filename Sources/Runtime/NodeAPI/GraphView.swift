package import Primitives

/// The bandwidth and latency graph at one snapshot: `weft graph`.
package struct GraphView: Codable, Hashable, Sendable {
    /// Where a figure comes from.
    package enum Source: String, Codable, Sendable, CaseIterable {
        case measured, predicted, unknown
    }

    /// A peer of the graph.
    package struct Peer: Codable, Hashable, Sendable {
        package var peer: String
        package var name: String
        package var flopsPerSecond: Double
        package var memoryBytes: UInt64
        package var cores: Int
        package var onBattery: Bool

        package init(
            peer: PeerID, name: String, flopsPerSecond: Double, memoryBytes: UInt64, cores: Int, onBattery: Bool
        ) {
            self.peer = peer.description
            self.name = name
            self.flopsPerSecond = flopsPerSecond
            self.memoryBytes = memoryBytes
            self.cores = cores
            self.onBattery = onBattery
        }
    }

    /// A directed pair: bytes travel from `from` to `to`.
    package struct Link: Codable, Hashable, Sendable {
        package var from: String
        package var to: String
        package var roundTripSeconds: Double?
        package var roundTripSource: Source
        package var jitterSeconds: Double?
        package var lossFraction: Double?
        package var bandwidthBytesPerSecond: Double?
        package var bandwidthSource: Source
        /// Expected relative error of a predicted figure, where the predictor gives one.
        package var bandwidthRelativeError: Double?
        /// Whether the two ends' reports of this link disagree.
        package var disagrees: Bool
        /// Packet trains or stream samples behind the bandwidth.
        package var samples: Int

        package init(
            from: PeerID, to: PeerID, roundTripSeconds: Double?, roundTripSource: Source, jitterSeconds: Double? = nil,
            lossFraction: Double? = nil, bandwidthBytesPerSecond: Double?, bandwidthSource: Source,
            bandwidthRelativeError: Double? = nil, disagrees: Bool = false, samples: Int = 0
        ) {
            self.from = from.description
            self.to = to.description
            self.roundTripSeconds = roundTripSeconds
            self.roundTripSource = roundTripSource
            self.jitterSeconds = jitterSeconds
            self.lossFraction = lossFraction
            self.bandwidthBytesPerSecond = bandwidthBytesPerSecond
            self.bandwidthSource = bandwidthSource
            self.bandwidthRelativeError = bandwidthRelativeError
            self.disagrees = disagrees
            self.samples = samples
        }
    }

    /// Snapshot digest, equal on all peers once quiet.
    package var digest: String
    /// Live peers by identity.
    package var peers: [Peer]
    /// All directed pairs of them, by sender and then receiver.
    package var links: [Link]

    package init(digest: String, peers: [Peer], links: [Link]) {
        self.digest = digest
        self.peers = peers
        self.links = links
    }

    /// The pair's link, if the graph has one.
    package func link(from: String, to: String) -> Link? { links.first { $0.from == from && $0.to == to } }
}
