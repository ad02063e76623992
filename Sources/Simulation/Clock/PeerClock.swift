package import Primitives

/// How wrong the peers' clocks may be.
package struct ClockProfile: Hashable, Sendable {
    /// Clocks run fast or slow by up to this share, in parts per million; a cheap crystal is within 100.
    package var driftPartsPerMillion: Int
    /// Clocks were set wrong by up to this, in both directions.
    package var offset: Duration

    package init(driftPartsPerMillion: Int = 0, offset: Duration = .zero) {
        self.driftPartsPerMillion = driftPartsPerMillion
        self.offset = offset
    }

    /// Every clock shows the virtual time.
    package static let exact = ClockProfile()
}

/// One peer's clock, as a line over the virtual time. Peers never see the virtual time itself.
package struct PeerClock: Hashable, Sendable {
    private let drift: Int64
    private let offset: Int64

    private static let million: Int64 = 1_000_000

    package init(driftPartsPerMillion: Int = 0, offset: Duration = .zero) {
        drift = Int64(driftPartsPerMillion)
        self.offset = offset.nanoseconds
    }

    /// Draws a clock.
    package init(profile: ClockProfile, using generator: inout SeededGenerator) {
        func share() -> Double { generator.unit() * 2 - 1 }
        drift = Int64(share() * Double(profile.driftPartsPerMillion))
        offset = Int64(share() * Double(profile.offset.nanoseconds))
    }

    /// What the clock shows at a virtual time.
    package func local(_ time: Instant) -> Instant {
        let (quotient, rest) = time.nanoseconds.quotientAndRemainder(dividingBy: Self.million)
        return Instant(nanoseconds: time.nanoseconds + quotient * drift + rest * drift / Self.million + offset)
    }

    /// The first virtual nanosecond at which the clock shows an instant or more.
    package func virtual(_ local: Instant) -> Instant {
        let passed = local.nanoseconds - offset
        let rate = Self.million + drift
        let (quotient, rest) = passed.quotientAndRemainder(dividingBy: rate)
        var time = Instant(nanoseconds: quotient * Self.million + rest * Self.million / rate)
        while self.local(time) < local { time.nanoseconds += 1 }
        while self.local(Instant(nanoseconds: time.nanoseconds - 1)) >= local { time.nanoseconds -= 1 }
        return time
    }
}
