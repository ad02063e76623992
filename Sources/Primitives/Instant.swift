/// A point on a monotonic clock that starts somewhere; only differences mean anything.
///
/// Pure rooms never read a clock: the shell (or the simulator) passes the current instant in.
package struct Instant: InstantProtocol, Hashable, Sendable {
    /// Nanoseconds since the clock's unknown start.
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package func advanced(by duration: Duration) -> Instant {
        Instant(nanoseconds: nanoseconds &+ duration.nanoseconds)
    }

    package func duration(to other: Instant) -> Duration { .nanoseconds(other.nanoseconds &- nanoseconds) }

    package static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    package static func + (left: Instant, right: Duration) -> Instant { left.advanced(by: right) }

    package static func - (left: Instant, right: Instant) -> Duration { right.duration(to: left) }
}

extension Duration {
    /// Whole nanoseconds, saturated at the range of `Int64` (292 years).
    package var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, sumOverflow) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return sumOverflow ? (seconds < 0 ? .min : .max) : sum
    }

    /// Seconds as a floating-point number.
    package var seconds: Double { Double(nanoseconds) / 1e9 }

    /// Milliseconds as a floating-point number.
    package var milliseconds: Double { Double(nanoseconds) / 1e6 }
}
