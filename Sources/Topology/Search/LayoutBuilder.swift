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

        /// Seconds that the pipeline takes at least for so many micro-batches: every stage must do all of its work, once the
        /// first micro-batch has reached it.
        func leastSeconds(microBatches: Int) -> Double {
            var least = 0.0
            for (arrival, work) in zip(arrivals, works) { least = max(least, arrival + Double(microBatches) * work) }
            return least
        }

        /// When the first micro-batch can be at each stage, and the seconds of each stage's passes of one micro-batch.
        var arrivals: [Double] = []
        var works: [Double] = []
    }

    /// When each stage of a pipeline has done its work, by the pipeline's share of micro-batches.
    final class Finishes {
        var byShare: [Int: StageEnds] = [:]
    }

    /// The same by everything that the times depend on, for pipelines of other peers that differ in nothing else.
    final class KnownFinishes {
        private var known: [[UInt64]: StageEnds] = [:]
        /// Pipelines remembered; then all are forgotten.
        private static let limit = 20_000

        func ends(_ signature: [UInt64], compute: () -> StageEnds) -> StageEnds {
            if let found = known[signature] { return found }
            if known.count >= Self.limit { known.removeAll(keepingCapacity: true) }
            let found = compute()
            known[signature] = found
            return found
        }
    }

    let tables: CostTables
    private(set) var closedForm: ClosedForm
    let schedule: PlanSchedule
    /// How layouts exchange gradients.
    var exchange: ExchangeStyle
    /// Whether pipelines are priced by fill and cycle alone, without following their micro-batches: for swarms whose
    /// search would otherwise see too few candidates.
    var isRough = false
    /// What stages of the same speeds over links of the same rates have cost, whoever they were.
    private let known = KnownFinishes()
    /// For equal peers the cut depends only on the number of stages (and the share of micro-batches under GPipe).
    private var evenCuts: [Int: [Range<Int>]?] = [:]

    init(tables: CostTables, schedule: PlanSchedule, exchange: ExchangeStyle = .clustered) {
        self.tables = tables
        self.schedule = schedule
        self.exchange = exchange
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
            let room = tables.depthThatFits(stage.layers, on: stage.peer, exchange: exchange)
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
                // What is put off to the end is computed while layers before it are exchanged.
                let putsOff = schedule == .zeroBubble && exchange.isSpread
                let wanted =
                    putsOff ? room : isLast ? spare : Int((min(1e6, loop / cost.cycle)).rounded(.up)) + spare
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
        var pipeline = Pipeline(peers: peers, stages: stages, fill: cost.fill, cycle: cycle)
        var arrival = 0.0
        for (index, stage) in stages.enumerated() {
            let forward = tables.forwardSeconds(stage.layers, on: stage.peer)
            pipeline.arrivals.append(arrival)
            pipeline.works.append(forward + tables.backwardSeconds(stage.layers, on: stage.peer))
            if index + 1 < stages.count {
                arrival += forward + closedForm.hop(from: stage, to: stages[index + 1]).forward
            }
        }
        return pipeline
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
        var layout = Layout(pipelines: pipelines.map(\.stages), microBatches: shares, schedule: schedule)
        // Slices are never fitted to a candidate.
        layout.exchange = exchange == .timed && closedForm.slices == nil ? .searched(tables) : exchange
        return layout
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

    /// Slices for timed exchanges, to suit these pipelines and ones like them, and the price of these with them.
    ///
    /// - Parameter rounds: in how many rounds the slices in use are changed; from nothing if there are none.
    mutating func fitSlices(to pipelines: [Pipeline], rounds: Int) -> (layout: Layout, seconds: Double) {
        var layout = layout(pipelines)
        layout.exchange = .timed
        let known = closedForm.slices.map { ($0, rounds) }
        closedForm.slices = nil
        if let ends = ends(of: layout, pipelines, limit: .infinity) {
            closedForm.slices = SpreadExchange.fittedSlices(layout, ends: ends, tables: tables, from: known)
        }
        return price(pipelines)
    }

    /// Slices are fitted to every layout again.
    mutating func forgetSlices() { closedForm.slices = nil }

    /// Infinite if the pipelines alone take longer than `limit`.
    private func seconds(of layout: Layout, _ pipelines: [Pipeline], limit: Double) -> Double {
        guard let ends = ends(of: layout, pipelines, limit: limit) else { return .infinity }
        return closedForm.exchangeFinish(layout, ends: ends, isRough: isRough, isQuick: true, limit: limit)
    }

    /// When the stages have done their work; `nil` if one does not fit its peer's memory or ends after the limit.
    private func ends(of layout: Layout, _ pipelines: [Pipeline], limit: Double) -> [StageEnds]? {
        if limit.isFinite, !isRough {
            for (rank, share) in layout.microBatches.enumerated()
            where pipelines[rank].leastSeconds(microBatches: share) > limit { return nil }
        }
        var ends: [StageEnds] = []
        ends.reserveCapacity(pipelines.count)
        for (rank, share) in layout.microBatches.enumerated() {
            let pipeline = pipelines[rank]
            let values: StageEnds
            if let known = pipeline.finishes.byShare[share] {
                values = known
            } else {
                for stage in pipeline.stages
                where tables.stageBytes(stage.layers, depth: min(stage.depth, share), exchange: exchange)
                    > tables.memoryBytes[stage.peer]
                {
                    return nil
                }
                values =
                    isRough
                    ? closedForm.roughEnds(
                        pipeline.stages, seconds: pipeline.fill + Double(share - 1) * pipeline.cycle)
                    : known.ends(signature(of: pipeline.stages, share: share)) {
                        closedForm.stageEnds(pipeline.stages, microBatches: share, schedule: schedule)
                    }
                pipeline.finishes.byShare[share] = values
            }
            // The first stage's last pass is the pipeline's last.
            guard (values.finishes.first ?? 0) <= limit else { return nil }
            ends.append(values)
        }
        return ends
    }

    /// Every figure that the times of a pipeline follow from, for this builder's schedule and tables.
    private func signature(of stages: [Layout.Stage], share: Int) -> [UInt64] {
        var words: [UInt64] = [UInt64(share)]
        words.reserveCapacity(1 + 11 * stages.count)
        for (index, stage) in stages.enumerated() {
            words.append(UInt64(stage.layers.lowerBound) << 32 | UInt64(stage.layers.upperBound))
            words.append(UInt64(min(stage.depth, share)))
            words.append(tables.secondsPerFlop[stage.peer].bitPattern)
            if tables.sharesAccess {
                words.append(tables.uplinkSecondsPerByte[stage.peer].bitPattern)
                words.append(tables.downlinkSecondsPerByte[stage.peer].bitPattern)
            }
            guard index + 1 < stages.count else { break }
            let there = stage.peer * tables.peers + stages[index + 1].peer
            let back = stages[index + 1].peer * tables.peers + stage.peer
            words.append(tables.secondsPerByte[there].bitPattern)
            words.append(tables.secondsPerByte[back].bitPattern)
            words.append(tables.latency[there].bitPattern)
            words.append(tables.latency[back].bitPattern)
        }
        return words
    }
}
