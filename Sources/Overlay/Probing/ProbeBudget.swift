package import Primitives

/// What a peer may spend on packet trains: two token buckets, one of bytes and one of the time that its access link is
/// taken. The first keeps fast links from costing processor time, the second keeps slow ones free for others.
///
/// A bucket is full at the start, so that a whole first graph can be measured at once; afterwards it fills at the rate of the
/// budget. A session is not cut short by an empty bucket: it leaves a debt, and the next one waits until that is paid.
package struct ProbeBudget: Hashable, Sendable {
    package struct Policy: Hashable, Sendable {
        /// Bytes of trains each way: what thirty partners at 150 Mbit/s take for the first time.
        package var depthBytes: Double = 24e6
        /// A byte of trains costs some 13 ns of processor time, so that this is less than a thousandth of a processor.
        package var bytesPerSecond: Double = 64_000
        /// Time of the access link: 31 partners take 40 ms each for the first time.
        package var depthSeconds = 1.5
        /// Share of the access link. Membership and gossip come on top, and the sum stays below 0.5 % on average.
        package var share = 0.003

        package init() {}
    }

    private let policy: Policy
    private var bytes: Double
    private var linkSeconds: Double
    private var updatedAt: Instant?

    package init(policy: Policy = Policy()) {
        self.policy = policy
        bytes = policy.depthBytes
        linkSeconds = policy.depthSeconds
    }

    /// Bytes that may be spent on a session now; not negative. What somebody asked for may take all that it needs.
    package mutating func allowance(for purpose: TrainSession.Purpose, at now: Instant) -> Int {
        refill(at: now)
        guard purpose == .routine else { return .max }
        return linkSeconds > 0 ? Int(max(bytes, 0)) : 0
    }

    /// When a session that somebody asked for is accepted: as soon as the debt is less than a full bucket.
    package mutating func bearable(at now: Instant) -> Instant {
        refill(at: now)
        let missing = max(-policy.depthBytes - bytes, 0) / policy.bytesPerSecond
        let owed = max(-policy.depthSeconds - linkSeconds, 0) / policy.share
        return now + .milliseconds(Int64((max(missing, owed) * 1000).rounded(.up)))
    }

    /// When a session that costs this may begin: at once if its bytes are there and no debt of link time is left. One that
    /// costs more than a full bucket begins when that is full.
    package mutating func begin(bytes wanted: Double, at now: Instant) -> Instant {
        refill(at: now)
        let missing = max(min(wanted, policy.depthBytes) - bytes, 0) / policy.bytesPerSecond
        let owed = max(-linkSeconds, 0) / policy.share
        // Up to the next millisecond: a deadline that comes a rounding error too early would come again and again.
        return now + .milliseconds(Int64((max(missing, owed) * 1000).rounded(.up)))
    }

    /// Pays for a session: the bytes of the direction that carried more of them, and the time for which it took this peer's
    /// access link.
    package mutating func spend(bytes spent: Int, linkSeconds taken: Double, at now: Instant) {
        refill(at: now)
        bytes -= Double(spent)
        linkSeconds -= taken
    }

    private mutating func refill(at now: Instant) {
        if let updatedAt, now > updatedAt {
            let seconds = (now - updatedAt).seconds
            bytes = min(bytes + seconds * policy.bytesPerSecond, policy.depthBytes)
            linkSeconds = min(linkSeconds + seconds * policy.share, policy.depthSeconds)
        }
        updatedAt = updatedAt.map { max($0, now) } ?? now
    }
}
