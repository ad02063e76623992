/// A search that can be stopped at any time and always has its best plan so far.
///
/// It reads no clock: the caller asks for so many candidates at a time and stops when it likes. The outcome depends on
/// the problem, the seed and the number of candidates alone.
package struct PlanSearch {
    private enum Engine {
        case iteration(IterationPlanner)
        case dtfm(DTFMPlanner)
    }

    package let problem: PlanningProblem
    package let options: PlannerOptions
    private var engine: Engine

    /// Checks the problem and prepares the search.
    package init(_ problem: PlanningProblem, options: PlannerOptions = PlannerOptions()) throws(PlanningError) {
        try self.init(problem, options: options, warmStarts: [])
    }

    init(
        _ problem: PlanningProblem, options: PlannerOptions, warmStarts: [Arrangement]
    ) throws(PlanningError) {
        try problem.validate()
        self.problem = problem
        self.options = options
        switch options.objective {
        case .iteration:
            engine = .iteration(try IterationPlanner(problem, options: options, warmStarts: warmStarts))
        case .dtfm:
            try CostBudget(problem).validateAll()
            engine = .dtfm(try DTFMPlanner(problem, options: options))
        }
    }

    /// Candidates looked at so far.
    package var evaluations: Int {
        switch engine {
        case .iteration(let planner): planner.evaluations
        case .dtfm(let planner): planner.evaluations
        }
    }

    /// Whether the budget is used up or the optimum proven.
    package var isFinished: Bool {
        switch engine {
        case .iteration(let planner): planner.isFinished
        case .dtfm(let planner): planner.isFinished
        }
    }

    /// Looks at up to `candidates` more.
    package mutating func advance(_ candidates: Int) {
        switch engine {
        case .iteration(var planner):
            planner.advance(candidates)
            engine = .iteration(planner)
        case .dtfm(var planner):
            planner.advance(candidates)
            engine = .dtfm(planner)
        }
    }

    /// The best plan so far with its figures.
    ///
    /// - Parameter isOver: asked now and then while the best plans are refined, and the plans of few peers searched to their end
    ///   and their bounds sought: whether to leave it at what there is.
    package func report(isOver: () -> Bool = { false }) throws(PlanningError) -> PlanReport {
        switch engine {
        case .iteration(let planner):
            let result = try planner.result(isOver: isOver)
            let trace = result.trace
            return report(
                layout: result.layout, seconds: trace.seconds,
                parts: PlanReport.parts(of: trace), bound: min(result.bound, trace.seconds),
                isOptimal: result.isOptimal,
                trace: trace)
        case .dtfm(let planner):
            let result = planner.result()
            return report(
                layout: result.layout, seconds: result.seconds, parts: result.parts, bound: result.bound,
                isOptimal: result.isOptimal,
                trace: IterationSimulator.run(result.layout, tables: CostTables(problem)))
        }
    }

    private func report(
        layout: Layout, seconds: Double, parts: [PlanReport.Part], bound: Double, isOptimal: Bool,
        trace: IterationTrace
    ) -> PlanReport {
        PlanReport(
            problem: problem.name, objective: options.objective, objectiveSeconds: seconds, parts: parts,
            lowerBoundSeconds: bound, isOptimal: isOptimal, seed: options.seed, evaluations: evaluations,
            plan: Plan(
                layout, problem: problem,
                predictedIterationSeconds: layout.exchange == .relayed
                    ? IterationSimulator.run(layout.withoutRelays, tables: CostTables(problem)).seconds : trace.seconds),
            layout: layout,
            trace: trace)
    }
}

/// Makes plans in one call.
package enum Planner {
    /// Searches until the budget is used up.
    package static func plan(
        _ problem: PlanningProblem, options: PlannerOptions = PlannerOptions()
    ) throws(PlanningError) -> PlanReport {
        var search = try PlanSearch(problem, options: options)
        while !search.isFinished { search.advance(4096) }
        return try search.report()
    }
}

extension Plan {
    /// A layout with identities for indices.
    init(_ layout: Layout, problem: PlanningProblem, predictedIterationSeconds: Double) {
        let nodes = problem.graph.nodes
        let used = Set(layout.peers)
        self.init(
            graphDigest: problem.graph.digest, schedule: layout.schedule,
            pipelines: layout.pipelines.enumerated().map { rank, pipeline in
                pipeline.map {
                    StageAssignment(
                        peer: nodes[$0.peer].peer, firstLayer: $0.layers.lowerBound, layerCount: $0.layers.count,
                        microBatches: layout.microBatches[rank],
                        depth: max(1, min($0.depth, layout.microBatches[rank])))
                }
            }, spares: nodes.indices.filter { !used.contains($0) }.map { nodes[$0].peer },
            predictedIterationSeconds: predictedIterationSeconds)
    }
}
