package import Primitives
package import Wire

/// What one peer knows of its link to another, as it stands in the signed `links` entries.
///
/// Both ends publish their own report of the same link: the receiver's figure is the measurement, and what the peer said
/// of the other direction stands beside it, so that pairs that disagree are visible to everyone.
package struct LinkReport: Hashable, Sendable {
    /// How good the bandwidth figures are.
    package enum Confidence: UInt8, Comparable, Sendable {
        /// No bandwidth was measured, only the round trip.
        case roundTripOnly = 0
        /// Fewer than three trains, or trains that differ by more than a quarter.
        case coarse = 1
        /// At least three trains each way that agree.
        case fine = 2

        package static func < (left: Confidence, right: Confidence) -> Bool { left.rawValue < right.rawValue }
    }

    /// The first eight bytes of the other end's identity. A whole one would be most of a report, and gossip takes every report
    /// to everybody; to make a second key that begins with given eight bytes takes 2⁶⁴ tries, and wins the name of a link.
    package var prefix: UInt64
    /// Least round trip of the last five to ten minutes.
    package var minimumRoundTrip: Duration
    /// Smoothed difference of consecutive round trips (RFC 3550).
    package var jitter: Duration
    /// Share of small packets lost on the round trip, 0...1.
    package var loss: Double
    /// Rate of UDP payload from the peer to the owner, measured by the owner; zero if unknown.
    package var receiveBandwidth: Bandwidth
    /// Rate of UDP payload from the owner to the peer, measured by the peer and reported back; zero if unknown.
    package var sendBandwidth: Bandwidth
    package var confidence: Confidence
    /// Trains behind the bandwidth figures, both directions together, at most 255.
    package var samples: UInt8

    package init(
        peer: PeerID, minimumRoundTrip: Duration, jitter: Duration = .zero, loss: Double = 0,
        receiveBandwidth: Bandwidth = .zero, sendBandwidth: Bandwidth = .zero,
        confidence: Confidence = .roundTripOnly, samples: UInt8 = 0
    ) {
        prefix = peer.prefix
        self.minimumRoundTrip = minimumRoundTrip
        self.jitter = jitter
        self.loss = loss
        self.receiveBandwidth = receiveBandwidth
        self.sendBandwidth = sendBandwidth
        self.confidence = confidence
        self.samples = samples
    }

    /// The report as others will decode it.
    package var quantised: LinkReport {
        var writer = WireWriter()
        encode(to: &writer)
        return (try? LinkReport(wireBytes: writer.bytes)) ?? self
    }
}

extension LinkReport: WireCodable {
    /// Bytes of one encoded report.
    package static let byteCount = 20

    package func encode(to writer: inout WireWriter) {
        writer.write(prefix.byteSwapped)
        writer.write(FloatCode.encode(minimumRoundTrip.seconds))
        writer.write(FloatCode.encode(jitter.seconds))
        writer.write(UInt16(max(0, min(1, loss)) * Self.lossUnits + 0.5))
        writer.write(FloatCode.encode(receiveBandwidth.bytesPerSecond))
        writer.write(FloatCode.encode(sendBandwidth.bytesPerSecond))
        writer.write(confidence.rawValue)
        writer.write(samples)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let bytes: UInt64 = try reader.read()
        prefix = bytes.byteSwapped
        minimumRoundTrip = try Self.duration(&reader)
        jitter = try Self.duration(&reader)
        let units: UInt16 = try reader.read()
        guard Double(units) <= Self.lossUnits else { throw .outOfRange }
        loss = Double(units) / Self.lossUnits
        receiveBandwidth = Bandwidth(bytesPerSecond: try Self.quantity(&reader))
        sendBandwidth = Bandwidth(bytesPerSecond: try Self.quantity(&reader))
        guard let confidence = Confidence(rawValue: try reader.read()) else { throw .outOfRange }
        self.confidence = confidence
        samples = try reader.read()
    }

    /// Loss is coded in hundredths of a percent.
    private static let lossUnits: Double = 10_000
    /// Longer times than a day are refused: they would not be round trips.
    private static let maximumSeconds: Double = 86_400

    private static func quantity(_ reader: inout WireReader) throws(WireError) -> Double {
        guard let value = FloatCode.decode(try reader.read()) else { throw .outOfRange }
        return value
    }

    private static func duration(_ reader: inout WireReader) throws(WireError) -> Duration {
        let code: UInt16 = try reader.read()
        guard let seconds = FloatCode.decode(code), seconds <= maximumSeconds else { throw .outOfRange }
        let duration = Duration.nanoseconds(Int64((seconds * 1e9).rounded()))
        // Below a microsecond several codes round to the same nanosecond; only one of them is ever written.
        guard FloatCode.encode(duration.seconds) == code else { throw .notCanonical }
        return duration
    }
}

/// The value of one `links` entry: some of the owner's reports, sorted by prefix.
package struct LinksPage: Hashable, Sendable {
    /// Reports in one page, so that its entry fits a datagram with its owner, version and signature.
    package static let capacity = 40

    package var reports: [LinkReport]

    package init(reports: [LinkReport]) { self.reports = reports }
}

extension LinksPage: WireCodable {
    private static let version: UInt8 = 1

    package func encode(to writer: inout WireWriter) {
        writer.write(Self.version)
        writer.write(reports)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let version: UInt8 = try reader.read()
        guard version == Self.version else { throw .unknownVersion(version) }
        reports = try reader.readArray(of: LinkReport.self, maximum: Limits.linksPerEntry)
        for (earlier, later) in zip(reports, reports.dropFirst()) where earlier.prefix >= later.prefix {
            throw .notCanonical
        }
    }
}
