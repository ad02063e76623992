/// A search for a plan for generation that can be stopped at any time and always has its best plan so far.
///
/// As `PlanSearch`, it reads no clock: the outcome depends on the problem, the seed and the number of candidates alone.
package struct GenerationSearch {
    private enum Engine {
        case latency(LatencySearch)
        case throughput(ThroughputSearch)
    }

    package let problem: PlanningProblem
    package let goal: PlanningGoal
    private let options: PlannerOptions
    private let tables: GenerationTables
    private let budget: CostBudget
    private let affinity: Affinity
    private var engine: Engine
    private let candidates: Int
    /// Tokens a second that no plan exceeds.
    private var mostTokens = Double.infinity

    /// Checks the problem and prepares the search.
    ///
    /// - Parameter goal: `latency` or `throughput`.
    package init(
        _ problem: PlanningProblem, goal: PlanningGoal, options: PlannerOptions = PlannerOptions()
    ) throws(PlanningError) {
        var problem = problem
        // A sequence is answered by one pipeline; batches are training's.
        if goal == .latency { problem.shape.replicas = nil }
        problem.batch = PlanningProblem.Batch(
            sequences: max(1, problem.shape.replicas ?? 1), microBatchSequences: 1)
        try problem.validate()
        self.problem = problem
        self.goal = goal
        self.options = options
        tables = try GenerationTables(problem)
        budget = CostBudget(problem)
        try GenerationCheck(problem: problem, tables: tables, budget: budget).validate()
        affinity = IterationSearch.affinity(CostTables(problem))
        let usual = max(5_000, min(tables.peers, 64) * (goal == .latency ? 300 : 600))
        candidates = options.budget ?? usual * max(1, options.patience)
        switch goal {
        case .iteration:
            throw PlanningError(.unsupported, "an iteration is planned by PlanSearch")
        case .latency:
            engine = .latency(
                LatencySearch(
                    problem, tables: tables, budget: budget, affinity: affinity, seed: options.seed,
                    patience: options.patience))
        case .throughput:
            mostTokens =
                ThroughputBound(
                    tables: tables, budget: budget, leastAnswer: LatencyBound.ofAll(tables)
                ).tokensPerSecond
            engine = .throughput(
                ThroughputSearch(problem, tables: tables, budget: budget, affinity: affinity, seed: options.seed))
        }
    }

    /// Candidates looked at so far.
    package var evaluations: Int {
        switch engine {
        case .latency(let search): search.steps
        case .throughput(let search): search.steps
        }
    }

    /// Whether the budget is used up or the optimum proven.
    package var isFinished: Bool {
        switch engine {
        case .latency(let search): search.isProven || evaluations >= candidates
        case .throughput(let search): (search.elite.first?.rate ?? 0) >= mostTokens || evaluations >= candidates
        }
    }

    /// Looks at up to `count` more.
    package mutating func advance(_ count: Int) {
        let count = min(count, candidates - evaluations)
        guard count > 0 else { return }
        switch engine {
        case .latency(var search):
            search.advance(count)
            engine = .latency(search)
        case .throughput(var search):
            search.advance(count)
            engine = .throughput(search)
        }
    }

    /// The best plan so far with its figures.
    package func report() throws(PlanningError) -> GenerationReport {
        switch engine {
        case .latency(var search):
            search.refine()
            guard let best = search.best else { throw nothingFound }
            return report(
                GenerationLayout(pipelines: [best]), bound: search.bound / Double(tables.newTokens),
                isOptimal: search.isProven)
        case .throughput(let search):
            guard let layout = judged(search) else { throw nothingFound }
            return report(layout, bound: 1 / mostTokens, isOptimal: false)
        }
    }

    /// The best of the search's candidates once their groups are followed pass by pass, with prompts whole or in chunks and
    /// more or fewer groups, whatever suits each pipeline.
    private func judged(_ search: ThroughputSearch) -> GenerationLayout? {
        let formula = GenerationThroughput(tables: tables)
        var settled: [GenerationLayout.Pipeline: (pipeline: GenerationLayout.Pipeline, rate: Double)] = [:]
        func settle(_ pipeline: GenerationLayout.Pipeline) -> (pipeline: GenerationLayout.Pipeline, rate: Double) {
            if let known = settled[pipeline] { return known }
            var best = (pipeline, formula.steady(pipeline))
            for chunks in tables.chunkChoices where pipeline.stages.count > 1 {
                for share in [(1, 1), (2, 1), (1, 2)] {
                    var trial = pipeline
                    trial.promptChunks = chunks
                    trial.groups = max(1, pipeline.groups * share.0)
                    trial.groupSequences = max(1, pipeline.groupSequences / share.0)
                    if share.1 == 2 {
                        trial.groups = max(1, pipeline.groups / 2)
                        trial.groupSequences = pipeline.groupSequences * 2
                    }
                    guard trial.sequences <= pipeline.sequences,
                        trial.groupSequences <= ThroughputBuilder.mostGroup
                    else { continue }
                    let rate = formula.steady(trial)
                    if rate > best.1 * (1 + 1e-9) { best = (trial, rate) }
                }
            }
            settled[pipeline] = best
            return best
        }
        var best: (layout: GenerationLayout, rate: Double)?
        for candidate in search.elite.prefix(tables.peers > 160 ? 2 : search.elite.count) {
            let pipelines = candidate.layout.pipelines.map(settle)
            let rate = pipelines.reduce(0) { $0 + $1.rate }
            if rate > best?.rate ?? 0 { best = (GenerationLayout(pipelines: pipelines.map(\.pipeline)), rate) }
        }
        return best?.layout
    }

    private func report(_ layout: GenerationLayout, bound: Double, isOptimal: Bool) -> GenerationReport {
        let pipelines = layout.pipelines.map { GenerationReport.Pipeline($0, tables: tables) }
        let rate = pipelines.reduce(0) { $0 + $1.tokensPerSecond }
        let seconds =
            goal == .latency ? (pipelines.first?.answerSeconds ?? 0) / Double(tables.newTokens) : 1 / max(rate, 1e-300)
        return GenerationReport(
            problem: problem.name, goal: goal, objectiveSeconds: seconds, lowerBoundSeconds: min(bound, seconds),
            isOptimal: isOptimal || seconds <= bound * (1 + 1e-9), seed: options.seed, evaluations: evaluations,
            layout: layout, pipelines: pipelines,
            costPerHour: budget.cost(of: layout.peers))
    }

    private var nothingFound: PlanningError {
        budget.nothingFound
            ?? PlanningError(
                .tooLittleMemory,
                "no arrangement found that fits the peers' memory: use other numbers of stages, or shorter prompts and "
                    + "answers")
    }
}

