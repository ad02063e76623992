package import Primitives
package import Wire

/// What this peer believes about one peer (or itself) at one moment.
package struct Member: Hashable, Sendable {
    /// What the protocol believes.
    package enum State: UInt8, Hashable, Sendable, CaseIterable {
        /// Answers, or nobody has said otherwise.
        case alive
        /// Accused of not answering, and may still refute. Counts as live.
        case suspect
        /// Accused and not refuted in time.
        case dead
        /// Said goodbye.
        case left

        /// Whether the peer still takes part: alive or suspect.
        package var isLive: Bool { self == .alive || self == .suspect }
    }

    /// The newest record that the peer signed and we have seen.
    package var record: PeerRecord
    package var state: State
    /// When the state began.
    package var since: Instant
    /// Smoothed round trip of direct probes; `nil` before the first answer.
    package var roundTrip: Duration?

    package var peer: PeerID { record.peer }

    package init(record: PeerRecord, state: State, since: Instant, roundTrip: Duration? = nil) {
        self.record = record
        self.state = state
        self.since = since
        self.roundTrip = roundTrip
    }
}
