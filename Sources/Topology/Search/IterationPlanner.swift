/// Plans for the shortest iteration: search under the closed form, refinement and judgement under the simulator.
struct IterationPlanner {
    private let problem: PlanningProblem
    private let tables: CostTables
    private var search: IterationSearch
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
            problem, tables: tables, seed: options.seed, effort: min(budget, usual), warmStarts: warmStarts)
    }

    /// Candidates of a search that must not take longer than about a second.
    private static let shortBudget = 30_000
    /// About three seconds.
    private static let usualExactNodes = 1_000_000

    var evaluations: Int { search.steps }

    var isFinished: Bool { search.steps >= budget }

    mutating func advance(_ count: Int) {
        guard !isFinished else { return }
        search.advance(min(count, budget - search.steps))
    }

    /// The best plan so far under the simulator.
    func result() throws(PlanningError) -> (
        layout: Layout, trace: IterationTrace, bound: Double, isOptimal: Bool
    ) {
        guard search.hasFound else {
            if let error = budgetOfCost.nothingFound { throw error }
            throw PlanningError(
                .tooLittleMemory,
                "no arrangement found that fits the peers' memory: use more stages, fewer micro-batches in flight or "
                    + "smaller micro-batches")
        }
        var best: Layout?
        var seconds = Double.infinity
        let isSmall = tables.peers <= 8 && tables.microBatches <= 64
        var measurements = isSmall ? min(6_000, budget / 4) : max(40, 60_000 / max(1, tables.microBatches * 8))
        // A short search judges the best three only.
        for candidate in search.elite.prefix(isShort ? 3 : search.elite.count) {
            let used = Set(candidate.layout.peers)
            let refinement = Refinement(
                tables: tables, spares: (0..<tables.peers).filter { !used.contains($0) }, swapsPeers: isSmall,
                budget: budgetOfCost)
            var start = candidate.layout
            if !isSmall {
                // The simulator is too dear to lead a search over many stages: the closed form leads, it judges.
                var closedForm = ClosedForm(tables: tables)
                closedForm.memo = ClosedForm.Memo()
                start = refinement.run(start, limit: isShort ? 30 : 300, measure: closedForm.seconds).layout
            }
            let share = isSmall ? max(1, measurements / 2) : 1
            let refined = refinement.run(start, limit: share) {
                IterationSimulator.run($0, tables: tables).seconds
            }
            measurements -= refined.used
            if refined.seconds < seconds {
                seconds = refined.seconds
                best = refined.layout
            }
            if measurements <= 0 { break }
        }
        // Templates with equal cuts in all pipelines are not among the starts, whose cuts follow the peers' speeds.
        if !isShort, let template = Baselines.bestTemplate(problem), template.trace.seconds < seconds {
            best = template.layout
        }
        best = best?.withBetterExchange(tables: tables)
        var isOptimal = false
        if exactNodes > 0, let known = best {
            let value = IterationSimulator.run(known, tables: tables).seconds
            var exact = IterationExact(problem, tables: tables, seconds: value, nodeLimit: exactNodes)
            isOptimal = exact.run()
            best = exact.best ?? known
        }
        let layout = CompressionChoice(tables: tables).relaxed(best ?? search.elite[0].layout)
        let trace = IterationSimulator.run(layout, tables: tables)
        // Links that are left plain for the sake of accuracy cost a little time.
        isOptimal = isOptimal && layout.plainLinks.isEmpty
        let bound = isOptimal ? trace.seconds : IterationLowerBound(problem: problem, tables: tables).seconds
        return (layout, trace, bound, isOptimal)
    }
}
