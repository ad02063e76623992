/// A plan in the planner's own terms: peers and layers by index.
package struct Layout: Hashable, Sendable {
    /// One stage of one pipeline.
    package struct Stage: Hashable, Sendable {
        /// Index of the peer in the graph.
        package var peer: Int
        package var layers: Range<Int>
        /// Micro-batches that the stage may hold between their forward and their backward pass.
        package var depth: Int

        package init(peer: Int, layers: Range<Int>, depth: Int) {
            self.peer = peer
            self.layers = layers
            self.depth = depth
        }
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
    func withBetterExchange(tables: CostTables) -> Layout {
        let styles = ExchangeStyle.allowed(tables)
        let others = styles.filter { $0 != exchange }
        // One style alone is the same under all of its names.
        guard styles.count > 1, !others.isEmpty, pipelines.count > 1 else { return self }
        var best = self
        var seconds = IterationSimulator.run(self, tables: tables).seconds
        for style in others {
            var other = self
            other.exchange = style
            guard other.fitsMemory(tables: tables) else { continue }
            let value = IterationSimulator.run(other, tables: tables).seconds
            guard value < seconds else { continue }
            best = other
            seconds = value
        }
        return best
    }

    /// The layout as a search of many candidates prices it: with slices for all layers alike where tailored ones are too dear.
    func toBeSearched(tables: CostTables) -> Layout {
        guard exchange == .tailored else { return self }
        var layout = self
        layout.exchange = .searched(tables)
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
}
