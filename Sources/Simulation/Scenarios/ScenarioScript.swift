import Primitives

/// A scenario that somebody wrote down: a swarm, what happens to it when, and what is expected of it. docs/SIMULATION.md
/// describes the file that `weft simulate --file` reads one from.
package struct ScenarioScript: Hashable, Sendable {
    /// What happens to the swarm.
    package enum Action: Hashable, Sendable {
        case crash([Int])
        case leave([Int])
        /// Starts again with the disk that the peers had.
        case restart([Int])
        /// Starts again without a disk, knowing some peer that can be reached.
        case restartEmpty([Int])
        case pause([Int], Duration)
        /// Adds a cut to those that there are.
        case partition(Partition)
        /// Ends all cuts.
        case heal
        /// Changes what the network does to packets.
        case network(NetworkProfile)
        /// Replaces peers for a while, this share of the swarm a minute: half crash and half leave, and each comes back five
        /// seconds later as a process without memory.
        case churn(sharePerMinute: Double, Duration)
        /// The peers publish a value of so many bytes each.
        case publish([Int], byteCount: Int)
    }

    /// An action and its time, from the moment at which the whole swarm has joined and agreed.
    package struct Step: Hashable, Sendable {
        package var at: Duration
        package var action: Action

        package init(at: Duration, action: Action) {
            self.at = at
            self.action = action
        }
    }

    /// Bars; what is `nil` is not looked at.
    package struct Expectation: Hashable, Sendable {
        package var joinSeconds: Double?
        package var healSeconds: Double?
        package var medianDetectionSeconds: Double?
        package var falseDeaths: Int?
        package var bytesPerPeerPerSecond: Double?

        package init() {}
    }

    package var name: String
    package var steps: [Step]
    /// How long the steps last at least; the traffic of that time is counted.
    package var lasts: Duration
    package var expectation: Expectation

    /// Steps in the order of their times; those of one time stay in order.
    package init(name: String, steps: [Step], lasts: Duration = .zero, expectation: Expectation = Expectation()) {
        self.name = name
        self.steps = steps.enumerated()
            .sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }
            .map(\.element)
        self.lasts = max(lasts, self.steps.map(\.end).max() ?? .zero)
        self.expectation = expectation
    }
}

extension ScenarioScript.Step {
    /// When what the step began is over.
    fileprivate var end: Duration {
        switch action {
        case .churn(_, let duration): at + duration
        default: at
        }
    }
}
