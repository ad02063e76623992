internal import Primitives
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

    /// Which model filled in a predicted figure.
    package enum Method: UInt8, CaseIterable, Sendable {
        /// Coordinates fitted to the measured round trips (`RoundTripModel`).
        case coordinate = 1
        /// The slower of the sender's uplink and the receiver's downlink (`AccessRateFit`).
        case access = 2
        /// Low-rank factors of the measured rates (`FactorisedRates`).
        case factorised = 3
        /// The other direction's measurement.
        case opposite = 4

        /// For people and JSON.
        package var name: String {
            switch self {
            case .coordinate: "coordinate"
            case .access: "access"
            case .factorised: "factorised"
            case .opposite: "opposite"
            }
        }
    }

    /// Seconds or bytes per second, as the matrix that holds it says; meaningless if the source is unknown.
    package var value: Double
    package var source: Source
    /// From 0 (a guess) to 1 (as good as given). For a prediction this is 1 / (1 + relative error).
    package var confidence: Double
    /// The model behind a prediction, and only that.
    package var method: Method?
    /// Natural logarithm of the factor that nine of ten predictions of this kind are off by at most; 0 for what was
    /// measured.
    package var spread: Double

    package init(value: Double, source: Source, confidence: Double, method: Method? = nil, spread: Double = 0) {
        self.value = value
        self.source = source
        self.confidence = confidence
        self.method = method
        self.spread = spread
    }

    /// A measured figure.
    package static func measured(_ value: Double, confidence: Double = 1) -> LinkEstimate {
        LinkEstimate(value: value, source: .measured, confidence: confidence)
    }

    /// A figure predicted by a model.
    package static func predicted(_ prediction: Prediction, by method: Method) -> LinkEstimate {
        LinkEstimate(
            value: prediction.value, source: .predicted, confidence: 1 / (1 + max(0, prediction.relativeError)),
            method: method, spread: prediction.spread)
    }

    /// Half of the predictions of this kind are off by less than this; `nil` unless predicted.
    package var relativeError: Double? { source == .predicted ? 1 / max(confidence, 1e-6) - 1 : nil }

    /// Where nine of ten truths are expected; `nil` unless predicted.
    package var interval: (low: Double, high: Double)? {
        guard source == .predicted else { return nil }
        let factor = Elementary.exp(spread)
        return (value / factor, value * factor)
    }

    /// The confidence of a measured figure on which the two ends do not agree. It stands for its own pair, because it is the lesser
    /// of two, but no other pair is predicted from it.
    package static let disputedConfidence = 0.25

    /// Whether the figure is in quarantine.
    package var isDisputed: Bool { source == .measured && confidence <= Self.disputedConfidence }

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
        guard source == .predicted else { return }
        writer.write(method?.rawValue ?? 0)
        writer.write(spread)
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
        guard source == .predicted else {
            self.init(value: value, source: source, confidence: confidence)
            return
        }
        let code = try reader.read(UInt8.self)
        let method = Method(rawValue: code)
        guard code == 0 || method != nil else { throw .notCanonical }
        let spread = try reader.readFiniteDouble()
        guard spread >= 0 else { throw .outOfRange }
        self.init(value: value, source: source, confidence: confidence, method: method, spread: spread)
    }
}
