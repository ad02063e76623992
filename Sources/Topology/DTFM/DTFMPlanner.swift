/// Plans under DT-FM's objective: annealing, and for small problems the proof.
struct DTFMPlanner {
    private let problem: PlanningProblem
    private let tables: DTFMTables
    private let evaluator: DTFMEvaluator
    private var search: DTFMSearch
    private let budget: Int
    private var exact: DTFMState?

    /// Partitions up to which every one is looked at.
    private static let exactPartitions = 100_000

    init(_ problem: PlanningProblem, options: PlannerOptions) throws(PlanningError) {
        self.problem = problem
        tables = try DTFMTables(problem)
        evaluator = DTFMEvaluator(tables: tables)
        search = DTFMSearch(evaluator: evaluator, tables: tables, seed: options.seed)
        budget = options.budget ?? tables.peers * 20_000 * max(1, options.patience)
    }

    var evaluations: Int { search.steps }

    var isFinished: Bool { exact != nil || search.steps >= budget }

    mutating func advance(_ count: Int) {
        guard !isFinished else { return }
        search.advance(min(count, budget - search.steps))
        // Small problems are proven once the annealing has found a good cut-off.
        let partitions = DTFMExact.partitions(
            peers: tables.peers, stages: tables.stages, replicas: tables.replicas, limit: Self.exactPartitions)
        if partitions < Self.exactPartitions, search.steps >= min(budget, 2_000) {
            var proof = DTFMExact(evaluator: evaluator, start: search.best)
            proof.run()
            exact = proof.best
        }
    }

    /// The best plan so far.
    func result() -> (layout: Layout, seconds: Double, parts: [PlanReport.Part], bound: Double, isOptimal: Bool) {
        let state = DTFMState(members: (exact ?? search.best).members, evaluator: evaluator)
        let bound = exact == nil ? tables.lowerBound : state.seconds
        return (
            layout(of: state), state.seconds,
            [
                PlanReport.Part(name: "dataParallel", seconds: state.exchange),
                PlanReport.Part(name: "pipeline", seconds: 2 * state.path),
            ], bound, exact != nil
        )
    }

    /// Pipelines from the stages in path order, linked by the matchings that realise the objective's edges.
    private func layout(of state: DTFMState) -> Layout {
        let replicas = tables.replicas
        let order = evaluator.shortestPathOrder(state.edges)
        func members(_ stage: Int) -> [Int] { Array(state.members[(stage * replicas)..<((stage + 1) * replicas)]) }
        var pipelines = members(order[0]).map { [$0] }
        for stage in order.dropFirst() {
            let left = pipelines.compactMap(\.last)
            let right = members(stage)
            // The matching must be made at the bottleneck's rank: a cheaper-looking assignment that uses one dearer
            // pair would not have the value that the objective counted.
            let rank = evaluator.bottleneckRank(left, right)
            let columns = evaluator.matching(left, right, threshold: rank) ?? Array(0..<replicas)
            for (row, column) in columns.enumerated() { pipelines[row].append(right[column]) }
        }
        let cuts = LayerSplit.even(layers: problem.model.layers.count, stages: tables.stages)
        let microBatches = MicroBatchSplit.even(problem.batch.microBatches, over: replicas)
        // The objective knows no memory; the pipelines hold what fits, and where nothing fits one micro-batch.
        let builder = LayoutBuilder(
            tables: CostTables(problem), schedule: problem.schedule ?? .deepOneForwardOneBackward)
        return Layout(
            pipelines: zip(pipelines, microBatches).map { peers, share in
                builder.pipeline(peers, cuts: cuts, share: share)?.stages
                    ?? zip(peers, cuts).map { Layout.Stage(peer: $0, layers: $1, depth: 1) }
            }, microBatches: microBatches, schedule: builder.schedule)
    }
}
