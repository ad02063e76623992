internal import Primitives

/// Annealing over arrangements under the closed form, from structured and random starts of every promising shape; the
/// best candidates are then refined and judged by the simulator.
struct IterationSearch {
    private let problem: PlanningProblem
    private let tables: CostTables
    private let freedom: Arrangement.Freedom
    private let affinity: Affinity
    private let budget: CostBudget
    private var builders: [LayoutBuilder]
    private var generator: SeededGenerator
    private var starts: [Arrangement]
    private var round = 0
    private var step = 0
    private var stepsOfRound = 1
    private var temperature = 0.0
    private var cooling = 1.0
    private var builder = 0
    private var arrangement = Arrangement(pipelines: [], spares: [])
    private var pipelines: [LayoutBuilder.Pipeline] = []
    private var seconds = Double.infinity
    /// The best candidates so far, best first.
    private(set) var elite: [(layout: Layout, arrangement: Arrangement, seconds: Double)] = []
    private(set) var steps = 0
    private let eliteCount: Int

    /// Peers up to which every candidate's micro-batches are followed.
    private static let exactPeers = 160
    /// Peers times micro-batches up to which that is done.
    private static let exactTasks = 100_000
    private static let hot = 0.05
    private static let cold = 0.0005

    init(_ problem: PlanningProblem, tables: CostTables, seed: UInt64, warmStart: Arrangement? = nil) {
        self.problem = problem
        self.tables = tables
        freedom = Arrangement.Freedom(
            stages: problem.shape.stages, replicas: problem.shape.replicas, layers: tables.layers,
            microBatches: tables.microBatches)
        let schedules = problem.schedule.map { [$0] } ?? [.zeroBubble, .gpipe, .deepOneForwardOneBackward]
        builders = schedules.map { LayoutBuilder(tables: tables, schedule: $0) }
        let isRough =
            tables.peers > Self.exactPeers || tables.peers * tables.microBatches > Self.exactTasks
        for index in builders.indices { builders[index].isRough = isRough }
        generator = SeededGenerator(seed: seed)
        eliteCount = problem.graph.count <= 8 ? 24 : 10
        affinity = Self.affinity(tables)
        budget = CostBudget(problem)
        starts = warmStart.map { [$0] } ?? []
        // A plan in force is the place to look for the next one: other starts only where it does not fit.
        if warmStart != nil { rankStarts(keepFirst: true) }
        if elite.isEmpty {
            starts = Self.starts(
                problem, tables: tables, affinity: affinity, budget: budget, generator: &generator)
            rankStarts(keepFirst: false)
        }
        beginRound()
    }

    /// Whether any arrangement has fitted the peers' memory so far.
    var hasFound: Bool { !elite.isEmpty }

    /// Tries `count` moves.
    mutating func advance(_ count: Int) {
        for _ in 0..<count {
            steps += 1
            tryMove()
            step += 1
            temperature *= cooling
            if step >= stepsOfRound {
                round += 1
                beginRound()
            }
        }
    }

    private mutating func tryMove() {
        guard !arrangement.pipelines.isEmpty else { return }
        var next = arrangement
        let changed = next.disturb(&generator, freedom: freedom, affinity: affinity)
        if let changed, changed.isEmpty, next == arrangement { return }
        guard budget.allows(next.pipelines.joined()) else { return }
        guard let built = build(next, changed: changed) else { return }
        let limit = seconds + temperature * generator.exponential()
        let (layout, value) = builders[builder].price(built, limit: limit)
        guard value <= limit else { return }
        arrangement = next
        pipelines = built
        seconds = value
        remember(layout, next, value)
    }

    private mutating func build(_ next: Arrangement, changed: [Int]?) -> [LayoutBuilder.Pipeline]? {
        let share = (tables.microBatches + next.pipelines.count - 1) / next.pipelines.count
        var built: [LayoutBuilder.Pipeline] = []
        if let changed, pipelines.count == next.pipelines.count {
            built = pipelines
            for index in changed {
                guard let pipeline = builders[builder].pipeline(next.pipelines[index], share: share) else {
                    return nil
                }
                built[index] = pipeline
            }
            return built
        }
        built.reserveCapacity(next.pipelines.count)
        for peers in next.pipelines {
            guard let pipeline = builders[builder].pipeline(peers, share: share) else { return nil }
            built.append(pipeline)
        }
        return built
    }

