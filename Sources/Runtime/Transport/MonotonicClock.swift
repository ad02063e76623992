internal import Foundation
package import NIOCore
package import Primitives

/// The system's clocks, read in shells only; cores are told the time.
package enum MonotonicClock {
    /// The monotonic clock that event loops use too; starts with the machine.
    package static var now: Instant { Instant(nanoseconds: Int64(clamping: NIODeadline.now().uptimeNanoseconds)) }

    /// Milliseconds since 1970, for handshake timestamps.
    package static var wallMilliseconds: UInt64 { UInt64(max(Date().timeIntervalSince1970 * 1000, 0)) }
}

extension Instant {
    /// The same moment as an event loop's deadline.
    package var deadline: NIODeadline { .uptimeNanoseconds(UInt64(max(nanoseconds, 0))) }
}
