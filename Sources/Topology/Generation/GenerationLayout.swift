/// A plan for generation in the planner's own terms: peers and layers by index.
package struct GenerationLayout: Hashable, Sendable {
    /// The layers that one peer holds.
    package struct Stage: Hashable, Sendable {
        package var peer: Int
        package var layers: Range<Int>

        package init(peer: Int, layers: Range<Int>) {
            self.peer = peer
            self.layers = layers
        }
    }

    /// An ordered list of stages that covers the layers once, and the sequences that go round in it.
    package struct Pipeline: Hashable, Sendable {
        package var stages: [Stage]
        /// Groups of sequences in flight: each is in one stage, on one link or in one queue at a time.
        package var groups: Int
        /// Sequences of a group, which pass through a stage together.
        package var groupSequences: Int
        /// Parts that a prompt is cut into, each a pass of its own, so that stages work on one prompt at the same time.
        package var promptChunks: Int

        package init(stages: [Stage], groups: Int = 1, groupSequences: Int = 1, promptChunks: Int = 1) {
            self.stages = stages
            self.groups = groups
            self.groupSequences = groupSequences
            self.promptChunks = promptChunks
        }

        /// Sequences in flight.
        package var sequences: Int { groups * groupSequences }
    }

    package var pipelines: [Pipeline]

    package init(pipelines: [Pipeline]) { self.pipelines = pipelines }

    /// The peers that hold a stage, in pipeline order.
    package var peers: [Int] { pipelines.flatMap { $0.stages.map(\.peer) } }

    /// Checks what every plan must obey: each pipeline covers `layers` layers once and in order, and no peer appears twice.
    /// Returns the first fault, or `nil`.
    package func fault(layers: Int) -> String? {
        guard !pipelines.isEmpty else { return "the plan has no pipelines" }
        for (rank, pipeline) in pipelines.enumerated() {
            var next = 0
            for (position, stage) in pipeline.stages.enumerated() {
                guard stage.layers.lowerBound == next, !stage.layers.isEmpty else {
                    return "pipeline \(rank) stage \(position) starts at layer \(stage.layers.lowerBound), not \(next)"
                }
                next = stage.layers.upperBound
            }
            guard next == layers else { return "pipeline \(rank) covers \(next) of \(layers) layers" }
            guard pipeline.groups > 0, pipeline.groupSequences > 0, pipeline.promptChunks > 0 else {
                return "pipeline \(rank) has no sequences"
            }
        }
        let everyone = peers.sorted()
        for (left, right) in zip(everyone, everyone.dropFirst()) where left == right {
            return "peer \(left) appears twice"
        }
        return nil
    }
}
