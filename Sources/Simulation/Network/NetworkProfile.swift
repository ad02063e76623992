package import Primitives

/// What kind of network the peers live on. Each peer gets an access link of a rate drawn from the lists and a place on a
/// square; the delay between two peers grows with their distance.
package struct NetworkProfile: Hashable, Sendable {
    /// One-way delay between peers at the same place, and between opposite corners.
    package var minimumDelay: Duration
    package var maximumDelay: Duration
    /// The most that queues of other traffic add to the delay, as a share of it.
    package var jitterShare: Double
    /// Share of packets lost, each by itself.
    package var loss: Double
    /// Loss in bursts at the senders' access links, besides.
    package var bursts: BurstLoss?
    /// Share of packets whose bytes are damaged on the way. No session accepts them: they are counted and dropped.
    package var corruption: Double = 0
    /// Share of packets that arrive twice.
    package var duplication: Double
    /// Share of packets held back so that later ones overtake them, and for how long at most.
    package var reordering: Double
    package var reorderingDelay: Duration
    /// Rates of access links to draw from.
    package var uplinks: [Bandwidth]
    package var downlinks: [Bandwidth]
    /// An access queue holds what it can pass in this time, and at least `queueBytes`; what comes on top is dropped.
    package var queueTime: Duration
    package var queueBytes: Int

    /// Nothing lost, doubled, damaged or out of order.
    package var healthy: NetworkProfile {
        var result = self
        result.bursts = nil
        result.loss = 0
        result.corruption = 0
        result.duplication = 0
        result.reordering = 0
        return result
    }

    /// Peers all over the world behind access links of 20 Mbit/s to 1 Gbit/s, 5 to 120 ms apart, with 0.1 % loss.
    package static let world = NetworkProfile(
        minimumDelay: .milliseconds(5), maximumDelay: .milliseconds(120), jitterShare: 0.02, loss: 0.001,
        duplication: 0, reordering: 0, reorderingDelay: .zero,
        uplinks: [20, 50, 100, 200, 500, 1000].map { Bandwidth(bitsPerSecond: $0 * 1e6) },
        downlinks: [50, 100, 200, 500, 1000].map { Bandwidth(bitsPerSecond: $0 * 1e6) },
        queueTime: .milliseconds(200), queueBytes: 131_072)

    /// One switched network: 1 Gbit/s, 0.1 to 0.3 ms, nothing lost.
    package static let local = NetworkProfile(
        minimumDelay: .microseconds(100), maximumDelay: .microseconds(300), jitterShare: 0.2, loss: 0,
        duplication: 0, reordering: 0, reorderingDelay: .zero,
        uplinks: [Bandwidth(bitsPerSecond: 1e9)], downlinks: [Bandwidth(bitsPerSecond: 1e9)],
        queueTime: .milliseconds(20), queueBytes: 262_144)
}
