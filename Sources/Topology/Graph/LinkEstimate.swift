package import Wire

/// One figure of a directed link, with where it comes from and how far it is to be trusted.
package struct LinkEstimate: Hashable, Sendable {
    /// Where a figure comes from.
    package enum Source: UInt8, Sendable {
        /// Nobody has measured it and no model has filled it in.
        case unknown = 0
        /// Measured on the link, or given by whoever wrote the problem.
        case measured = 1
        /// Filled in by a model from other links' measurements.
        case predicted = 2
    }

    /// Seconds or bytes per second, as the matrix that holds it says; meaningless if the source is unknown.
    package var value: Double
    package var source: Source
    /// From 0 (a guess) to 1 (as good as given). For a prediction this is 1 / (1 + relative error).
    package var confidence: Double

    package init(value: Double, source: Source, confidence: Double) {
        self.value = value
        self.source = source
        self.confidence = confidence
    }

    /// A measured figure.
    package static func measured(_ value: Double, confidence: Double = 1) -> LinkEstimate {
        LinkEstimate(value: value, source: .measured, confidence: confidence)
    }

    /// A figure predicted by a model with this relative error.
    package static func predicted(_ value: Double, relativeError: Double) -> LinkEstimate {
        LinkEstimate(value: value, source: .predicted, confidence: 1 / (1 + max(0, relativeError)))
    }

    /// No figure.
    package static let unknown = LinkEstimate(value: 0, source: .unknown, confidence: 0)

    /// Whether there is a figure at all.
    package var isKnown: Bool { source != .unknown }
}

extension LinkEstimate: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(source.rawValue)
        guard isKnown else { return }
        writer.write(value)
        writer.write(confidence)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        guard let source = Source(rawValue: try reader.read(UInt8.self)) else { throw .notCanonical }
        guard source != .unknown else {
            self = .unknown
            return
        }
        let value = try reader.readFiniteDouble()
        let confidence = try reader.readFiniteDouble()
        guard value >= 0, confidence >= 0, confidence <= 1 else { throw .outOfRange }
        self.init(value: value, source: source, confidence: confidence)
    }
}
