internal import Primitives

/// Times and numbers of the gossip protocol.
package struct GossipConfiguration: Hashable, Sendable {
    /// Between two rounds of pushing new entries: the interval of membership's news.
    package var pushInterval: Duration = .milliseconds(100)
    /// Peers pushed to in a round (memberlist: 3).
    package var pushFanOut = 3
    /// Datagrams that one peer gets in a round; bounds a burst at 30 datagrams/s a receiver, 280 kbit/s.
    package var pushDatagrams = 2
    /// Each new entry is pushed this often by everybody that learns it. Two pushes reach 80 % (the s of s = 1 - e^(-2s)); anti-entropy brings the remainder for less than further pushes would cost.
    package var pushes = 2

    /// Least time between two comparisons that this peer begins.
    package var syncInterval: Duration = .milliseconds(500)
    /// A comparison waits until the own root has not changed for this long, because pushes are then still on their way...
    package var settleTime: Duration = .milliseconds(300)
    /// ...but no longer than this since the last comparison.
    package var syncPatience: Duration = .seconds(2)
    /// Bytes of entries sent in answer to one message: 20 datagrams.
    package var answerBytes = 24_000

    /// After a start, how long a peer waits before it withdraws entries of a former life that it did not publish again.
    package var withdrawalGrace: Duration = .seconds(20)

    package init() {}
}
