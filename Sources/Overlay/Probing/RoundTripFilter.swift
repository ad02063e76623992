package import Primitives

/// Round trip and jitter of one link from single round trips.
package struct RoundTripFilter: Hashable, Sendable {
    /// A minimum is forgotten after one to two of these, so that a route that became longer is noticed.
    package static let windowSeconds: Double = 300

    private var windowStart: Instant?
    private var current: Duration?
    private var previous: Duration?
    private var last: Duration?

    /// Smoothed difference of consecutive round trips with gain 1/16 (RFC 3550, 6.4.1).
    package private(set) var jitter: Duration = .zero
    /// Samples so far.
    package private(set) var samples = 0

    package init() {}

    /// The least round trip of the present and the previous window; `nil` before the first sample. The least is the path
    /// itself; everything above it is queueing and scheduling.
    package var minimum: Duration? {
        guard let current else { return previous }
        return previous.map { min($0, current) } ?? current
    }

    /// The latest round trip.
    package var latest: Duration? { last }

    /// Takes in one round trip; negative ones are ignored.
    package mutating func record(_ sample: Duration, at now: Instant) {
        guard sample >= .zero else { return }
        if let start = windowStart, (now - start).seconds < Self.windowSeconds {
            current = current.map { min($0, sample) } ?? sample
        } else {
            previous = current
            current = sample
            windowStart = now
        }
        if let last {
            let difference = sample > last ? sample - last : last - sample
            jitter = .nanoseconds(jitter.nanoseconds + (difference.nanoseconds - jitter.nanoseconds) / 16)
        }
        last = sample
        samples += 1
    }
}
