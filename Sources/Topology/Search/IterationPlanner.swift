/// Plans for the shortest iteration: search under the closed form, refinement and judgement under the simulator.
///
/// Where exchanges may be spread over all peers, a second search lets only the holders of a layer exchange its gradients, which
/// is better where bytes are few and peers far: a spread exchange has to do with the farthest. What it finds are starts
/// for the first. Which of the two gets more of the time depends on what they find.
struct IterationPlanner {
    private let problem: PlanningProblem
    private let tables: CostTables
    private var search: IterationSearch
    private var direct: IterationSearch?
    /// Seconds of the direct search's best that the other one has taken over.
    private var adopted = Double.infinity
    private let budget: Int
    private let isShort: Bool
    private let exactNodes: Int
    private let budgetOfCost: CostBudget

    init(
        _ problem: PlanningProblem, options: PlannerOptions, warmStarts: [Arrangement] = []
    ) throws(PlanningError) {
        self.problem = problem
        tables = CostTables(problem)
        try MemoryCheck(problem: problem, tables: tables).validate()
        budgetOfCost = CostBudget(problem)
        try budgetOfCost.validate(problem, tables: tables)
        // Few peers are searched thoroughly in a fraction of a second; many get what a few seconds allow.
        let usual = max(20_000, min(tables.peers, 64) * (tables.peers > 16 ? 12_000 : 2_500))
        budget = options.budget ?? usual * max(1, options.patience)
        // A short search is for someone who waits.
        isShort = tables.peers > 160 || tables.peers > 8 && (options.budget ?? .max) <= Self.shortBudget
        exactNodes =
            tables.peers <= IterationExact.mostPeers
            ? options.exactNodes ?? (options.budget == nil ? Self.usualExactNodes : 0) : 0
        search = IterationSearch(
            problem, tables: tables, exchange: .searched(tables), seed: options.seed,
            effort: min(budget, usual), warmStarts: warmStarts)
        if tables.spreadsExchange, warmStarts.isEmpty {
            var plain = problem
            plain.exchangesInLevels = false
            direct = IterationSearch(
                plain, tables: CostTables(plain), seed: options.seed, effort: min(budget, usual))
        }
    }

    /// How much dearer a candidate is that spreads its exchange, about.
    private static let costOfSpreading = 2
    /// How much better one search must be for three quarters of the time rather than half; a guess.
    private static let advantage = 1.01
    /// How much worse the direct search may be after its best starts' first rounds for more than an eighth, where there are so
    /// many peers that a time limit hardly leaves room for longer rounds. Among fewer those may gain 40 %.
    private static let hopeless = 1.1
    private static let roundsOfTrial = 3
    private static let patientPeers = 32
    private static let shares = 8

    /// Candidates of a search that must not take longer than about a second.
    private static let shortBudget = 30_000
    /// About three seconds.
    private static let usualExactNodes = 1_000_000
    /// Of the nodes for the exact search one in so many is for the bound with divisions and skeletons of each number of
    /// pipelines, some seconds in all.
    private static let nodesForBound = 16

    var evaluations: Int { search.steps + (direct?.steps ?? 0) }

    var isFinished: Bool { evaluations >= budget }

    mutating func advance(_ count: Int) {
        let count = min(count, budget - evaluations)
        guard count > 0 else { return }
        guard var direct else { return search.advance(count) }
        self.direct = nil
        if direct.steps <= search.steps * Self.costOfSpreading * share(direct) / (Self.shares - share(direct)) {
            let round = direct.round
            direct.advance(count)
            if direct.round > round, let best = direct.elite.first, best.seconds < adopted {
                adopted = best.seconds
                search.adopt(best.arrangement)
            }
        } else {
            search.advance(count)
        }
        self.direct = direct
    }

    /// Parts of the time for the direct search, of eight.
    private func share(_ direct: IterationSearch) -> Int {
        guard let spread = search.bestSeconds, let best = direct.bestSeconds else { return Self.shares / 2 }
        if tables.peers > Self.patientPeers, search.round > 0, best > spread * Self.hopeless,
            direct.round >= min(direct.firstRounds, Self.roundsOfTrial)
        {
            return 1
        }
        guard search.round > search.firstRounds, direct.round > direct.firstRounds else { return Self.shares / 2 }
        if best > spread * Self.advantage { return Self.shares / 4 }
        return spread > best * Self.advantage ? Self.shares * 3 / 4 : Self.shares / 2
    }

    /// What the searches have found, best first, with what levels are only said to take last.
    private var candidates: [Layout] {
        var known = search.elite.map { ($0.layout, $0.seconds) }
        for (layout, _, seconds) in direct?.elite.prefix(Self.directCandidates) ?? [] {
            var layout = layout
            layout.exchange = .direct
            known.append((layout, seconds))
        }
        return search.champions.map(\.layout).filter { $0.exchange != .timed } + known.sorted { $0.1 < $1.1 }.map(\.0)
    }

    private static let directCandidates = 4

