internal import Primitives

/// Searches for pipelines that generate the most tokens a second together: annealing over arrangements of peers, each
/// pipeline with the cut, the groups and the group size that suit it best.
struct ThroughputSearch {
    private let problem: PlanningProblem
    private let tables: GenerationTables
    private let budget: CostBudget
    private let affinity: Affinity
    private let freedom: Arrangement.Freedom
    private var builder: ThroughputBuilder
    private var generator: SeededGenerator
    private var starts: [Arrangement] = []
    private var round = 0
    private var step = 0
    private var arrangement = Arrangement(pipelines: [], spares: [])
    private var rate = 0.0
    private var temperature = 0.0
    /// The best arrangements so far, best first.
    private(set) var elite: [(arrangement: Arrangement, layout: GenerationLayout, rate: Double)] = []
    private(set) var steps = 0

    private static let eliteCount = 8
    private static let hot = 0.05
    private static let cold = 0.0005

    init(
        _ problem: PlanningProblem, tables: GenerationTables, budget: CostBudget, affinity: Affinity, seed: UInt64
    ) {
        self.problem = problem
        self.tables = tables
        self.budget = budget
        self.affinity = affinity
        freedom = Arrangement.Freedom(
            stages: problem.shape.stages, replicas: problem.shape.replicas, layers: tables.layers,
            microBatches: min(tables.peers, tables.maximumSequences ?? tables.peers))
        builder = ThroughputBuilder(tables: tables)
        generator = SeededGenerator(seed: seed)
        makeStarts()
        beginRound()
    }

    mutating func advance(_ count: Int) {
        for _ in 0..<count {
            steps += 1
            move()
            step += 1
            if step >= stepsOfRound {
                round += 1
                beginRound()
            }
        }
    }

    private var stepsOfRound: Int { max(300, 30 * tables.peers) * min(8, 1 + round / max(1, starts.count)) }

    private mutating func move() {
        guard !arrangement.pipelines.isEmpty else { return }
        temperature *= cooling
        var next = arrangement
        _ = next.disturb(&generator, freedom: freedom, affinity: affinity)
        guard next != arrangement, budget.allows(next.pipelines.joined()) else { return }
        let (layout, value) = build(next)
        guard value > 0, value >= rate - temperature * generator.exponential() else { return }
        arrangement = next
        rate = value
        remember(next, layout, value)
    }

    private mutating func build(_ next: Arrangement) -> (layout: GenerationLayout, rate: Double) {
        var layout = GenerationLayout(pipelines: [])
        var sum = 0.0
        let most = tables.maximumSequences.map { $0 / max(1, next.pipelines.count) }
        for peers in next.pipelines {
            guard let found = builder.pipeline(peers, maximumSequences: most) else { return (layout, 0) }
            layout.pipelines.append(found.pipeline)
            sum += found.rate
        }
        return (layout, sum)
    }

    private mutating func remember(_ arrangement: Arrangement, _ layout: GenerationLayout, _ value: Double) {
        guard elite.count < Self.eliteCount || value > elite[elite.count - 1].rate else { return }
        for known in elite where abs(known.rate - value) <= 1e-9 * value { return }
        let position = elite.firstIndex { $0.rate < value } ?? elite.count
        elite.insert((arrangement, layout, value), at: position)
        if elite.count > Self.eliteCount { elite.removeLast() }
    }

    /// Structured tables for every promising shape, as the search for training has them.
    private mutating func makeStarts() {
        var shaped = problem
        // Every pipeline needs a sequence, as training's need a micro-batch.
        shaped.batch = PlanningProblem.Batch(sequences: freedom.microBatches, microBatchSequences: 1)
        let speeds = tables.secondsPerFlop.map { 1 / $0 }
        var priced: [(arrangement: Arrangement, rate: Double)] = []
        for shape in IterationSearch.shapes(shaped, peers: budget.mostPeers, layers: tables.layers) {
            let used = budget.selection(shape.stages * shape.replicas, by: speeds)
            guard !used.isEmpty else { continue }
            let chosen = Set(used)
            let order = affinity.order.filter { chosen.contains($0) }
            let idle = affinity.order.filter { !chosen.contains($0) }
            var tables = [
                Template.regionPerPipeline(order, stages: shape.stages, replicas: shape.replicas),
                Template.regionPerStage(order, stages: shape.stages, replicas: shape.replicas),
            ]
            for groups in affinity.groupings {
                let kept = groups.map { $0.filter { chosen.contains($0) } }.filter { !$0.isEmpty }
                tables.append(Template.deal(kept, stages: shape.stages, replicas: shape.replicas))
            }
            for table in tables where table.stages.allSatisfy({ $0.count == shape.replicas }) {
                let arrangement = Arrangement(
                    pipelines: (0..<shape.replicas).map { replica in table.stages.map { $0[replica] } },
                    spares: table.spares + idle)
                let (layout, value) = build(arrangement)
                guard value > 0 else { continue }
                priced.append((arrangement, value))
                remember(arrangement, layout, value)
            }
        }
        priced.sort { $0.rate > $1.rate }
        var ofShape: [[Int]: Int] = [:]
        for (arrangement, _) in priced where starts.count < 8 {
            let shape = [arrangement.pipelines.count, arrangement.pipelines[0].count]
            ofShape[shape, default: 0] += 1
            if ofShape[shape, default: 0] <= 2 { starts.append(arrangement) }
        }
    }

    private mutating func beginRound() {
        step = 0
        guard let first = starts.first else { return }
        arrangement = first
        if round < starts.count {
            arrangement = starts[round]
        } else if !elite.isEmpty, round % 3 > 0 {
            arrangement = elite[generator.index(below: elite.count)].arrangement
        } else {
            arrangement = starts[generator.index(below: starts.count)]
        }
        let (layout, value) = build(arrangement)
        rate = value
        remember(arrangement, layout, value)
        temperature = (elite.first?.rate ?? value) * Self.hot
        cooling = Cooling.factor(from: Self.hot, to: Self.cold, steps: stepsOfRound)
    }

    private var cooling = 1.0
}
