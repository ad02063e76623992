/// The fast cost model: the time of one iteration from a handful of sums and maxima, for the search. The simulator
/// (`IterationSimulator`) is the judge; tests hold the two together.
package struct ClosedForm {
    package let tables: CostTables
    var memo: Memo?
    /// Slices of timed exchanges, if they are not to be fitted to every layout.
    var slices: LayerSlices?
    /// How holders have divided their exchanges.
    private let divisions = ExchangeForm.Divisions()
    private let bottleneck = Bottleneck()

    /// A layer whose exchange ended last: that of a similar layout probably ends last, too.
    private final class Bottleneck {
        var layer = 0
    }

    /// Transfers of an exchange over shared access links up to which it is simulated in full, and up to which it is simulated
    /// with this grain (`FluidNetwork`) rather than bounded.
    private static let simulatedTransfers = 400
    private static let coarselySimulatedTransfers = 10_000
    private static let grain = 0.01

    package init(tables: CostTables) { self.tables = tables }

    /// Remembers what pipelines cost, for a search that changes few of many at a time.
    final class Memo {
        private struct Key: Hashable {
            var stages: [Layout.Stage]
            var microBatches: Int
            var schedule: PlanSchedule
        }

        private var known: [Key: StageEnds] = [:]

        func ends(
            _ pipeline: [Layout.Stage], _ microBatches: Int, _ schedule: PlanSchedule, of form: ClosedForm
        ) -> StageEnds {
            let key = Key(stages: pipeline, microBatches: microBatches, schedule: schedule)
            if let found = known[key] { return found }
            let found = form.stageEnds(pipeline, microBatches: microBatches, schedule: schedule)
            known[key] = found
            return found
        }
    }

    /// What a pipeline costs apart from how many micro-batches it gets.
    struct PipelineCost {
        /// Seconds from the first forward to the last backward of a single micro-batch.
        var fill: Double
        /// Seconds between micro-batches that no schedule can beat: the busiest stage or link.
        var cycle: Double
        /// The same for the forward and the backward phase by themselves (GPipe).
        var forwardCycle: Double
        var backwardCycle: Double
    }

    /// Seconds of one iteration; infinite if a stage does not fit its peer's memory.
    package func seconds(_ layout: Layout) -> Double {
        guard layout.plainLinks == tables.plainLinks else {
            return ClosedForm(tables: tables.leavingPlain(layout.plainLinks)).seconds(layout)
        }
        guard layout.fitsMemory(tables: tables) else { return .infinity }
        return exchangeFinish(layout, ends: stageEnds(of: layout))
    }

    private func stageEnds(of layout: Layout) -> [StageEnds] {
        zip(layout.pipelines, layout.microBatches).map { pipeline, microBatches in
            memo?.ends(pipeline, microBatches, layout.schedule, of: self)
                ?? stageEnds(pipeline, microBatches: microBatches, schedule: layout.schedule)
        }
    }

    func cost(of pipeline: [Layout.Stage]) -> PipelineCost {
        var cost = PipelineCost(fill: 0, cycle: 0, forwardCycle: 0, backwardCycle: 0)
        for (index, stage) in pipeline.enumerated() {
            let forward = tables.forwardSeconds(stage.layers, on: stage.peer)
            let backward = tables.backwardSeconds(stage.layers, on: stage.peer)
            cost.fill += forward + backward
            cost.forwardCycle = max(cost.forwardCycle, forward)
            cost.backwardCycle = max(cost.backwardCycle, backward)
            cost.cycle = max(cost.cycle, forward + backward)
            guard index + 1 < pipeline.count else { continue }
            let hop = hop(from: stage, to: pipeline[index + 1])
            cost.fill += hop.forward + hop.backward
            cost.forwardCycle = max(cost.forwardCycle, hop.forwardTransfer)
            cost.backwardCycle = max(cost.backwardCycle, hop.backwardTransfer)
            cost.cycle = max(cost.cycle, max(hop.forwardTransfer, hop.backwardTransfer))
        }
        if tables.sharesAccess { cost.cycle = max(cost.cycle, accessCycle(of: pipeline)) }
        return cost
    }

    /// Seconds between micro-batches that the shared access links allow: a middle stage sends an activation one way and
    /// a gradient the other for every micro-batch, and receives as much.
    private func accessCycle(of pipeline: [Layout.Stage]) -> Double {
        var longest = 0.0
        for (index, stage) in pipeline.enumerated() {
            var sent = 0.0
            var received = 0.0
            if index + 1 < pipeline.count {
                sent += tables.boundaryForwardBytes[stage.layers.upperBound] * tables.compression.activationFactor
                received +=
                    tables.boundaryBackwardBytes[stage.layers.upperBound] * tables.compression.activationGradientFactor
            }
            if index > 0 {
                sent +=
                    tables.boundaryBackwardBytes[stage.layers.lowerBound] * tables.compression.activationGradientFactor
                received += tables.boundaryForwardBytes[stage.layers.lowerBound] * tables.compression.activationFactor
            }
            longest = max(
                longest,
                max(
                    sent * tables.uplinkSecondsPerByte[stage.peer], received * tables.downlinkSecondsPerByte[stage.peer]
                ))
        }
        return longest
    }

    struct Hop {
        var forward: Double
        var backward: Double
        var forwardTransfer: Double
        var backwardTransfer: Double
    }

    func hop(from stage: Layout.Stage, to next: Layout.Stage) -> Hop {
        let there = stage.peer * tables.peers + next.peer
        let back = next.peer * tables.peers + stage.peer
        let boundary = stage.layers.upperBound
        let forward = tables.forwardBytes(boundary, link: there) * secondsPerByte(from: stage.peer, to: next.peer)
        let backward = tables.backwardBytes(boundary, link: back) * secondsPerByte(from: next.peer, to: stage.peer)
        return Hop(
            forward: forward + tables.latency[there], backward: backward + tables.latency[back],
            forwardTransfer: forward, backwardTransfer: backward)
    }

    /// A link alone on its access links.
    private func secondsPerByte(from source: Int, to target: Int) -> Double {
        max(
            tables.secondsPerByte[source * tables.peers + target],
            max(tables.uplinkSecondsPerByte[source], tables.downlinkSecondsPerByte[target]))
    }

    /// When each stage has done its work.
    func stageEnds(_ pipeline: [Layout.Stage], microBatches: Int, schedule: PlanSchedule) -> StageEnds {
        PipelineRecurrence(pipeline, schedule: schedule, tables: tables).ends(microBatches: microBatches)
    }

    /// The same if the first stage ends after so many seconds and the others one backward pass and one hop earlier each.
    func roughEnds(_ pipeline: [Layout.Stage], seconds: Double) -> StageEnds {
        var end = seconds
        var finishes: [Double] = []
        finishes.reserveCapacity(pipeline.count)
        for (index, stage) in pipeline.enumerated() {
            finishes.append(end)
            guard index + 1 < pipeline.count else { break }
            end -= tables.backwardSeconds(stage.layers, on: stage.peer)
            end -= hop(from: stage, to: pipeline[index + 1]).backward
        }
        return StageEnds(finishes: finishes)
    }

    /// When the last peer has exchanged gradients and stepped, averaged over the local steps of one exchange.
    ///
    /// - Parameters:
    ///   - isRough: whether very many peers at few places may be priced by their places, and every exchange over shared access
    ///     links be bounded.
    ///   - isQuick: whether large exchanges over shared access links are bounded at once, up to a quarter too low, rather than
    ///     simulated.
    ///   - limit: what takes longer may be priced as infinite.
    func exchangeFinish(
        _ layout: Layout, ends: [StageEnds], isRough: Bool = false, isQuick: Bool = false, limit: Double = .infinity
    ) -> Double {
        let finishes = ends.map(\.finishes)
        if layout.exchange.isSpread, let figures = tables.spreadFigures {
            if isRough, layout.pipelines.count > 1 {
                let last = finishes.joined().max() ?? 0
                let bytes = SpreadExchange.meanBytes(layout, tables: tables)
                let end = last + figures.roughSeconds(bytes: bytes)
                let all = finishes.map { $0.map { _ in end } }
                return averaged(stepped(layout, ends: all, finishes: finishes, isTiedDone: true), layout, finishes)
            }
            let exchange = GradientExchange(
                layout: layout, tables: tables, ends: ends, slices: layout.exchange == .timed ? slices : nil)
            if let spread = exchange.spread {
                let full = stepped(
                    layout, ends: exchange.endsOfSpread(spread, ends: ends), finishes: finishes, isTiedDone: true)
                return averaged(full, layout, finishes)
            }
        }
        if limit.isFinite, exceeds(limit, layout, finishes: finishes) { return .infinity }
        let exchange = GradientExchange(layout: layout, tables: tables, known: divisions, omitsPieces: true)
        if isRough, tables.localSteps == 1, let ends = exchange.endsByPlace(finishes: finishes) {
            return stepped(layout, ends: ends, finishes: finishes)
        }
        // Fair sharing has no formula that comes near it: all but very many transfers are simulated.
        let transfers = tables.sharesAccess ? Self.transfers(of: exchange) : .max
        let isLarge = transfers > Self.simulatedTransfers
        let full =
            isRough || isLarge && isQuick || transfers > Self.coarselySimulatedTransfers
            ? bounded(layout, exchange, finishes: finishes)
            : IterationSimulator.exchangeSeconds(
                layout, finishes: finishes, tables: tables, grain: isLarge ? Self.grain : 0)
        return averaged(full, layout, finishes)
    }

    /// Over the local steps of an exchange.
    private func averaged(_ full: Double, _ layout: Layout, _ finishes: [[Double]]) -> Double {
        guard tables.localSteps > 1, layout.pipelines.count > 1 else { return full }
        let local = stepped(layout, ends: finishes, finishes: finishes)
        return (full + Double(tables.localSteps - 1) * local) / Double(tables.localSteps)
    }

    private static func transfers(of exchange: GradientExchange) -> Int {
        let replicas = exchange.layout.pipelines.count
        return 2 * exchange.segments.count * replicas * (replicas - 1)
    }

    /// Whether `seconds` takes milliseconds, because a large exchange over shared access links is simulated.
    func isDear(_ layout: Layout) -> Bool {
        tables.sharesAccess
            && Self.transfers(of: GradientExchange(layout: layout, tables: tables)) > Self.simulatedTransfers
    }

    /// Whether the exchange of a single layer's segment, over links that nothing else uses, ends after the limit.
    private func exceeds(_ limit: Double, _ layout: Layout, finishes: [[Double]]) -> Bool {
        guard layout.pipelines.count > 1, tables.localSteps == 1, !tables.sharesAccess,
            tables.peers <= Self.mostPeersOfBottlenecks
        else { return false }
        let exchange = GradientExchange(
            layout: layout, tables: tables, known: divisions, omitsPieces: true, layer: bottleneck.layer)
        guard let segment = exchange.segments.first else { return false }
        let ends = exchange.ends(finishes: finishes)
        for (rank, stage) in segment.stages.enumerated() {
            let held = layout.pipelines[rank][stage]
            if ends[rank][stage] + tables.optimizerSeconds(held.layers, on: held.peer) > limit { return true }
        }
        return false
    }

    /// Beyond, exchanges are priced by places, which is quick.
    private static let mostPeersOfBottlenecks = 160

    private func bounded(_ layout: Layout, _ exchange: GradientExchange, finishes: [[Double]]) -> Double {
        var finishes = finishes
        if tables.sharesAccess, layout.pipelines.count > 1 {
            for rank in finishes.indices {
                finishes[rank] = PipelineTail(layout, rank: rank, tables: tables).delayed(
                    finishes: finishes[rank], by: exchange)
            }
        }
        return stepped(layout, ends: exchange.ends(finishes: finishes), finishes: finishes)
    }

    /// - Parameter isTiedDone: whether the exchange has added up a tied embedding with the rest.
    private func stepped(
        _ layout: Layout, ends: [[Double]], finishes: [[Double]], isTiedDone: Bool = false
    ) -> Double {
        var ends = ends
        var last = 0.0
        for (rank, pipeline) in layout.pipelines.enumerated() {
            if tables.tiedParameters > 0, pipeline.count > 1, !isTiedDone {
                let end = pipeline.count - 1
                let there = pipeline[0].peer * tables.peers + pipeline[end].peer
                let back = pipeline[end].peer * tables.peers + pipeline[0].peer
                let bytes = tables.tiedBytes(replicas: layout.pipelines.count)
                let first = ends[rank][0]
                func seconds(_ link: Int, _ source: Int, _ target: Int) -> Double {
                    bytes * tables.exchangeFactor(link: link) * secondsPerByte(from: source, to: target)
                        + tables.latency[link]
                }
                var last = ends[rank][end]
                if end == 1 {
                    // The same link has just carried the last micro-batch's gradient.
                    let backward = tables.backwardSeconds(pipeline[0].layers, on: pipeline[0].peer)
                    last = max(last, finishes[rank][0] - backward - tables.latency[back])
                }
                ends[rank][0] = max(first, last + seconds(back, pipeline[end].peer, pipeline[0].peer))
                ends[rank][end] = max(ends[rank][end], first + seconds(there, pipeline[0].peer, pipeline[end].peer))
            }
            for (index, stage) in pipeline.enumerated() {
                let end = ends[rank][index] + tables.optimizerSeconds(stage.layers, on: stage.peer)
                guard end > last else { continue }
                last = end
                bottleneck.layer = stage.layers.lowerBound
            }
        }
        return last
    }
}
