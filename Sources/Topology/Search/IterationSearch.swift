internal import Primitives

/// Annealing over arrangements under the closed form, from structured and random starts of every promising shape; the
/// best candidates are then refined and judged by the simulator.
struct IterationSearch {
    let problem: PlanningProblem
    let tables: CostTables
    private let freedom: Arrangement.Freedom
    let affinity: Affinity
    let budget: CostBudget
    /// Where spares should stand, if the shape leaves any.
    let standbys: Standbys?
    var builders: [LayoutBuilder]
    /// The one that refuses levels in exchanges, if the others do not.
    var directBuilder: Int?
    var generator: SeededGenerator
    var starts: [Arrangement]
    /// Islands made of others by letting groups change places.
    var rotated: Set<Arrangement> = []
    /// Where the rounds begin, each with the best that was found from it.
    var islands: [Island] = []
    var island = 0
    var roundBest: (layout: Layout, arrangement: Arrangement, seconds: Double)?
    private(set) var round = 0
    /// Short rounds before the longer ones: one for each island.
    private(set) var firstRounds = 0
    private(set) var step = 0
    private var stepsOfRound = 1
    private var temperature = 0.0
    private var cooling = 1.0
    var builder = 0
    private(set) var arrangement = Arrangement(pipelines: [], spares: [])
    var pipelines: [LayoutBuilder.Pipeline] = []
    var seconds = Double.infinity
    /// Whether candidates are priced with timed slices.
    var isTimed = false
    /// Whether it has turned out that they gain too little.
    var isUntimed = false
    /// The best candidates so far, best first.
    private(set) var elite: [(layout: Layout, arrangement: Arrangement, seconds: Double)] = []
    private(set) var steps = 0
    private let eliteCount: Int
    /// What the best of rounds take under the simulator, where the closed form is not exact; best first.
    var champions: [(layout: Layout, seconds: Double)] = []
    /// Whether the search begins with a plan in force: it then stays near, in short and cool rounds.
    var isWarm = false

    /// Peers up to which every candidate's micro-batches are followed.
    private static let exactPeers = 160
    /// Peers times micro-batches up to which that is done.
    private static let exactTasks = 100_000
    static let islandCount = 12
    /// How much longer rounds are after an island's first. Chosen from ten trials of length and heat with two seeds each on the
    /// world-wide 64 peers, 10 s of CPU time: 4 times gave 6.88 to 7.25 s, 12 to 50 times 6.71 to 7.32 s. The seeds differ by
    /// as much as the settings do, so this is little better than a guess.
    private static let laterRoundLength = 16
    /// The same for a search that begins with a plan in force. Over five leavers of the world-wide 64 peers 30,000 candidates
    /// gave 7.00 s on average with rounds as long as the first, 6.92 s three times and 6.96 s eight times as long.
    private static let warmRoundLength = 3
    /// The same for exchanges in levels, whose candidates are several times as dear.
    private static let levelRoundLength = 4
    /// The same for candidates priced with timed slices, among few peers and among many, where such candidates are dear and
    /// rounds stay near the best. Of eleven problems of twelve peers three gained 0.4 to 2.7 % by long and hot rounds, at 64
    /// peers none.
    private static let timedRoundLength = 8
    private static let dearRoundLength = 1
    private static let dearPeers = 16
    /// Islands that get one of the first longer rounds each, where candidates are dear.
    private static let knownIslands = 3
    /// How much slower than the best an island may be to get a longer round before the best gets another; a longer round gains
    /// up to 2 %.
    private static let promising = 1.02
    /// How much slower than the best a start may be to get a round, where candidates are dear. First rounds gain 3 to 11 %.
    private static let hopeless = 1.15
    private static let hot = 0.05
    private static let cold = 0.0005
    /// Peers up to which the order of groups is searched before single peers are.
    static let groupedPeers = 16...256

