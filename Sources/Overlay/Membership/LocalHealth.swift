/// How far this peer trusts its own judgement of others (Lifeguard, IV-A: "Local Health Multiplier").
///
/// A peer whose own probes fail, whose helpers do not even say "nack", or that has to refute suspicions, is probably the
/// slow one itself; it then gives everybody more time.
package struct LocalHealth: Hashable, Sendable {
    /// Largest score (memberlist's `AwarenessMaxMultiplier`, 8).
    package static let maximumScore = 8

    /// 0 is healthy.
    package private(set) var score = 0

    package init() {}

    /// Adds to the score, or takes from it, within its bounds.
    package mutating func change(by delta: Int) { score = max(0, min(Self.maximumScore, score + delta)) }

    /// Factor on intervals and time-outs.
    package var multiplier: Int { score + 1 }
}