    /// The layout with the exchange that suits it best, or another of those that the search has found if that is better once
    /// both have slices that suit when who has its gradients.
    private func withBestExchange(_ found: Layout) -> Layout {
        var best = found.withBetterExchange(tables: tables)
        guard tables.spreadsExchange else { return best }
        var seconds = surcharged(best)
        // What is good for the holders alone is often better still if all help.
        let others = (direct?.elite ?? []).prefix(isShort ? 0 : Self.directCandidates).map {
            $0.layout.timed(tables: tables).layout
        }
        let timed = search.champions.map(\.layout).filter { $0.exchange == .timed }
        for layout in timed.prefix(isShort ? 1 : timed.count) + others {
            guard layout.fitsMemory(tables: tables) else { continue }
            let value = surcharged(layout)
            guard value < seconds else { continue }
            best = layout
            seconds = value
        }
        return best
    }

    /// The layout with relays, or the template if that is better once both have them: no plan may be worse, but for 2 %
    /// where the template leaves peers out.
    private func withBestRelays(_ found: Layout, template: Layout?, isOver: () -> Bool) -> Layout {
        guard tables.relaysExchange, !isShort, !isOver() else { return found }
        let relayed = found.withRelays(tables: tables)
        guard let template, template != found.withoutRelays else { return relayed }
        let other = CompressionChoice(tables: tables).relaxed(template).withRelays(tables: tables)
        // Where spares stand is not part of the time unless the whole shape is given; a template's are often all in one place.
        let share = Set(template.peers).count < tables.peers ? Self.worthOfStandbys : 1
        return surcharged(other) < surcharged(relayed) * share ? other : relayed
    }

    /// How much faster a template must be that leaves peers out; a guess.
    private static let worthOfStandbys = 0.98

    private func surcharged(_ layout: Layout) -> Double {
        IterationSimulator.run(layout, tables: tables).seconds * (search.standbys?.surcharge(layout) ?? 1)
    }

    /// The best plan so far under the simulator.
    func result(isOver: () -> Bool) throws(PlanningError) -> (
        layout: Layout, trace: IterationTrace, bound: Double, isOptimal: Bool
    ) {
        guard search.hasFound || direct?.hasFound == true else {
            if let error = budgetOfCost.nothingFound { throw error }
            throw PlanningError(
                .tooLittleMemory,
                "no arrangement found that fits the peers' memory: use more stages, fewer micro-batches in flight or "
                    + "smaller micro-batches")
        }
        func surcharge(_ layout: Layout) -> Double { search.standbys?.surcharge(layout) ?? 1 }
        var best: Layout?
        var seconds = Double.infinity
        let isSmall = tables.peers <= 8 && tables.microBatches <= 64
        var measurements = isSmall ? min(6_000, budget / 4) : max(40, 60_000 / max(1, tables.microBatches * 8))
        // A short search judges the best three only.
        for candidate in candidates.prefix(isShort ? 3 : max(search.elite.count, direct?.elite.count ?? 0)) {
            let used = Set(candidate.peers)
            let refinement = Refinement(
                tables: tables, spares: (0..<tables.peers).filter { !used.contains($0) }, swapsPeers: isSmall,
                budget: budgetOfCost)
            var start = candidate
            if !isSmall {
                // The simulator is too dear to lead a search over many stages: the closed form leads, it judges.
                var closedForm = ClosedForm(tables: tables)
                closedForm.memo = ClosedForm.Memo()
                let limit = isShort || closedForm.isDear(start) ? 30 : 300
                start = refinement.run(start, limit: limit, isOver: isOver, measure: closedForm.seconds).layout
            }
            let share = isSmall ? max(1, measurements / 2) : 1
            let refined = refinement.run(start, limit: share, isOver: isOver) {
                IterationSimulator.run($0, tables: tables).seconds
            }
            measurements -= refined.used
            let value = refined.seconds * surcharge(refined.layout)
            if value < seconds {
                seconds = value
                best = refined.layout
            }
            if measurements <= 0 || isOver() { break }
        }
        if let found = best {
            let finished = withBestExchange(found)
            best = finished
            seconds = IterationSimulator.run(finished, tables: tables).seconds * surcharge(finished)
        }
        // Templates with equal cuts in all pipelines are not among the starts, whose cuts follow the peers' speeds.
        let template = isShort ? nil : Baselines.bestTemplate(problem)
        if let template, template.trace.seconds * surcharge(template.layout) < seconds { best = template.layout }
        var isOptimal = false
        if exactNodes > 0, let known = best {
            let value = IterationSimulator.run(known, tables: tables).seconds
            var exact = IterationExact(problem, tables: tables, seconds: value, nodeLimit: exactNodes)
            isOptimal = exact.run(isOver: isOver)
            best = exact.best?.withBetterExchange(tables: tables) ?? known
        }
        let layout = withBestRelays(
            CompressionChoice(tables: tables).relaxed(best ?? candidates[0]), template: template?.layout, isOver: isOver
        )
        let trace = IterationSimulator.run(layout, tables: tables)
        // Links that are left plain for the sake of accuracy cost a little time.
        isOptimal = isOptimal && layout.plainLinks.isEmpty
        let bound =
            isOptimal
            ? trace.seconds
            : IterationLowerBound(problem: problem, tables: tables, isRough: isShort)
                .seconds(plan: trace.seconds, nodes: exactNodes / Self.nodesForBound, isOver: isOver)
        return (layout, trace, bound, isOptimal)
    }
}
