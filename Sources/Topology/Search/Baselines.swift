/// What a plan is held against: the structured tables that a person would try, and the peers of another planner's plan.
package enum Baselines {
    /// The best of the plain templates over all shapes and schedules, by the simulator; `nil` if none fits.
    ///
    /// - Parameter relays: whether relays may gather slices of the exchange as well.
    package static func bestTemplate(
        _ problem: PlanningProblem, relays: Bool = false
    ) -> (name: String, layout: Layout, trace: IterationTrace)? {
        let tables = CostTables(problem)
        let affinity = IterationSearch.affinity(tables)
        let budget = CostBudget(problem)
        let speeds = tables.secondsPerFlop.map { 1 / $0 }
        var best: (name: String, layout: Layout, seconds: Double)?
        for shape in IterationSearch.shapes(problem, peers: budget.mostPeers, layers: tables.layers) {
            let used = shape.stages * shape.replicas
            var order = Array(affinity.order.prefix(used))
            if !budget.allows(order) {
                let chosen = Set(budget.selection(used, by: speeds))
                guard !chosen.isEmpty else { continue }
                order = affinity.order.filter { chosen.contains($0) }
            }
            let isUsed = Set(order)
            var found = [
                (
                    "one region a pipeline",
                    Template.regionPerPipeline(order, stages: shape.stages, replicas: shape.replicas)
                ),
                ("one region a stage", Template.regionPerStage(order, stages: shape.stages, replicas: shape.replicas)),
            ]
            for groups in affinity.groupings {
                // A cost limit may leave peers out; without one all may be dealt.
                let kept = budget.limit == nil ? groups : groups.map { $0.filter { isUsed.contains($0) } }
                found.append(
                    ("groups dealt over stages", Template.deal(kept, stages: shape.stages, replicas: shape.replicas)))
            }
            for (name, table) in found where table.stages.allSatisfy({ $0.count == shape.replicas }) {
                let peers = (0..<shape.replicas).map { replica in table.stages.map { $0[replica] } }
                guard
                    let (layout, seconds) = Self.best(
                        of: peers, tables: tables, problem: problem, limit: best?.seconds ?? .infinity),
                    seconds < best?.seconds ?? .infinity
                else { continue }
                best = ("\(name), \(shape.stages) stages", layout, seconds)
            }
        }
        guard let best else { return nil }
        var layout = best.layout.withBetterExchange(tables: tables)
        if relays { layout = layout.withRelays(tables: tables) }
        return (best.name, layout, IterationSimulator.run(layout, tables: tables))
    }

    /// Pipelines of these peers with whatever schedule and cuts suit them best; `nil` if the model does not fit them.
    ///
    /// - Parameter relays: whether relays may gather slices of the exchange as well.
    package static func best(
        ofPipelines peers: [[Int]], problem: PlanningProblem, relays: Bool = false
    ) -> (layout: Layout, trace: IterationTrace)? {
        let tables = CostTables(problem)
        guard let found = best(of: peers, tables: tables, problem: problem) else { return nil }
        var layout = found.layout.withBetterExchange(tables: tables)
        if relays { layout = layout.withRelays(tables: tables) }
        return (layout, IterationSimulator.run(layout, tables: tables))
    }

    private static func best(
        of peers: [[Int]], tables: CostTables, problem: PlanningProblem, limit: Double = .infinity
    ) -> (layout: Layout, seconds: Double)? {
        var best: (layout: Layout, seconds: Double)?
        // What all peers add up and what they do not suit different depths.
        let styles: [ExchangeStyle] = tables.spreadsExchange ? [.searched(tables), .clustered] : [.clustered]
        for schedule in problem.schedule.map({ [$0] }) ?? PlanSchedule.allCases {
            for style in styles {
                var builder = LayoutBuilder(tables: tables, schedule: schedule, exchange: style)
                let share = (tables.microBatches + peers.count - 1) / peers.count
                for isEven in [true, false] {
                    let pipelines = peers.compactMap { pipeline in
                        isEven
                            ? builder.pipeline(
                                pipeline, cuts: LayerSplit.even(layers: tables.layers, stages: pipeline.count),
                                share: share)
                            : builder.pipeline(pipeline, share: share)
                    }
                    guard pipelines.count == peers.count else { continue }
                    let (layout, seconds) = builder.price(pipelines, limit: min(limit, best?.seconds ?? .infinity))
                    if seconds < best?.seconds ?? .infinity { best = (layout, seconds) }
                    guard style == .clustered, !tables.exchangeClusters.isEmpty else { continue }
                    var direct = layout
                    direct.exchange = .direct
                    let value = builder.closedForm.seconds(direct)
                    if value < best?.seconds ?? .infinity { best = (direct, value) }
                }
            }
        }
        return best
    }
}
