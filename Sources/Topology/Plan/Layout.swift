/// A plan in the planner's own terms: peers and layers by index.
package struct Layout: Hashable, Sendable {
    /// One stage of one pipeline.
    package struct Stage: Hashable, Sendable {
        /// Index of the peer in the graph.
        package var peer: Int
        package var layers: Range<Int>
        /// Micro-batches that the stage may hold between their forward and their backward pass.
        package var depth: Int
        /// What the stage does first near the end of an iteration, with a zero-bubble schedule.
        package var ending = Ending()

        package init(peer: Int, layers: Range<Int>, depth: Int) {
            self.peer = peer
            self.layers = layers
            self.depth = depth
        }
    }

    /// Which passes go first if a stage could begin several (`StageEndings`).
    package struct Ending: Hashable, Sendable {
        /// When so many backward passes are left, forward passes go before them.
        package var forwardsFirst = 0
        /// Whether until then gradients of weights are computed before the next forward pass.
        package var isPrompt = false
    }

    /// Pipelines, each an ordered list of stages that covers the layers once.
    package var pipelines: [[Stage]]
    /// Micro-batches of each pipeline in one iteration.
    package var microBatches: [Int]
    package var schedule: PlanSchedule
    /// Directed pairs (row-major positions in the graph) that are left uncompressed although the problem allows
    /// compression: those that are fast enough.
    package var plainLinks: Set<Int> = []
    /// How gradients are exchanged; what the problem does not allow is done directly.
    package var exchange = ExchangeStyle.clustered

    package init(pipelines: [[Stage]], microBatches: [Int], schedule: PlanSchedule) {
        self.pipelines = pipelines
        self.microBatches = microBatches
        self.schedule = schedule
    }

    /// The layout with the style of exchange that is fastest under the simulator.
    ///
    /// - Parameter endings: whether stages may end the iteration in a way that suits the exchange.
    func withBetterExchange(tables: CostTables, endings: Bool = true) -> Layout {
        let styles = ExchangeStyle.allowed(tables)
        let others = styles.filter { $0 != exchange }
        // One style alone is the same under all of its names.
        guard styles.count > 1, !others.isEmpty, pipelines.count > 1 else { return self }
        var best = self
        var seconds = IterationSimulator.run(self, tables: tables).seconds
        let plain = withoutEndings
        func consider(_ other: Layout) {
            guard other.fitsMemory(tables: tables) else { return }
            let value = IterationSimulator.run(other, tables: tables).seconds
            guard value < seconds else { return }
            best = other
            seconds = value
        }
        for style in plain == self ? others : styles {
            var other = plain
            other.exchange = style
            consider(other)
        }
        guard endings, tables.spreadsExchange else { return best }
        var ended = plain
        ended.exchange = .timed
        ended = StageEndings(tables: tables).applied(to: ended)
        if ended != self { consider(ended) }
        return best
    }

    /// The layout with a timed exchange, and what the closed form says of it. Whether stages end the iteration in a way of
    /// their own is chosen as well.
    func timed(tables: CostTables) -> (layout: Layout, seconds: Double) {
        let closedForm = ClosedForm(tables: tables)
        var layout = withoutEndings
        layout.exchange = .timed
        let seconds = closedForm.seconds(layout)
        let ended = StageEndings(tables: tables).applied(to: layout)
        guard ended != layout else { return (layout, seconds) }
        let value = closedForm.seconds(ended)
        return value < seconds ? (ended, value) : (layout, seconds)
    }

    /// The layout with relays that gather slices, if that is faster under the simulator.
    func withRelays(tables: CostTables) -> Layout {
        guard tables.relaysExchange, exchange.isSpread, schedule != .gpipe, pipelines.count > 1 else { return self }
        var relayed = self
        relayed.exchange = .relayed
        guard SpreadExchange.pieces(of: relayed, tables).count * tables.peers * pipelines.count <= Self.mostParts else {
            return self
        }
        let value = IterationSimulator.run(relayed, tables: tables).seconds
        return value < IterationSimulator.run(self, tables: tables).seconds ? relayed : self
    }

    /// Parts of slices up to which relays are sought: five times those of 64 peers with sixteen pipelines, some ten seconds.
    private static let mostParts = 500_000

    /// The layout with slices that go straight.
    var withoutRelays: Layout {
        var layout = self
        if exchange == .relayed { layout.exchange = .timed }
        return layout
    }

    /// The layout as a search of many candidates prices it: with slices for all layers alike where tailored ones are too dear.
    func toBeSearched(tables: CostTables) -> Layout {
        guard exchange == .tailored || exchange == .timed || exchange == .relayed else { return self }
        var layout = withoutEndings
        layout.exchange = .searched(tables)
        return layout
    }

    /// The layout with stages that end an iteration as their schedule says.
    private var withoutEndings: Layout {
        var layout = self
        for rank in pipelines.indices {
            for stage in pipelines[rank].indices { layout.pipelines[rank][stage].ending = Ending() }
        }
        return layout
    }

    /// Whether every stage fits its peer's memory.
    func fitsMemory(tables: CostTables) -> Bool {
        for (rank, pipeline) in pipelines.enumerated() {
            for stage in pipeline {
                let bytes = tables.stageBytes(
                    stage.layers, depth: min(stage.depth, microBatches[rank]), exchange: exchange)
                guard bytes <= tables.memoryBytes[stage.peer] else { return false }
            }
        }
        return true
    }

    /// The peers that hold a stage, in pipeline order.
    package var peers: [Int] { pipelines.flatMap { $0.map(\.peer) } }

    /// By peer of so many: whether it holds a stage.
    func isUsed(of count: Int) -> [Bool] {
        var isUsed = Array(repeating: false, count: count)
        for pipeline in pipelines { for stage in pipeline { isUsed[stage.peer] = true } }
        return isUsed
    }
}
