/// What stages do first near the end of an iteration, so that the first stage's last backward pass comes early and more
/// gradients of weights are left for the time in which others are exchanged.
///
/// With a zero-bubble schedule a backward pass that is ready goes first, then a forward pass, and gradients of weights wait.
/// So what is put off fills the memory long before the end, only as many micro-batches are under way as links ask for, and
/// while the last of these comes back stages compute gradients of weights that could have waited. If a stage computes those
/// promptly at first and near the end lets forward passes go first, more micro-batches are under way in the end, and their
/// backward passes follow each other closely. When to turn is searched stage by stage: whether it helps is a matter of how
/// passes and transfers fall together.
struct StageEndings {
    let tables: CostTables

    /// Times that all stages are looked at.
    private static let sweeps = 3
    /// Passes of pipelines that are followed for a layout, about; a guess at what is worth its time. Pipelines that have used up
    /// their part keep the best that they have found.
    private static let passes = 5_000_000
    /// What the mean of the stages counts beside the last one; a guess.
    private static let meanShare = 0.25

    /// The layout with endings for every pipeline.
    func applied(to layout: Layout) -> Layout {
        guard layout.schedule == .zeroBubble, !tables.sharesAccess else { return layout }
        var result = layout
        let signatures = layout.pipelines.indices.map {
            Signature(layout.pipelines[$0], microBatches: layout.microBatches[$0], tables: tables)
        }
        let share = Self.passes / max(1, Set(signatures).count)
        var known: [Signature: [Layout.Ending]] = [:]
        for (rank, pipeline) in layout.pipelines.enumerated() where pipeline.count > 1 {
            let signature = signatures[rank]
            let endings =
                known[signature] ?? search(pipeline, microBatches: layout.microBatches[rank], passes: share)
            known[signature] = endings
            for (stage, ending) in endings.enumerated() { result.pipelines[rank][stage].ending = ending }
        }
        return result
    }

    /// Everything that the times of a pipeline follow from.
    private struct Signature: Hashable {
        let figures: [Double]

        init(_ pipeline: [Layout.Stage], microBatches: Int, tables: CostTables) {
            var figures = [Double(microBatches)]
            for (index, stage) in pipeline.enumerated() {
                figures += [Double(stage.depth), Double(stage.layers.lowerBound), Double(stage.layers.upperBound)]
                figures.append(tables.secondsPerFlop[stage.peer])
                guard index + 1 < pipeline.count else { break }
                let next = pipeline[index + 1].peer
                for link in [stage.peer * tables.peers + next, next * tables.peers + stage.peer] {
                    figures += [tables.latency[link], tables.secondsPerByte[link]]
                    figures += [tables.forwardBytes(stage.layers.upperBound, link: link)]
                    figures += [tables.backwardBytes(stage.layers.upperBound, link: link)]
                }
            }
            self.figures = figures
        }
    }

    /// Stage by stage the ending with which the pipeline is best, until that changes nothing.
    private func search(_ pipeline: [Layout.Stage], microBatches: Int, passes: Int) -> [Layout.Ending] {
        var pipeline = pipeline
        var left = passes / (PipelineRecurrence.followed(pipeline, microBatches: microBatches) * 3 * pipeline.count)
        guard left > 1 else { return pipeline.map { _ in Layout.Ending() } }
        for index in pipeline.indices { pipeline[index].ending = Layout.Ending() }
        var best = (pipeline: pipeline, value: value(pipeline, microBatches: microBatches))
        for start in [false, true] {
            var current = pipeline
            if start {
                for index in current.indices {
                    current[index].ending = Layout.Ending(
                        forwardsFirst: min(current[index].depth, microBatches), isPrompt: true)
                }
            }
            var least = value(current, microBatches: microBatches)
            for _ in 0..<Self.sweeps {
                let before = least
                for index in current.indices.reversed() {
                    var next = current
                    for isPrompt in [false, true] {
                        for count in Self.counts(upTo: min(current[index].depth + 1, microBatches)) where left > 0 {
                            left -= 1
                            next[index].ending = Layout.Ending(forwardsFirst: count, isPrompt: isPrompt)
                            let value = value(next, microBatches: microBatches)
                            guard value < least * (1 - 1e-12) else { continue }
                            least = value
                            current = next
                        }
                    }
                }
                guard least < before else { break }
            }
            if least < best.value * (1 - 1e-12) { best = (current, least) }
        }
        return best.pipeline.map(\.ending)
    }

    /// All small numbers, and fewer of the larger ones.
    private static func counts(upTo most: Int) -> [Int] {
        var counts: [Int] = []
        var next = 0
        while next <= most {
            counts.append(next)
            next += max(1, next / fineCounts)
        }
        return counts
    }

    private static let fineCounts = 12

    /// Seconds that grow with when the stages begin to exchange and when they end.
    private func value(_ pipeline: [Layout.Stage], microBatches: Int) -> Double {
        let ends = PipelineRecurrence(pipeline, schedule: .zeroBubble, tables: tables).ends(microBatches: microBatches)
        let mean = ends.inputs.reduce(0, +) / Double(pipeline.count)
        return (ends.finishes.max() ?? 0) + (ends.inputs.max() ?? 0) + Self.meanShare * mean
    }
}
