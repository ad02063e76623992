/// Share of small packets lost on a round trip, from the answered and unanswered echoes of about the last 256.
package struct LossEstimator: Hashable, Sendable {
    /// Echoes that the estimate looks back on: both counts are halved when their sum reaches twice this.
    package static let window: Double = 256
    /// As many answered echoes are assumed beforehand, so that one loss among the first five does not read as 20 %, and is
    /// no news to the swarm.
    package static let prior: Double = 20

    private var answered: Double = 0
    private var lost: Double = 0

    package init() {}

    /// Takes in the fate of one echo.
    package mutating func record(lost isLost: Bool) {
        if isLost { lost += 1 } else { answered += 1 }
        if answered + lost >= 2 * Self.window {
            answered /= 2
            lost /= 2
        }
    }

    /// The estimate, 0...1.
    package var fraction: Double { lost / (answered + lost + Self.prior) }
}
