package import Primitives

/// What real streams carried to a peer in some time.
package struct DeliverySample: Hashable, Sendable {
    /// Share of a TCP segment of 1,448 bytes in its 1,500 bytes of IP packet, against that of 1,200 bytes of UDP payload in 1,228:
    /// a link's figures are rates of the latter.
    private static let perPayload = (1200.0 / 1228) / (1448.0 / 1500)

    /// Bytes handed to the connections.
    package var bytes: UInt64
    package var duration: Duration
    /// Whether at least one stream had something to send all the time, so that the link, the peer or other traffic was the limit.
    package var isSaturated: Bool

    package init(bytes: UInt64, duration: Duration, isSaturated: Bool) {
        self.bytes = bytes
        self.duration = duration
        self.isSaturated = isSaturated
    }

    /// Bytes as a link's figures count them.
    var linkBytes: Double { Double(bytes) * Self.perPayload }
}

/// Holds the rate at which real streams leave for a peer against the link's figure.
///
/// A stream that always has something to send goes as fast as the link lets it (the delivery rate of BBR, Cardwell et al.
/// 2016), if the peer reads fast enough and no other traffic shares the link. So a rate like the figure bears that out, and no
/// probe is needed; another rate is only a reason to measure the link now, because it may be the peer's or other traffic's.
/// Bytes are counted when the connection takes them, so the first time is left out, in which the socket's buffer fills.
package struct PassiveMonitor: Hashable, Sendable {
    package struct Policy: Hashable, Sendable {
        /// A rate is taken over at least this time of saturation: a few round trips even across the world.
        package var window: Duration = .seconds(2)
        /// Rates within this share of the figure bear it out.
        package var agreement = 0.15
        /// Windows in a row that differ before it is measured.
        package var windows = 2
        /// A deviation that a measurement did not confirm is no reason for another one for so long, twice as long each time.
        package var rest: Duration = .seconds(60)
        package var longestRest: Duration = .seconds(600)

        package init() {}
    }

    package enum Verdict: Hashable, Sendable {
        /// Nothing new.
        case none
        /// The figure holds.
        case confirmed
        /// The figure is to be measured now.
        case suspect
    }

    private var isRunning = false
    private var bytes = 0.0
    private var seconds = 0.0
    private var deviations = 0
    private var suspected: Bandwidth?
    private var restUntil: Instant?
    private var refutations = 0

    package init() {}

    /// The rate of the last full window.
    package private(set) var rate: Bandwidth?

    /// Takes in what streams carried since the last sample, of which there should be one a second or so.
    package mutating func record(
        _ sample: DeliverySample, known: Bandwidth, policy: Policy = Policy(), at now: Instant
    ) -> Verdict {
        guard sample.isSaturated, sample.duration > .zero else {
            (isRunning, bytes, seconds) = (false, 0, 0)
            return .none
        }
        guard isRunning else {
            isRunning = true
            return .none
        }
        bytes += sample.linkBytes
        seconds += sample.duration.seconds
        guard seconds >= policy.window.seconds else { return .none }
        let rate = Bandwidth(bytesPerSecond: bytes / seconds)
        (bytes, seconds) = (0, 0)
        self.rate = rate
        guard known > .zero else { return .none }
        guard Self.differ(rate, known, by: policy.agreement) else {
            (deviations, suspected, restUntil, refutations) = (0, nil, nil, 0)
            return .confirmed
        }
        deviations += 1
        guard deviations >= policy.windows else { return .none }
        if let restUntil, now < restUntil, let suspected, !Self.differ(rate, suspected, by: 2 * policy.agreement) {
            return .none
        }
        let rest = policy.rest * (1 << min(refutations, 5))
        restUntil = now + min(rest, policy.longestRest)
        refutations += 1
        suspected = rate
        deviations = 0
        return .suspect
    }

    private static func differ(_ left: Bandwidth, _ right: Bandwidth, by share: Double) -> Bool {
        abs(left.bytesPerSecond - right.bytesPerSecond) > share * max(left.bytesPerSecond, right.bytesPerSecond)
    }
}