    /// A start with the best arrangement that rounds have made of it.
    struct Island {
        let start: Arrangement
        var best: Arrangement
        var seconds: Double
        /// The schedule of the best.
        var builder: Int
        /// Whether one of the longer rounds has begun here.
        var isKnown = false
    }

    /// - Parameters:
    ///   - exchange: how plans exchange gradients; the direct way is looked at besides levels.
    ///   - effort: candidates that the whole search will see, about.
    init(
        _ problem: PlanningProblem, tables: CostTables, exchange: ExchangeStyle = .clustered, seed: UInt64, effort: Int,
        warmStarts: [Arrangement] = []
    ) {
        self.problem = problem
        self.tables = tables
        freedom = Arrangement.Freedom(
            stages: problem.shape.stages, replicas: problem.shape.replicas, layers: tables.layers,
            microBatches: tables.microBatches)
        let schedules = problem.schedule.map { [$0] } ?? [.zeroBubble, .gpipe, .deepOneForwardOneBackward]
        builders = schedules.map { LayoutBuilder(tables: tables, schedule: $0, exchange: exchange) }
        // Among peers that stand in no clusters, holders that add up near ones first may find worse plans than without.
        if exchange == .clustered, !tables.exchangeClusters.isEmpty, let first = schedules.first {
            directBuilder = builders.count
            builders.append(LayoutBuilder(tables: tables, schedule: first, exchange: .direct))
        }
        let isRough =
            tables.peers > Self.exactPeers || tables.peers * tables.microBatches > Self.exactTasks
        for index in builders.indices { builders[index].isRough = isRough }
        generator = SeededGenerator(seed: seed)
        eliteCount = problem.graph.count <= 8 ? 24 : 10
        affinity = Self.affinity(tables)
        budget = CostBudget(problem)
        standbys = Standbys(problem, tables: tables, affinity: affinity)
        starts = warmStarts
        // A plan in force is the place to look for the next one: other starts only where it does not fit.
        if !starts.isEmpty { rankStarts(keepFirst: true) }
        isWarm = !elite.isEmpty
        if !isWarm {
            starts = Self.starts(
                problem, tables: tables, affinity: affinity, budget: budget, generator: &generator)
            if Self.groupedPeers.contains(tables.peers) { orderGroups(trials: min(effort / 64, 6_000)) }
            rankStarts(keepFirst: false)
        }
        beginRound()
    }

