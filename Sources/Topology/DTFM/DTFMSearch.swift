internal import Primitives

/// Simulated annealing over balanced partitions from many starts: structured ones first, then random ones and
/// disturbed copies of the best.
///
/// A step is one tried swap. The order of everything depends on the seed and the step count alone.
struct DTFMSearch {
    private let evaluator: DTFMEvaluator
    private let starts: [[Int]]
    private var generator: SeededGenerator
    private var state: DTFMState
    private(set) var best: DTFMState
    private var round = 0
    private var step = 0
    private var stepsOfRound: Int
    private var temperature: Double
    private var cooling: Double
    /// Values at which finished rounds ended, best first, with their members: what later rounds start from.
    private var elite: [(seconds: Double, members: [Int])] = []
    private(set) var steps = 0

    /// Weight of the mean DP against the objective while annealing: enough to lead over plateaus, too little to decide.
    /// This, the temperatures (fractions of the objective) and the lengths of rounds are the best of ten trials with six
    /// seeds each over ten regions and over Skyplane's 56; all ten ended within 4 % of each other.
    private static let guide = 0.1
    private static let hot = 0.02
    private static let cold = 0.002
    /// Tried swaps of the first round for a peer, and by how much later rounds are longer.
    private static let roundSwaps = 150
    private static let roundGrowth = 8
    private static let longestRound = 128

    init(evaluator: DTFMEvaluator, tables: DTFMTables, seed: UInt64) {
        self.evaluator = evaluator
        generator = SeededGenerator(seed: seed)
        starts = Self.starts(tables)
        let first = DTFMState(members: starts[0], evaluator: evaluator)
        state = first
        best = first
        for start in starts.dropFirst() {
            let candidate = DTFMState(members: start, evaluator: evaluator)
            if candidate.seconds < best.seconds { best = candidate }
        }
        stepsOfRound = 0
        temperature = 0
        cooling = 1
        beginRound()
    }

    /// Tries `count` swaps.
    mutating func advance(_ count: Int) {
        let stages = evaluator.stages * evaluator.replicas
        let all = evaluator.peers
        guard stages < all || evaluator.stages > 1 else {
            steps += count
            return
        }
        for _ in 0..<count {
            steps += 1
            let first = generator.index(below: stages)
            let second = generator.index(below: all)
            let current = state.seconds + Self.guide * state.meanExchange
            let limit = current + temperature * generator.exponential()
            if state.trySwap(first, second, limit: limit, guide: Self.guide, evaluator: evaluator),
                state.seconds < best.seconds - 1e-12
            {
                best = state
            }
            step += 1
            temperature *= cooling
            if step >= stepsOfRound { endRound() }
        }
    }

    private mutating func endRound() {
        elite.append((state.seconds, state.members))
        elite.sort { $0.seconds < $1.seconds }
        if elite.count > 8 { elite.removeLast() }
        round += 1
        beginRound()
    }

    private mutating func beginRound() {
        step = 0
        // Short rounds first, so that a small budget sees every start; longer ones later.
        let length = min(Self.longestRound, 1 + Self.roundGrowth * (round / max(1, starts.count)))
        stepsOfRound = evaluator.peers * Self.roundSwaps * length
        var members: [Int]
        var heat = Self.hot
        if round < starts.count {
            members = starts[round]
            // A structured start is worth keeping: warm it, do not melt it.
            heat = Self.hot / 4
        } else if round % 3 == 0, !elite.isEmpty {
            members = elite[generator.index(below: elite.count)].members
            heat = Self.hot / 3
        } else if round % 3 == 1 {
            members = best.members
            heat = Self.hot / 2
        } else {
            members = Array(0..<evaluator.peers)
            generator.shuffle(&members)
        }
        state = DTFMState(members: members, evaluator: evaluator)
        temperature = max(best.seconds * heat, 1e-12)
        cooling = Cooling.factor(from: heat, to: Self.cold, steps: stepsOfRound)
    }

    /// Structured tables as member lists: one region a pipeline, one region a stage, groups dealt over the stages.
    private static func starts(_ tables: DTFMTables) -> [[Int]] {
        let affinity = Affinity(cost: LinkTable(peers: tables.peers, values: tables.transferSeconds, own: 0))
        let shape = (tables.stages, tables.replicas)
        var found = [
            Template.regionPerPipeline(affinity.order, stages: shape.0, replicas: shape.1),
            Template.regionPerStage(affinity.order, stages: shape.0, replicas: shape.1),
        ]
        for groups in affinity.groupings {
            found.append(Template.deal(groups, stages: shape.0, replicas: shape.1))
        }
        return found.filter { $0.stages.allSatisfy { $0.count == shape.1 } }
            .map { $0.stages.flatMap(\.self) + $0.spares }
    }
}
