internal import Primitives

/// The time for which claims of siblings are heard: a bucket that fills with a share of the time that passes.
///
/// Who is behind the same address translator may take the access link as often as it likes, and might do so for no reason but
/// to keep others from measuring. A claim is paid for when it comes, as if it lasted as long as it may; what it did not use is
/// given back. What the bucket cannot pay is not heard, and then two trains may meet on the access link, which spoils a figure now
/// and then and no more.
struct SiteCredit: Sendable {
    private let depth: Duration
    private let share: Double
    private var left: Duration
    private var updatedAt: Instant

    init(depth: Duration, share: Double, at now: Instant) {
        self.depth = depth
        self.share = share
        left = depth
        updatedAt = now
    }

    /// Whether the bucket holds so much.
    mutating func holds(_ cost: Duration, at now: Instant) -> Bool {
        if now > updatedAt {
            left = min(left + (now - updatedAt) * share, depth)
            updatedAt = now
        }
        return left >= cost
    }

    mutating func pay(_ cost: Duration) { left = left - cost }

    mutating func giveBack(_ rest: Duration) { left = min(left + rest, depth) }
}
