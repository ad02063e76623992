package import Primitives

/// Makes the next plan when peers have left, joined or changed: little movement before a little more speed.
///
/// Candidates are the previous plan as it is (if all of its peers are still there), the previous plan with every gap
/// filled by one spare or closed by its neighbours, and a search that starts from the repaired plan. Each is judged by
/// the time that `horizonIterations` take under it plus the time to move the weights and optimiser state that its peers do
/// not have yet. A plan that still works is only given up for a gain above `hysteresis`, so that noise in measurements does
/// not make peers swap layers back and forth (Petals' issue 389 shows what happens otherwise). Nor is one whose gaps spares
/// have filled so well that an iteration takes hardly longer than before: what a search gains on it, it could have gained
/// before, and a peer's leaving is no occasion for all others to fetch their layers anew. Where spares have filled all
/// gaps less well, a plan that moves others must gain three times the hysteresis.
package enum Replanner {
    /// How much a new plan must gain.
    package struct Options: Sendable {
        package var planner: PlannerOptions
        /// Iterations over which a move must pay off.
        package var horizonIterations: Double
        /// Smallest relative gain for which a working plan is changed.
        package var hysteresis: Double
        /// Asked now and then while the search goes on; it ends early once this is true.
        package var isOver: @Sendable () -> Bool
        /// The same of what comes after the search.
        package var isFarOver: @Sendable () -> Bool

        package init(
            planner: PlannerOptions = PlannerOptions(budget: usualBudget), horizonIterations: Double = usualHorizon,
            hysteresis: Double = 0.05, isOver: @escaping @Sendable () -> Bool = { false },
            isFarOver: @escaping @Sendable () -> Bool = { false }
        ) {
            self.planner = planner
            self.horizonIterations = horizonIterations
            self.hysteresis = hysteresis
            self.isOver = isOver
            self.isFarOver = isFarOver
        }
    }

    /// The next plan and what it costs to get there.
    package struct Outcome: Sendable {
        package var report: PlanReport
        /// Whether the previous plan stays as it is.
        package var keepsPrevious: Bool
        /// Seconds of an iteration of the previous plan on the new graph; `nil` if one of its peers is gone or too small.
        package var previousSeconds: Double?
        /// Bytes of weights and optimiser state that peers must fetch.
        package var movedBytes: Double
        /// Peers that must fetch anything.
        package var movedPeers: [PeerID]
        /// Seconds until the last of them has it, if each fetches over its fastest link.
        package var moveSeconds: Double
    }

    /// Iterations over which a move must pay off if nobody knows better; a guess.
    package static let usualHorizon = 200.0

    /// Candidates of a search that starts from the plan in force: about a second and a half's worth.
    package static let usualBudget = 30_000

    /// Candidates between two questions whether time is over.
    private static let slice = 64

    /// Bytes of a parameter's weight and AdamW moments in a checkpoint: three f32.
    static let checkpointBytesPerParameter = 12.0

    /// Changes looked at after a gap is filled: a fraction of a second's worth.
    private static let settlements = 2_000

    /// How many times the hysteresis a plan must gain to move the shards of others where spares have filled all gaps.
    private static let upheaval = 3.0

    /// How much shorter the search is where spares have filled all gaps.
    private static let spareBudgetDivisor = 32

    /// How much shorter the search without a spare is where all peers help with exchanges, whose candidates are dearer: it
    /// must not take much longer than two seconds.
    private static let spreadBudgetDivisor = 8

    /// Plans `problem`, whose graph is the new one, given the plan in force.
    package static func replan(
        _ previous: Plan, problem: PlanningProblem, options: Options = Options()
    ) throws(PlanningError) -> Outcome {
        try problem.validate()
        let tables = CostTables(problem)
        let holdings = holdings(of: previous, problem: problem)
        var candidates: [Layout] = []
        // A plan does not say how gradients are exchanged: whatever suits it best.
        let kept = layout(of: previous, problem: problem, tables: tables)?.withBetterExchange(tables: tables)
        if let kept { candidates.append(kept) }
        var repaired = repair(previous, problem: problem, tables: tables)
        if kept == nil, let filled = repaired {
            // A spare that is far from those it joins may make another exchange better.
            let start = filled.withBetterExchange(tables: tables)
            let settled = Settlement(tables: tables, budget: CostBudget(problem)).run(
                start.toBeSearched(tables: tables), limit: settlements
            ).withBetterExchange(tables: tables)
            // What is better with slices for all layers alike need not be so with tailored ones.
            func seconds(_ layout: Layout) -> Double { IterationSimulator.run(layout, tables: tables).seconds }
            repaired = seconds(settled) <= seconds(start) ? settled : start
        }
        if let repaired, repaired != kept { candidates.append(repaired) }
        var starts = (repaired ?? kept).map { [Arrangement($0, peers: tables.peers)] } ?? []
        // Where no spare fills a gap, the pieces of the broken pipelines may serve better elsewhere.
        if kept == nil { starts += Mending(previous, problem: problem, tables: tables).arrangements }
        var planner = options.planner
        let isFilled = kept == nil && repaired?.pipelines.map(\.count) == previous.pipelines.map(\.count)
        let isRepairedEnough =
            isFilled
            && candidates.first.map { IterationSimulator.run($0, tables: tables).seconds } ?? .infinity
                <= previous.predictedIterationSeconds * (1 + options.hysteresis)
        // Nothing is gained either where only spares have left and the others are as they were.
        let isUntouched =
            kept.map { layout in
                let known = Set(previous.spares).union(previous.pipelines.joined().map(\.peer))
                let present = Set(problem.graph.nodes.map(\.peer))
                return present.isStrictSubset(of: known)
                    && IterationSimulator.run(layout, tables: tables).seconds
                        <= previous.predictedIterationSeconds * (1 + 1e-9)
            } ?? false
        if isRepairedEnough || isUntouched {
            // Only the figures of a report are still wanted.
            planner.budget = 1
        } else if isFilled {
            // Spares have filled the gaps: what a search finds beyond that is rarely worth its moves.
            planner.budget = planner.budget.map { max(1, $0 / Self.spareBudgetDivisor) }
        } else if tables.spreadsExchange {
            planner.budget = planner.budget.map { max(1, $0 / Self.spreadBudgetDivisor) }
        }
        var search = try PlanSearch(problem, options: planner, warmStarts: starts)
        while !search.isFinished, !options.isOver() { search.advance(slice) }
        let fresh = try search.report(isOver: options.isFarOver)
        if !isRepairedEnough, !isUntouched { candidates.append(fresh.layout) }

        func score(_ layout: Layout) -> Double {
            IterationSimulator.run(layout, tables: tables).seconds * options.horizonIterations
                + movement(to: layout, holdings: holdings, tables: tables).seconds
        }
        var chosen = candidates[0]
        var chosenScore = score(chosen)
        for candidate in candidates.dropFirst() {
            let value = score(candidate)
            // The working plan, or the smallest repair of it, has the benefit of the doubt.
            if value < chosenScore * (1 - options.hysteresis * (isFilled ? upheaval : 1)) {
                chosen = candidate
                chosenScore = value
            }
        }
        let moved = movement(to: chosen, holdings: holdings, tables: tables)
        return Outcome(
            report: report(fresh, layout: chosen, problem: problem, tables: tables), keepsPrevious: chosen == kept,
            previousSeconds: kept.map { IterationSimulator.run($0, tables: tables).seconds },
            movedBytes: moved.bytes, movedPeers: moved.peers.map { problem.graph.nodes[$0].peer },
            moveSeconds: moved.seconds)
    }

    /// The layers that each present peer holds under the plan, by peer index.
    private static func holdings(of plan: Plan, problem: PlanningProblem) -> [Range<Int>?] {
        var result = [Range<Int>?](repeating: nil, count: problem.graph.count)
        for assignment in plan.pipelines.flatMap(\.self) {
            if let index = problem.graph.index(of: assignment.peer) { result[index] = assignment.layers }
        }
        return result
    }

    /// The plan as it is in indices of the new graph, if it still works.
    private static func layout(of plan: Plan, problem: PlanningProblem, tables: CostTables) -> Layout? {
        guard plan.fault(layers: tables.layers) == nil else { return nil }
        var pipelines: [[Layout.Stage]] = []
        for pipeline in plan.pipelines {
            var stages: [Layout.Stage] = []
            for assignment in pipeline {
                guard let peer = problem.graph.index(of: assignment.peer) else { return nil }
                stages.append(Layout.Stage(peer: peer, layers: assignment.layers, depth: assignment.depth))
            }
            pipelines.append(stages)
        }
        let shares = plan.pipelines.map { $0[0].microBatches }
        guard shares.reduce(0, +) == tables.microBatches else { return nil }
        return fitting(layout(pipelines, shares, plan.schedule, tables), tables: tables)
    }

    private static func layout(
        _ pipelines: [[Layout.Stage]], _ shares: [Int], _ schedule: PlanSchedule, _ tables: CostTables
    ) -> Layout {
        var layout = Layout(pipelines: pipelines, microBatches: shares, schedule: schedule)
        if tables.spreadsExchange { layout.exchange = .searched(tables) }
        return layout
    }

    /// The layout if it fits; a spread exchange needs memory that others do not.
    private static func fitting(_ layout: Layout, tables: CostTables) -> Layout? {
        if layout.fitsMemory(tables: tables) { return layout }
        var direct = layout
        direct.exchange = .clustered
        return direct.fitsMemory(tables: tables) ? direct : nil
    }

    /// The plan with each missing peer replaced by the spare that is best for the whole, or if there is none (and the
    /// shape leaves it open) with its layers given to its neighbours.
    private static func repair(_ plan: Plan, problem: PlanningProblem, tables: CostTables) -> Layout? {
        let held = Set(plan.pipelines.flatMap { $0.compactMap { problem.graph.index(of: $0.peer) } })
        var spares = (0..<tables.peers).filter { !held.contains($0) }
        var pipelines = plan.pipelines.map { pipeline in
            pipeline.map { (peer: problem.graph.index(of: $0.peer), layers: $0.layers, depth: $0.depth) }
        }
        let shares = plan.pipelines.map { $0.first?.microBatches ?? 0 }
        guard shares.reduce(0, +) == tables.microBatches else { return nil }
        let style = ExchangeStyle.searched(tables)
        let dealer = Dealer(LayoutBuilder(tables: tables, schedule: plan.schedule, exchange: style), shares: shares)
        for rank in pipelines.indices {
            var stage = 0
            while stage < pipelines[rank].count {
                guard pipelines[rank][stage].peer == nil else {
                    stage += 1
                    continue
                }
                if spares.isEmpty {
                    guard problem.shape.stages == nil, pipelines[rank].count > 1 else { return nil }
                    let gap = pipelines[rank].remove(at: stage)
                    if stage > 0 {
                        pipelines[rank][stage - 1].layers =
                            pipelines[rank][stage - 1].layers.lowerBound..<gap.layers.upperBound
                    } else {
                        pipelines[rank][0].layers = gap.layers.lowerBound..<pipelines[rank][0].layers.upperBound
                        pipelines[rank][0].depth = max(gap.depth, pipelines[rank][0].depth)
                    }
                    continue
                }
                var best = 0
                var value = Double.infinity
                for (position, spare) in spares.enumerated() {
                    var trial = pipelines
                    trial[rank][stage].peer = spare
                    // Gaps further on count as if this spare filled them too: they are filled next.
                    let filled = trial.map { pipeline in
                        pipeline.map { Layout.Stage(peer: $0.peer ?? spare, layers: $0.layers, depth: $0.depth) }
                    }
                    let seconds = dealer.dealt(filled).seconds
                    if seconds < value {
                        value = seconds
                        best = position
                    }
                }
                pipelines[rank][stage].peer = spares.remove(at: best)
                stage += 1
            }
        }
        let stages = pipelines.map { pipeline in
            pipeline.compactMap { stage in
                stage.peer.map { Layout.Stage(peer: $0, layers: stage.layers, depth: stage.depth) }
            }
        }
        return fitting(dealer.dealt(stages).layout, tables: tables)
    }

    /// Shares the micro-batches of repaired pipelines: one with a spare from far away does fewer than before.
    private final class Dealer {
        private let builder: LayoutBuilder
        private let shares: [Int]
        private var closedForm: ClosedForm
        private var known: [[Layout.Stage]: LayoutBuilder.Pipeline] = [:]

        init(_ builder: LayoutBuilder, shares: [Int]) {
            self.builder = builder
            self.shares = shares
            closedForm = builder.closedForm
            closedForm.memo = ClosedForm.Memo()
        }

        /// The pipelines with the shares and depths that they had, or with those that suit them now, whichever is faster.
        func dealt(_ pipelines: [[Layout.Stage]]) -> (layout: Layout, seconds: Double) {
            var kept = Layout(pipelines: pipelines, microBatches: shares, schedule: builder.schedule)
            kept.exchange = builder.exchange
            let seconds = closedForm.seconds(kept)
            var built: [LayoutBuilder.Pipeline] = []
            for (stages, share) in zip(pipelines, shares) {
                guard
                    let pipeline = known[stages]
                        ?? builder.pipeline(stages.map(\.peer), cuts: stages.map(\.layers), share: share)
                else { return (kept, seconds) }
                known[stages] = pipeline
                built.append(pipeline)
            }
            let dealt = builder.price(built, limit: seconds)
            return dealt.seconds < seconds ? dealt : (kept, seconds)
        }
    }

    /// What each peer of a layout must fetch beyond what it holds.
    private static func movement(
        to layout: Layout, holdings: [Range<Int>?], tables: CostTables
    ) -> (bytes: Double, seconds: Double, peers: [Int]) {
        var total = 0.0
        var slowest = 0.0
        var peers: [Int] = []
        for stage in layout.pipelines.flatMap(\.self) {
            var missing = tables.parameters(stage.layers)
            if let held = holdings[stage.peer] { missing -= tables.parameters(stage.layers.clamped(to: held)) }
            guard missing > 0.5 else { continue }
            let bytes = missing * checkpointBytesPerParameter
            var fastest = Double.infinity
            for source in 0..<tables.peers where source != stage.peer && holdings[source] != nil {
                let link = source * tables.peers + stage.peer
                fastest = min(fastest, bytes * tables.secondsPerByte[link] + tables.latency[link])
            }
            total += bytes
            peers.append(stage.peer)
            if fastest.isFinite { slowest = max(slowest, fastest) }
        }
        return (total, slowest, peers)
    }

    /// The search's report with another layout in it.
    private static func report(
        _ fresh: PlanReport, layout: Layout, problem: PlanningProblem, tables: CostTables
    ) -> PlanReport {
        guard layout != fresh.layout else { return fresh }
        let trace = IterationSimulator.run(layout, tables: tables)
        var report = fresh
        report.objective = .iteration
        report.objectiveSeconds = trace.seconds
        report.parts = PlanReport.parts(of: trace)
        report.isOptimal = false
        report.layout = layout
        report.plan = Plan(layout, problem: problem, predictedIterationSeconds: trace.seconds)
        report.trace = trace
        return report
    }
}
