/// Turns an arrangement of peers into a full layout: cuts the layers, chooses depths, shares the micro-batches.
struct LayoutBuilder {
    /// One pipeline ready to be priced.
    struct Pipeline {
        var peers: [Int]
        var stages: [Layout.Stage]
        /// Seconds of one micro-batch through the pipeline and back.
        var fill: Double
        /// Seconds between micro-batches, with the limits of depth.
        var cycle: Double
        /// What has been computed for the pipeline, shared by all arrangements that contain it.
        let finishes = Finishes()
    }

    /// When each stage of a pipeline ends its last pass, by the pipeline's share of micro-batches.
    final class Finishes {
        var byShare: [Int: [Double]] = [:]
    }

    let tables: CostTables
    let closedForm: ClosedForm
    let schedule: PlanSchedule
    /// Whether pipelines are priced by fill and cycle alone, without following their micro-batches: for swarms whose
    /// search would otherwise see too few candidates.
    var isRough = false
    /// For equal peers the cut depends only on the number of stages (and the share of micro-batches under GPipe).
    private var evenCuts: [Int: [Range<Int>]?] = [:]

    init(tables: CostTables, schedule: PlanSchedule) {
        self.tables = tables
        self.schedule = schedule
        closedForm = ClosedForm(tables: tables)
    }

    /// A pipeline of these peers in this order; `nil` if the model does not fit them.
    ///
    /// - Parameter share: micro-batches that the pipeline will have, about.
    mutating func pipeline(_ peers: [Int], share: Int) -> Pipeline? {
        guard let cuts = cuts(for: peers, share: share) else { return nil }
        return pipeline(peers, cuts: cuts, share: share)
    }

    /// A pipeline with given cuts; `nil` if they do not fit.
    func pipeline(_ peers: [Int], cuts: [Range<Int>], share: Int) -> Pipeline? {
        var stages = zip(peers, cuts).map { Layout.Stage(peer: $0, layers: $1, depth: 1) }
        let cost = closedForm.cost(of: stages)
        var loop = cost.fill
        var cycle = cost.cycle
        for index in stages.indices {
            let stage = stages[index]
            let room = tables.depthThatFits(stage.layers, on: stage.peer)
            guard room > 0 else { return nil }
            switch schedule {
            case .gpipe:
                guard room >= share else { return nil }
                stages[index].depth = share
            case .oneForwardOneBackward:
                let depth = min(stages.count - index + tables.extraInFlight, share)
                guard room >= depth else { return nil }
                stages[index].depth = depth
            case .deepOneForwardOneBackward, .zeroBubble:
                let isLast = index + 1 == stages.count
                // One micro-batch more where weights' gradients are put off.
                let spare = schedule == .zeroBubble ? 2 : 1
                let wanted = isLast ? spare : Int((min(1e6, loop / cost.cycle)).rounded(.up)) + spare
                let before = index > 0 ? stages[index - 1].depth : share
                stages[index].depth = max(1, min(min(wanted, room), before))
            }
            cycle = max(cycle, schedule == .gpipe ? 0 : loop / Double(stages[index].depth))
            guard index + 1 < stages.count else { break }
            let hop = closedForm.hop(from: stage, to: stages[index + 1])
            loop -= tables.forwardSeconds(stage.layers, on: stage.peer)
            loop -= tables.backwardSeconds(stage.layers, on: stage.peer) + hop.forward + hop.backward
        }
        if schedule == .gpipe { cycle = cost.forwardCycle + cost.backwardCycle }
        return Pipeline(peers: peers, stages: stages, fill: cost.fill, cycle: cycle)
    }

    private mutating func cuts(for peers: [Int], share: Int) -> [Range<Int>]? {
        let stages = peers.count
        let key = stages * (tables.microBatches + 1) + share
        if tables.isHomogeneous, let known = evenCuts[key] { return known }
        let extra = schedule == .oneForwardOneBackward ? tables.extraInFlight : 0
        let wanted: (Int) -> Int = schedule == .gpipe ? { _ in share } : { min(stages - $0 + extra, share) }
        var cuts = LayerSplit.balanced(peers, tables: tables, depth: wanted)
        if cuts == nil, schedule.choosesDepth {
            cuts = LayerSplit.balanced(peers, tables: tables) { _ in 1 }
        }
        if tables.isHomogeneous { evenCuts[key] = .some(cuts) }
        return cuts
    }

    /// A layout of the pipelines with their micro-batches shared by speed.
    func layout(_ pipelines: [Pipeline]) -> Layout {
        let shares = shares(of: pipelines)
        return Layout(pipelines: pipelines.map(\.stages), microBatches: shares, schedule: schedule)
    }

    private func shares(of pipelines: [Pipeline]) -> [Int] {
        let even = MicroBatchSplit.even(tables.microBatches, over: pipelines.count)
        // GPipe's depth is its share: it stays even.
        if schedule == .gpipe { return even }
        let first = pipelines[0]
        if pipelines.allSatisfy({ $0.fill == first.fill && $0.cycle == first.cycle }) { return even }
        return MicroBatchSplit.balanced(
            tables.microBatches, fills: pipelines.map(\.fill), cycles: pipelines.map(\.cycle))
    }

    /// The layout's time, and if replicas must exchange canonical partial sums, that of an even share as well: the better
    /// of the two. Keeps in the pipelines what need not be computed again.
    /// A layout that is slower than `limit` may be priced as infinite.
    func price(
        _ pipelines: [Pipeline], limit: Double = .infinity
    ) -> (layout: Layout, seconds: Double) {
        var layout = layout(pipelines)
        var seconds = seconds(of: layout, pipelines, limit: tables.exactReduction ? .infinity : limit)
        if tables.exactReduction, schedule != .gpipe {
            var even = layout
            even.microBatches = MicroBatchSplit.even(tables.microBatches, over: pipelines.count)
            let evenSeconds = even.microBatches == layout.microBatches ? seconds : closedForm.seconds(even)
            if evenSeconds <= seconds {
                layout = even
                seconds = evenSeconds
            }
        }
        return (layout, seconds)
    }

    /// Infinite if the pipelines alone take longer than `limit`.
    private func seconds(of layout: Layout, _ pipelines: [Pipeline], limit: Double) -> Double {
        var finishes: [[Double]] = []
        finishes.reserveCapacity(pipelines.count)
        for (rank, share) in layout.microBatches.enumerated() {
            let pipeline = pipelines[rank]
            let values: [Double]
            if let known = pipeline.finishes.byShare[share] {
                values = known
            } else {
                for stage in pipeline.stages
                where tables.stageBytes(stage.layers, depth: min(stage.depth, share)) > tables.memoryBytes[stage.peer] {
                    return .infinity
                }
                values =
                    isRough
                    ? closedForm.roughFinishes(
                        pipeline.stages, seconds: pipeline.fill + Double(share - 1) * pipeline.cycle)
                    : closedForm.stageFinishes(pipeline.stages, microBatches: share, schedule: schedule)
                pipeline.finishes.byShare[share] = values
            }
            // The first stage's last pass is the pipeline's last.
            guard (values.first ?? 0) <= limit else { return .infinity }
            finishes.append(values)
        }
        return closedForm.exchangeFinish(layout, finishes: finishes)
    }
}
