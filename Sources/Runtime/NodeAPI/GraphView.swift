package import Primitives

/// The bandwidth and latency graph at one snapshot: `weft graph`.
package struct GraphView: Codable, Hashable, Sendable {
    /// Where a figure comes from.
    package enum Source: String, Codable, Sendable, CaseIterable {
        case measured, predicted, unknown
    }

    /// Which model predicted a figure.
    package enum Method: String, Codable, Sendable, CaseIterable {
        /// Coordinates fitted to the measured round trips.
        case coordinate
        /// The slower of the sender's uplink and the receiver's downlink.
        case access
        /// Low-rank factors of the measured rates.
        case factorised
        /// The other direction's measurement.
        case opposite
    }

    /// A prediction's error.
    package struct Uncertainty: Codable, Hashable, Sendable {
        package var method: Method?
        /// Half of such predictions are off by less.
        package var relativeError: Double
        /// Nine of ten truths lie between these; in the unit of the figure.
        package var low: Double
        package var high: Double

        package init(method: Method?, relativeError: Double, low: Double, high: Double) {
            self.method = method
            self.relativeError = relativeError
            self.low = low
            self.high = high
        }
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
        /// From 0 (a guess) to 1 (as good as given), of the bandwidth.
        package var confidence: Double
        /// Seconds since this node heard the report that the measured figures are from; `nil` if nothing was measured.
        package var ageSeconds: Double?
        /// Of predicted figures.
        package var roundTripUncertainty: Uncertainty?
        package var bandwidthUncertainty: Uncertainty?
        /// Whether the two ends' reports of this link disagree.
        package var disagrees: Bool
        /// Packet trains or stream samples behind the bandwidth.
        package var samples: Int

        package init(
            from: PeerID, to: PeerID, roundTripSeconds: Double?, roundTripSource: Source, jitterSeconds: Double? = nil,
            lossFraction: Double? = nil, bandwidthBytesPerSecond: Double?, bandwidthSource: Source,
            bandwidthRelativeError: Double? = nil, confidence: Double = 1, ageSeconds: Double? = nil,
            roundTripUncertainty: Uncertainty? = nil, bandwidthUncertainty: Uncertainty? = nil, disagrees: Bool = false,
            samples: Int = 0
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
            self.confidence = confidence
            self.ageSeconds = ageSeconds
            self.roundTripUncertainty = roundTripUncertainty
            self.bandwidthUncertainty = bandwidthUncertainty
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
