package import Primitives

/// `weft ping`: asks a peer to answer, again and again.
package struct PingRequest: Codable, Hashable, Sendable {
    /// A full identity.
    package var peer: String
    /// How many pings; `nil` goes on until the caller hangs up.
    package var count: Int?
    package var intervalSeconds: Double

    package init(peer: PeerID, count: Int?, intervalSeconds: Double) {
        self.peer = peer.description
        self.count = count
        self.intervalSeconds = intervalSeconds
    }
}

/// One ping's outcome.
package struct PingReply: Codable, Hashable, Sendable {
    /// From 0.
    package var sequence: Int
    /// Where the answer came from, or where the ping went.
    package var address: String?
    /// `nil` if no answer came in time.
    package var roundTripSeconds: Double?

    package init(sequence: Int, address: String?, roundTripSeconds: Double?) {
        self.sequence = sequence
        self.address = address
        self.roundTripSeconds = roundTripSeconds
    }
}

/// `weft probe`: measures a link now.
package struct ProbeRequest: Codable, Hashable, Sendable {
    /// A full identity.
    package var peer: String
    /// Whether what other traffic leaves free is wanted, too; takes some seconds.
    package var measuresAvailable: Bool?

    package init(peer: PeerID, measuresAvailable: Bool? = nil) {
        self.peer = peer.description
        self.measuresAvailable = measuresAvailable
    }
}

/// What an on-demand measurement found.
package struct ProbeReport: Codable, Hashable, Sendable {
    package var peer: String
    package var name: String
    package var minimumRoundTripSeconds: Double?
    package var jitterSeconds: Double?
    package var lossFraction: Double?
    /// From this node to the peer, as the peer measured it.
    package var sendBytesPerSecond: Double?
    /// From the peer to this node, as this node measured it.
    package var receiveBytesPerSecond: Double?
    /// Rate at which a token bucket lets the first packets through in each direction, where there is one; the two figures
    /// above are the sustained rates behind it.
    package var sendBurstBytesPerSecond: Double?
    package var receiveBurstBytesPerSecond: Double?
    /// What other traffic leaves free in each direction; only if asked for.
    package var sendAvailableBytesPerSecond: Double?
    package var receiveAvailableBytesPerSecond: Double?
    /// Packet trains behind the two figures.
    package var samples: Int
    package var elapsedSeconds: Double

    package init(
        peer: PeerID, name: String, minimumRoundTripSeconds: Double?, jitterSeconds: Double?, lossFraction: Double?,
        sendBytesPerSecond: Double?, receiveBytesPerSecond: Double?, sendBurstBytesPerSecond: Double? = nil,
        receiveBurstBytesPerSecond: Double? = nil, sendAvailableBytesPerSecond: Double? = nil,
        receiveAvailableBytesPerSecond: Double? = nil, samples: Int, elapsedSeconds: Double
    ) {
        self.sendAvailableBytesPerSecond = sendAvailableBytesPerSecond
        self.receiveAvailableBytesPerSecond = receiveAvailableBytesPerSecond
        self.peer = peer.description
        self.name = name
        self.minimumRoundTripSeconds = minimumRoundTripSeconds
        self.jitterSeconds = jitterSeconds
        self.lossFraction = lossFraction
        self.sendBytesPerSecond = sendBytesPerSecond
        self.receiveBytesPerSecond = receiveBytesPerSecond
        self.sendBurstBytesPerSecond = sendBurstBytesPerSecond
        self.receiveBurstBytesPerSecond = receiveBurstBytesPerSecond
        self.samples = samples
        self.elapsedSeconds = elapsedSeconds
    }
}
