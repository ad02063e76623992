import Primitives

/// Draws faults of every kind, so that a seed stands for a whole bad day.
struct FaultSchedule {
    private var generator: SeededGenerator
    private let profile: NetworkProfile
    private let isPublic: [Bool]
    /// What the network does to packets now.
    private var current: NetworkProfile

    private var peers: Int { isPublic.count }

    init(generator: SeededGenerator, profile: NetworkProfile, isPublic: [Bool]) {
        self.generator = generator
        self.profile = profile
        self.isPublic = isPublic
        current = profile
    }

    /// The next fault and how many seconds pass before it. At least half of the peers stay up.
    mutating func next(running: [Bool]) -> (pause: Double, action: Simulator.Action) {
        let pause = generator.unit() * 4
        let up = (0..<peers).filter { running[$0] }
        let down = (0..<peers).filter { !running[$0] }
        let victim = up[generator.index(below: up.count)]
        let mayStop = up.count > peers / 2
        switch generator.index(below: 12) {
        case 0 where mayStop, 1 where mayStop: return (pause, .crash(victim))
        case 2 where mayStop: return (pause, .leave(victim))
        case 3, 4:
            guard !down.isEmpty else { return (pause, .pause(victim, duration(3))) }
            let back = down[generator.index(below: down.count)]
            let known = up.filter { isPublic[$0] }
            guard !known.isEmpty, generator.unit() < 0.5 else { return (pause, .restart(back)) }
            return (pause, .restartEmpty(back, knowing: [known[generator.index(below: known.count)]]))
        case 5, 6: return (pause, .pause(victim, duration(5)))
        case 7, 8, 9: return (pause, .setNetwork(changedNetwork()))
        case 10: return (pause, .partition([partition()]))
        default: return (pause, .partition([]))
        }
    }

    /// One property of the network gets worse, or all are as they were.
    private mutating func changedNetwork() -> NetworkProfile {
        switch generator.index(below: 6) {
        case 0: current.loss = generator.unit() * 0.3
        case 1:
            current.bursts = BurstLoss(
                good: .milliseconds(500 + generator.index(below: 4000)),
                bad: .milliseconds(50 + generator.index(below: 500)), lossWhenBad: 0.5 + generator.unit() / 2)
        case 2: current.corruption = generator.unit() * 0.05
        case 3: current.duplication = generator.unit() * 0.2
        case 4:
            current.reordering = generator.unit() * 0.3
            current.reorderingDelay = duration(0.3)
        default: current = profile
        }
        return current
    }

    private mutating func duration(_ most: Double) -> Duration { .nanoseconds(Int64(generator.unit() * most * 1e9)) }

    private mutating func partition() -> Partition {
        let share = generator.unit()
        let inside = (0..<peers).map { _ in generator.unit() < share }
        let directions = Partition.Direction.allCases
        return Partition(isInside: inside, direction: directions[generator.index(below: directions.count)])
    }
}
