internal import Primitives

/// Smoothed round trip and its deviation, as TCP keeps them (RFC 6298, section 2).
package struct RoundTripEstimator: Hashable, Sendable {
    /// Smoothed round trip; `nil` before the first sample.
    package private(set) var smoothed: Duration?
    private var deviation: Duration = .zero

    package init() {}

    package mutating func add(_ sample: Duration) {
        let sample = max(sample, .zero)
        guard let smoothed else {
            self.smoothed = sample
            deviation = sample / 2
            return
        }
        let error = sample > smoothed ? sample - smoothed : smoothed - sample
        deviation = (deviation * 3 + error) / 4
        self.smoothed = (smoothed * 7 + sample) / 8
    }

    /// The time in which an answer should have come: four deviations over the mean; `nil` before the first sample.
    package var patience: Duration? { smoothed.map { $0 + deviation * 4 } }
}