    /// What the best plan so far takes.
    var bestSeconds: Double? {
        let known = [elite.first?.seconds, champions.first?.seconds].compactMap { $0 }
        return known.min()
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
            if needsFit { fitSlices(isNew: false) }
            if step >= stepsOfRound {
                round += 1
                beginRound()
            }
        }
    }

    private mutating func tryMove() {
        guard !arrangement.pipelines.isEmpty else { return }
        var next = arrangement
        let changed: [Int]?
        if pipelines.count == arrangement.pipelines.count, generator.index(below: 10) == 0 {
            guard next.shiftCut(&generator, current: { pipelines[$0].stages.map(\.layers) }) else { return }
            changed = nil
        } else {
            changed = next.disturb(&generator, freedom: freedom, affinity: affinity)
        }
        if let changed, changed.isEmpty, next == arrangement { return }
        guard budget.allows(next.pipelines.joined()) else { return }
        guard let built = build(next, changed: changed) else { return }
        let limit = seconds + temperature * generator.exponential()
        let (layout, value) = price(built, of: next, limit: limit)
        guard value <= limit else { return }
        arrangement = next
        pipelines = built
        seconds = value
        if value < roundBest?.seconds ?? .infinity { roundBest = (layout, next, value) }
        if !isTimed { remember(layout, next, value) }
    }

    /// The time of an arrangement's pipelines under the present schedule, with the surcharge for where its spares stand.
    func price(
        _ built: [LayoutBuilder.Pipeline], of arrangement: Arrangement, limit: Double = .infinity
    ) -> (layout: Layout, seconds: Double) {
        guard let standbys else { return builders[builder].price(built, limit: limit) }
        let surcharge = standbys.surcharge(arrangement.pipelines.joined(), spares: arrangement.spares)
        var priced = builders[builder].price(built, limit: limit / surcharge)
        priced.seconds *= surcharge
        return priced
    }

    mutating func build(_ next: Arrangement, changed: [Int]?) -> [LayoutBuilder.Pipeline]? {
        let share = (tables.microBatches + next.pipelines.count - 1) / next.pipelines.count
        var built: [LayoutBuilder.Pipeline] = []
        if let changed, pipelines.count == next.pipelines.count {
            built = pipelines
            for index in changed {
                guard let pipeline = pipeline(next.pipelines[index], of: next, share: share) else { return nil }
                built[index] = pipeline
            }
            return built
        }
        built.reserveCapacity(next.pipelines.count)
        for peers in next.pipelines {
            guard let pipeline = pipeline(peers, of: next, share: share) else { return nil }
            built.append(pipeline)
        }
        return built
    }

    private mutating func pipeline(
        _ peers: [Int], of arrangement: Arrangement, share: Int
    ) -> LayoutBuilder.Pipeline? {
        if !arrangement.cuts.isEmpty, let cuts = arrangement.cuts[peers.count] {
            return builders[builder].pipeline(peers, cuts: cuts, share: share)
        }
        return builders[builder].pipeline(peers, share: share)
    }

    mutating func remember(_ layout: Layout, _ arrangement: Arrangement, _ value: Double) {
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

    /// Islands from whose shapes one is drawn for another order of groups.
    private static let freshLikes = 4

    /// Prices every start with every schedule; the best of every shape become islands, in order.
    private mutating func rankStarts(keepFirst: Bool) {
        // Roughly first: following the micro-batches of every start would take longer than the search itself.
        var rough: [(arrangement: Arrangement, seconds: Double)] = []
        let wasRough = builders.map(\.isRough)
        for index in builders.indices { builders[index].isRough = true }
        for start in starts where budget.allows(start.pipelines.joined()) {
            let best = price(start) { _, _, _ in }
            if best.isFinite { rough.append((start, best)) }
        }
        let first = keepFirst ? rough.first : nil
        rough.sort { $0.seconds < $1.seconds }
        if let first { rough.insert(first, at: 0) }
        for index in builders.indices { builders[index].isRough = wasRough[index] }
        var priced: [Island] = []
        for start in rough.prefix(problem.graph.count <= 16 ? rough.count : 96) {
            var found: [(Layout, Double)] = []
            var best = Island(start: start.arrangement, best: start.arrangement, seconds: .infinity, builder: 0)
            _ = price(start.arrangement) { builder, layout, value in
                found.append((layout, value))
                if value < best.seconds {
                    best.seconds = value
                    best.builder = builder
                }
            }
            for (layout, value) in found { remember(layout, start.arrangement, value) }
            if best.seconds.isFinite { priced.append(best) }
        }
        if first == nil { priced.sort { $0.seconds < $1.seconds } }
        // At most two of one shape, or the starts would all be variants of a single idea.
        var ofShape: [[Int]: Int] = [:]
        islands = priced.filter { island in
            let shape = [island.start.pipelines.count, island.start.pipelines.first?.count ?? 0]
            ofShape[shape, default: 0] += 1
            return ofShape[shape, default: 0] <= 2
        }
        islands = Array(islands.prefix(Self.islandCount))
        firstRounds = islands.count
        starts = []
    }

    /// The value of an arrangement under the best schedule; every layout on the way is handed over.
    private mutating func price(_ start: Arrangement, found: (Int, Layout, Double) -> Void) -> Double {
        var best = Double.infinity
        for index in builders.indices {
            builder = index
            pipelines = []
            guard let built = build(start, changed: nil) else { continue }
            let (layout, value) = price(built, of: start)
            found(index, layout, value)
            best = min(best, value)
        }
        return best
    }

    /// Every island gets a short round first; then those whose best is best get longer ones more often, mostly from that
    /// best, now and then from the start again.
    private mutating func beginRound() {
        step = 0
        guard !islands.isEmpty else { return }
        keepRoundBest()
        if directBuilder != nil || timesLaterRounds, !isWarm {
            let best = islands.map(\.seconds).min() ?? 0
            while round < firstRounds, islands[round].seconds > best * Self.hopeless { round += 1 }
        }
        let timedLength = tables.peers > Self.dearPeers ? Self.dearRoundLength : Self.timedRoundLength
        if !isTimed, !isUntimed, round >= firstRounds, timesLaterRounds { beginTimed() }
        var length = isWarm ? Self.warmRoundLength : isTimed ? timedLength : Self.laterRoundLength
        var heat = Self.hot / 10
        if round < firstRounds {
            // Structured starts are easily spoilt: their first round is a cool one.
            island = round
            builder = islands[island].builder
            arrangement = islands[island].start
            if !isWarm { length = 1 }
        } else {
            let ranked = islands.indices.sorted { (islands[$0].seconds, $0) < (islands[$1].seconds, $1) }
            var rank = 0
            while rank + 1 < ranked.count, generator.index(below: 3) == 0 { rank += 1 }
            island = ranked[rank]
            // There is time for so few long rounds in levels that the first ones are not left to chance.
            let isFirst = directBuilder != nil && !isWarm && round - firstRounds < Self.knownIslands
            if isFirst { island = ranked.first { !islands[$0].isKnown } ?? island }
            let turn = directBuilder == nil || isWarm || isFirst ? 0 : (round - firstRounds) % 4
            let isNew = turn == 1 || turn == 3
            // Later, where groups have changed places, only what has come near the best.
            let near = islands[ranked[0]].seconds * Self.promising
            if directBuilder != nil, !isWarm, !isNew, let next = ranked.first(where: { !islands[$0].isKnown }),
                islands[next].seconds < near
            {
                island = next
            }
            islands[island].isKnown = islands[island].isKnown || !isNew
            builder = islands[island].builder
            arrangement = islands[island].best
            switch generator.index(below: 8) {
            case 0..<6 where isWarm:
                heat = Self.hot / (generator.index(below: 2) == 0 ? 5 : 20)
            case 0 where !isFirst:
                heat = Self.hot
                arrangement = islands[island].start
            case 1 where !isFirst:
                builder = generator.index(below: builders.count)
            default:
                heat = generator.index(below: 3) == 0 ? Self.hot / 3 : Self.hot
            }
            if isTimed, tables.peers > Self.dearPeers { heat = min(heat, Self.hot / 10) }
            if directBuilder != nil, !isWarm {
                // What levels make dear to price is searched near the best; a direct search goes farther (`IterationPlanner`).
                length = Self.levelRoundLength
                heat = min(heat, Self.hot / 10)
                let like = turn == 1 ? generator.index(below: min(Self.freshLikes, ranked.count)) : 0
                if isNew,
                    let fresh = turn == 1 ? freshIsland(like: ranked[like]) : rotatedIsland(of: ranked[like])
                {
                    island = fresh
                    builder = islands[fresh].builder
                    arrangement = islands[fresh].start
                    length = 1
                }
            }
        }
        stepsOfRound = max(200, problem.graph.count * 40) * length
        pipelines = []
        roundBest = nil
        if let built = build(arrangement, changed: nil) {
            pipelines = built
            if isTimed {
                fitSlices(isNew: true)
            } else {
                let priced = price(built, of: arrangement)
                seconds = priced.seconds
                remember(priced.layout, arrangement, priced.seconds)
            }
        } else {
            seconds = .infinity
        }
        let scale = elite.first?.seconds ?? 1
        temperature = scale * heat
        cooling = Cooling.factor(from: heat, to: Self.cold, steps: stepsOfRound)
    }
}