/// A plan for generation with the reasons for it.
package struct GenerationReport: Sendable {
    /// One pipeline's figures as simulated.
    package struct Pipeline: Hashable, Sendable {
        /// Seconds until a lone sequence's first token, between its further tokens, and until its answer is complete.
        package var timeToFirstToken: Double
        package var timePerOutputToken: Double
        package var answerSeconds: Double
        /// With all groups in flight.
        package var tokensPerSecond: Double
        package var stages: [Stage]

        init(_ pipeline: GenerationLayout.Pipeline, tables: GenerationTables) {
            var alone = pipeline
            alone.groups = 1
            alone.groupSequences = 1
            let latency = GenerationLatency(alone, tables: tables)
            timeToFirstToken = latency.timeToFirstToken
            timePerOutputToken = latency.timePerOutputToken
            answerSeconds = latency.total
            let throughput = GenerationThroughput(tables: tables)
            let rate = throughput.steady(pipeline)
            tokensPerSecond = rate
            let answers = rate / Double(tables.newTokens * pipeline.groupSequences)
            stages = pipeline.stages.indices.map { position in
                let stage = pipeline.stages[position]
                let busy = throughput.busySeconds(pipeline, position)
                return Stage(
                    prefillSeconds: tables.prefillSeconds(
                        stage.layers, on: stage.peer, sequences: pipeline.groupSequences,
                        tokens: 0..<tables.promptTokens),
                    decodeSeconds: tables.decodeSeconds(
                        stage.layers, on: stage.peer, sequences: pipeline.groupSequences,
                        context: tables.promptTokens + 1),
                    busyShare: min(1, busy.compute * answers), linkShare: min(1, busy.link * answers),
                    memoryBytes: tables.stageBytes(stage.layers, sequences: pipeline.sequences))
            }
        }
    }

    /// One stage's figures.
    package struct Stage: Hashable, Sendable {
        /// Seconds of a group's whole prompt, and of its second token.
        package var prefillSeconds: Double
        package var decodeSeconds: Double
        /// The part of the time that the peer computes and that the link after it is busy, with all groups in flight.
        package var busyShare: Double
        package var linkShare: Double
        /// Weights and the full caches of all sequences in flight.
        package var memoryBytes: Double
    }

    package var problem: String
    package var goal: PlanningGoal
    /// Seconds a token: normalised latency, or one divided by the throughput.
    package var objectiveSeconds: Double
    /// No plan of the problem needs less.
    package var lowerBoundSeconds: Double
    package var isOptimal: Bool
    package var seed: UInt64
    package var evaluations: Int
    package var layout: GenerationLayout
    package var pipelines: [Pipeline]
    /// What the plan's peers cost an hour.
    package var costPerHour: Double

    /// Tokens a second over all pipelines with all groups in flight.
    package var tokensPerSecond: Double { pipelines.reduce(0) { $0 + $1.tokensPerSecond } }

    /// The stage or link of a pipeline that is busiest, and whether it is a link.
    func busiest(_ rank: Int) -> (position: Int, isLink: Bool) {
        var best = (position: 0, isLink: false)
        var most = -1.0
        for (position, stage) in pipelines[rank].stages.enumerated() {
            if stage.busyShare > most {
                most = stage.busyShare
                best = (position, false)
            }
            if stage.linkShare > most {
                most = stage.linkShare
                best = (position, true)
            }
        }
        return best
    }

    /// (objective − lower bound) / lower bound.
    package var gap: Double {
        lowerBoundSeconds > 0 ? (objectiveSeconds - lowerBoundSeconds) / lowerBoundSeconds : .infinity
    }
}
