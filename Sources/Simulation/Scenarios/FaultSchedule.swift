import Primitives

/// Draws faults of every kind, so that a seed stands for a whole bad day.
struct FaultSchedule {
    private var generator: SeededGenerator
    private let peers: Int

    init(generator: SeededGenerator, peers: Int) {
        self.generator = generator
        self.peers = peers
    }

    /// The next fault and how many seconds pass before it. At least half of the peers stay up.
    mutating func next(running: [Bool]) -> (pause: Double, action: Simulator.Action) {
        let pause = generator.unit() * 4
        let up = (0..<peers).filter { running[$0] }
        let down = (0..<peers).filter { !running[$0] }
        let victim = up[generator.index(below: up.count)]
        let mayStop = up.count > peers / 2
        switch generator.index(below: 9) {
        case 0 where mayStop, 1 where mayStop: return (pause, .crash(victim))
        case 2 where mayStop: return (pause, .leave(victim))
        case 3, 4:
            guard !down.isEmpty else { return (pause, .pause(victim, duration(3))) }
            let back = down[generator.index(below: down.count)]
            return (pause, generator.unit() < 0.5 ? .restart(back) : .restartEmpty(back, knowing: [victim]))
        case 5: return (pause, .pause(victim, duration(5)))
        case 6: return (pause, .setLoss(generator.unit() * 0.3))
        case 7: return (pause, .partition([partition()]))
        default: return (pause, .partition([]))
        }
    }

    private mutating func duration(_ most: Double) -> Duration { .nanoseconds(Int64(generator.unit() * most * 1e9)) }

    private mutating func partition() -> Partition {
        let share = generator.unit()
        let inside = (0..<peers).map { _ in generator.unit() < share }
        let directions = Partition.Direction.allCases
        return Partition(isInside: inside, direction: directions[generator.index(below: directions.count)])
    }
}
