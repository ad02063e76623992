import Primitives

/// Loss that comes in bursts: a link is good or bad, for times drawn from exponential distributions, and loses packets in its
/// bad times (Gilbert, 1960; Elliott, 1963; in continuous time, so that packets far apart see independent states).
package struct BurstLoss: Hashable, Sendable {
    /// Mean length of a good time and of a bad one.
    package var good: Duration
    package var bad: Duration
    /// Share of packets lost in a bad time.
    package var lossWhenBad: Double

    package init(good: Duration, bad: Duration, lossWhenBad: Double) {
        self.good = good
        self.bad = bad
        self.lossWhenBad = lossWhenBad
    }

    /// Share of the time that is bad.
    package var badShare: Double { bad.seconds / (good.seconds + bad.seconds) }

    /// The chain of one access link.
    struct State: Sendable {
        var isBad = false
        var at = Instant(nanoseconds: 0)

        /// Moves the chain on to an instant: whether it is a bad time.
        mutating func advance(to now: Instant, _ loss: BurstLoss, using generator: inout SeededGenerator) -> Bool {
            let rate = 1 / loss.good.seconds + 1 / loss.bad.seconds
            let memory = Elementary.exp(-rate * (now - at).seconds)
            let chance = loss.badShare + ((isBad ? 1 : 0) - loss.badShare) * memory
            isBad = generator.unit() < chance
            at = now
            return isBad
        }
    }
}
