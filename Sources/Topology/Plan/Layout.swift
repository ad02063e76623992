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
    /// Whether all holders of a layer exchange its gradients each with all, though the problem allows levels.
    package var exchangesDirectly = false

    package init(pipelines: [[Stage]], microBatches: [Int], schedule: PlanSchedule) {
        self.pipelines = pipelines
        self.microBatches = microBatches
        self.schedule = schedule
    }

    /// The layout with levels or without, whichever is faster under the simulator.
    func withBetterExchange(tables: CostTables) -> Layout {
        guard !tables.exchangeClusters.isEmpty, pipelines.count > 1 else { return self }
        var other = self
        other.exchangesDirectly.toggle()
        func seconds(_ layout: Layout) -> Double { IterationSimulator.run(layout, tables: tables).seconds }
        return seconds(other) < seconds(self) ? other : self
    }

    /// The peers that hold a stage, in pipeline order.
    package var peers: [Int] { pipelines.flatMap { $0.map(\.peer) } }
}
