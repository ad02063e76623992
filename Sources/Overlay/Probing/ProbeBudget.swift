package import Primitives

/// What a peer may spend on packet trains: two token buckets, one of bytes and one of the time that its access link is
/// taken. The first keeps fast links from costing processor time, the second keeps slow ones free for others.
///
/// A bucket is full at the start, so that a whole first graph can be measured at once; afterwards it fills at the rate of the
/// budget. A session is not cut short by an empty bucket: it leaves a debt, and the next one waits until that is paid.
///
/// Trains that disagree, although there were many of them, mostly mean that a machine at one of their ends has no time for them;
/// more of them would take even more of it. So the bucket of bytes shrinks to half with every such session, its rate with it,
/// and grows again by an eighth of the whole with every session that comes to a figure.
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
        /// The least that is left of the first bucket's depth and rate after sessions that came to nothing: 4 kB a second.
        package var leastEffort = 1.0 / 16
        /// The share of the whole that a session with a figure gives back. As with TCP's windows, many failures among as many
        /// successes leave little.
        package var recovery = 1.0 / 8

        package init() {}
    }

    private let policy: Policy
    private var bytes: Double
    private var linkSeconds: Double
    private var updatedAt: Instant?
    /// What is left of the bucket of bytes, and of the rate at which it fills.
    private var effort = 1.0

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
        let missing = max(-policy.depthBytes - bytes, 0) / bytesPerSecond
        let owed = max(-policy.depthSeconds - linkSeconds, 0) / policy.share
        return now + .milliseconds(Int64((max(missing, owed) * 1000).rounded(.up)))
    }

    /// When a session that costs this may begin: at once if its bytes are there and no debt of link time is left. One that
    /// costs more than a full bucket begins when that is full.
    package mutating func begin(bytes wanted: Double, at now: Instant) -> Instant {
        refill(at: now)
        let missing = max(min(wanted, depthBytes) - bytes, 0) / bytesPerSecond
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

    /// A session came to a figure, or its trains disagreed to the end.
    package mutating func note(settled: Bool, at now: Instant) {
        refill(at: now)
        effort = settled ? min(effort + policy.recovery, 1) : max(effort / 2, policy.leastEffort)
        bytes = min(bytes, depthBytes)
    }

    private var depthBytes: Double { policy.depthBytes * effort }
    private var bytesPerSecond: Double { policy.bytesPerSecond * effort }

    private mutating func refill(at now: Instant) {
        if let updatedAt, now > updatedAt {
            let seconds = (now - updatedAt).seconds
            bytes = min(bytes + seconds * bytesPerSecond, depthBytes)
            linkSeconds = min(linkSeconds + seconds * policy.share, policy.depthSeconds)
        }
        updatedAt = updatedAt.map { max($0, now) } ?? now
    }
}