    private mutating func remember(_ layout: Layout, _ arrangement: Arrangement, _ value: Double) {
        guard value.isFinite, elite.count < eliteCount || value < elite[elite.count - 1].seconds else { return }
        let separatesByValue = problem.graph.count > 8
        for known in elite {
            if known.layout == layout { return }
            if separatesByValue, abs(known.seconds - value) <= 1e-9 * value { return }
        }
        let position = elite.firstIndex { $0.seconds > value } ?? elite.count
        elite.insert((layout, arrangement, value), at: position)
        if elite.count > eliteCount { elite.removeLast() }
    }

    /// Prices every start with every schedule and keeps the best of them, in order.
    private mutating func rankStarts(keepFirst: Bool) {
        // Roughly first: following the micro-batches of every start would take longer than the search itself.
        var rough: [(arrangement: Arrangement, seconds: Double)] = []
        let wasRough = builders.map(\.isRough)
        for index in builders.indices { builders[index].isRough = true }
        for start in starts where budget.allows(start.pipelines.joined()) {
            let best = price(start) { _, _ in }
            if best.isFinite { rough.append((start, best)) }
        }
        let first = keepFirst ? rough.first : nil
        rough.sort { $0.seconds < $1.seconds }
        if let first { rough.insert(first, at: 0) }
        for index in builders.indices { builders[index].isRough = wasRough[index] }
        var priced: [(arrangement: Arrangement, seconds: Double)] = []
        for start in rough.prefix(problem.graph.count <= 16 ? rough.count : 64) {
            var found: [(Layout, Double)] = []
            let best = price(start.arrangement) { found.append(($0, $1)) }
            for (layout, value) in found { remember(layout, start.arrangement, value) }
            if best.isFinite { priced.append((start.arrangement, best)) }
        }
        if first == nil { priced.sort { $0.seconds < $1.seconds } }
        // At most two of one shape, or the starts would all be variants of a single idea.
        var ofShape: [[Int]: Int] = [:]
        starts = priced.map(\.arrangement).filter { arrangement in
            let shape = [arrangement.pipelines.count, arrangement.pipelines.first?.count ?? 0]
            ofShape[shape, default: 0] += 1
            return ofShape[shape, default: 0] <= 2
        }
        starts = Array(starts.prefix(9))
    }

    /// The value of an arrangement under the best schedule; every layout on the way is handed over.
    private mutating func price(_ start: Arrangement, found: (Layout, Double) -> Void) -> Double {
        var best = Double.infinity
        for index in builders.indices {
            builder = index
            pipelines = []
            guard let built = build(start, changed: nil) else { continue }
            let (layout, value) = builders[index].price(built)
            found(layout, value)
            best = min(best, value)
        }
        return best
    }

    private mutating func beginRound() {
        step = 0
        guard !starts.isEmpty else { return }
        stepsOfRound = max(200, problem.graph.count * 40) * min(12, 1 + round / starts.count)
        var heat = Self.hot
        builder = 0
        if round < starts.count {
            arrangement = starts[round]
            heat = Self.hot / 3
        } else if round % 2 == 0, !elite.isEmpty {
            arrangement = elite[generator.index(below: elite.count)].arrangement
            heat = Self.hot / 3
        } else {
            arrangement = starts[generator.index(below: starts.count)]
            var everyone = arrangement.pipelines.flatMap(\.self) + arrangement.spares
            if round % 4 == 1 {
                generator.shuffle(&everyone)
                let refilled = Self.refill(arrangement, everyone)
                if budget.allows(refilled.pipelines.joined()) { arrangement = refilled }
            }
        }
        if builders.count > 1, round % 5 == 4 { builder = 1 + round / 5 % (builders.count - 1) }
        pipelines = []
        if let built = build(arrangement, changed: nil) {
            let priced = builders[builder].price(built)
            pipelines = built
            seconds = priced.seconds
            remember(priced.layout, arrangement, priced.seconds)
        } else {
            seconds = .infinity
        }
        let scale = elite.first?.seconds ?? 1
        temperature = scale * heat
        cooling = Cooling.factor(from: heat, to: Self.cold, steps: stepsOfRound)
    }

