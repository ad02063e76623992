package import Primitives

/// The time that a suspected peer has for its refutation; independent accusers shorten it (Lifeguard, IV-B).
///
///     timeout = max(minimum, maximum - (maximum - minimum) · log(confirmations + 1) / log(wanted + 1))
package struct Suspicion: Hashable, Sendable {
    /// Confirmations that bring the time-out down to its minimum (Lifeguard's K = 3).
    package static let maximumConfirmations = 3

    /// log(c + 1) / log(k + 1) for k = 1, 2, 3 and c = 0...k.
    private static let fractions: [[Double]] = [
        [0, 1], [0, 0.630_929_753_571_457_5, 1], [0, 0.5, 0.792_481_250_360_578_1, 1],
    ]

    private let minimum: Duration
    private let maximum: Duration
    private let wanted: Int
    private var start: Instant
    private let began: Instant

    /// When others were asked for the last time whether they know better; `nil` if that is still to be done.
    package var askedAt: Instant?

    /// Who accuses, the first accuser first; at most one more than the confirmations that count.
    package private(set) var accusers: [PeerID]

    /// Begins at the first accusation. `others` is the number of live peers that could confirm it.
    package init(accuser: PeerID, others: Int, minimum: Duration, maximum: Duration, at now: Instant) {
        self.minimum = minimum
        self.maximum = max(minimum, maximum)
        wanted = max(0, min(Self.maximumConfirmations, others))
        start = now
        began = now
        accusers = [accuser]
    }

    /// Independent accusers after the first.
    package var confirmations: Int { accusers.count - 1 }

    /// Counts a further accuser; `false` if it is known already or if enough have accused.
    package mutating func confirm(by accuser: PeerID) -> Bool {
        guard confirmations < wanted, !accusers.contains(accuser) else { return false }
        accusers.append(accuser)
        return true
    }

    /// When the suspicion turns into a declaration of death.
    package var deadline: Instant { start + timeout }

    /// The time from beginning to deadline with the confirmations so far.
    package var timeout: Duration {
        guard wanted > 0 else { return minimum }
        let fraction = Self.fractions[wanted - 1][min(confirmations, wanted)]
        return max(minimum, maximum - (maximum - minimum) * fraction)
    }

    /// Gives more time, because this peer itself was not running.
    package mutating func extend(by pause: Duration) {
        start = start + pause
        askedAt = nil
    }

    /// When something is to be done next: others are asked so long before the deadline, and have so long to answer.
    package func nextStep(lastQuestion time: Duration) -> Instant {
        askedAt.map { max(deadline, $0 + time) } ?? start + (timeout - time)
    }

    /// Whether the accused has had half of the minimum to refute, so that others' word on its death may be believed.
    package func isRipe(at now: Instant) -> Bool { now - began >= minimum / 2 }
}