    /// The same shape with other peers.
    private static func refill(_ arrangement: Arrangement, _ everyone: [Int]) -> Arrangement {
        var next = 0
        let pipelines = arrangement.pipelines.map { pipeline in
            defer { next += pipeline.count }
            return Array(everyone[next..<(next + pipeline.count)])
        }
        return Arrangement(pipelines: pipelines, spares: Array(everyone[next...]))
    }

    /// How near peers are: the time of one micro-batch's activations over the slower direction.
    static func affinity(_ tables: CostTables) -> Affinity {
        let count = tables.peers
        var near = Array(repeating: 0.0, count: count * count)
        let boundary = (tables.boundaryForwardBytes.max() ?? 0) * tables.compression.activationFactor
        for left in 0..<count {
            for right in 0..<count where right != left {
                let there = left * count + right
                let back = right * count + left
                near[there] =
                    max(tables.latency[there], tables.latency[back])
                    + boundary * max(tables.secondsPerByte[there], tables.secondsPerByte[back])
            }
        }
        return Affinity(count: count, cost: near)
    }

    /// Structured tables for every promising shape.
    private static func starts(
        _ problem: PlanningProblem, tables: CostTables, affinity: Affinity, budget: CostBudget,
        generator: inout SeededGenerator
    ) -> [Arrangement] {
        let count = tables.peers
        let speeds = tables.secondsPerFlop.map { 1 / $0 }
        var result: [Arrangement] = []
        for shape in shapes(problem, peers: count, layers: tables.layers) {
            let used = shape.stages * shape.replicas
            // With more peers than places the slow ones wait, and those that cannot be paid.
            let fast = Set(budget.selection(used, by: speeds))
            guard !fast.isEmpty else { continue }
            let order = affinity.order.filter { fast.contains($0) }
            let idle = affinity.order.filter { !fast.contains($0) }
            var found = [
                Template.regionPerPipeline(order, stages: shape.stages, replicas: shape.replicas),
                Template.regionPerStage(order, stages: shape.stages, replicas: shape.replicas),
            ]
            for groups in affinity.groupings {
                var kept = groups.map { $0.filter { fast.contains($0) } }.filter { !$0.isEmpty }
                found.append(Template.deal(kept, stages: shape.stages, replicas: shape.replicas))
                // Mixtures: the groups in another order fill the stages, so that others share one.
                for _ in 0..<(count <= 128 ? 12 : 1) {
                    generator.shuffle(&kept)
                    found.append(
                        Template.regionPerStage(
                            kept.flatMap(\.self), stages: shape.stages, replicas: shape.replicas
                        ).matched(affinity))
                }
            }
            for table in found where table.stages.allSatisfy({ $0.count == shape.replicas }) {
                let pipelines = (0..<shape.replicas).map { replica in table.stages.map { $0[replica] } }
                result.append(Arrangement(pipelines: pipelines, spares: table.spares + idle))
            }
        }
        return result
    }

    /// The shapes to start from: all for few peers, else for each number of stages the most replicas that there are
    /// peers for, and half as many.
    static func shapes(
        _ problem: PlanningProblem, peers: Int, layers: Int
    ) -> [(stages: Int, replicas: Int)] {
        let microBatches = problem.batch.microBatches
        var shapes: [(stages: Int, replicas: Int)] = []
        let stages = problem.shape.stages.map { [$0] } ?? Array(1...max(1, min(layers, peers)))
        for count in stages {
            let most = min(peers / count, microBatches)
            guard most > 0 else { continue }
            if let replicas = problem.shape.replicas {
                if replicas <= most { shapes.append((count, replicas)) }
            } else if peers <= 12 {
                for replicas in 1...most { shapes.append((count, replicas)) }
            } else {
                shapes.append((count, most))
                if most > 1 { shapes.append((count, (most + 1) / 2)) }
            }
        }
        return shapes
    }
}

/// Geometric cooling.
enum Cooling {
    /// The factor that takes a temperature from one value to another in so many steps: (to / from)^(1 / steps), by a
    /// binary expansion of the exponent in square roots, which are the same everywhere.
    static func factor(from: Double, to: Double, steps: Int) -> Double {
        var result = 1.0
        var root = to / from
        var rest = 1 / Double(max(1, steps))
        for _ in 0..<60 {
            root = root.squareRoot()
            rest *= 2
            if rest >= 1 {
                result *= root
                rest -= 1
            }
        }
        return result
    }
}
