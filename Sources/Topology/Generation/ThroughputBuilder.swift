/// Turns peers in an order into the pipeline with the highest throughput: how many sequences, in groups of which size, and
/// where to cut the layers.
struct ThroughputBuilder {
    let tables: GenerationTables
    private let formula: GenerationThroughput
    private var known: [Key: (pipeline: GenerationLayout.Pipeline, rate: Double)?] = [:]

    private struct Key: Hashable {
        var peers: [Int]
        var most: Int?
    }

    /// Sequences of a pipeline and of a group at most: beyond that nothing is gained but memory lost.
    private static let mostSequences = 4_096
    static let mostGroup = 256
    /// Passes times stages up to which the search follows them.
    private static let followedPasses = 10_000
    /// Pipelines that are remembered.
    private static let capacity = 50_000

    init(tables: GenerationTables) {
        self.tables = tables
        formula = GenerationThroughput(tables: tables)
    }

    /// The best pipeline of these peers in this order; `nil` if they cannot hold the model and one sequence.
    mutating func pipeline(
        _ peers: [Int], maximumSequences: Int?
    ) -> (pipeline: GenerationLayout.Pipeline, rate: Double)? {
        let key = Key(peers: peers, most: maximumSequences)
        if let found = known[key] { return found }
        let found = made(peers, maximumSequences: maximumSequences)
        if known.count >= Self.capacity { known.removeAll(keepingCapacity: true) }
        known[key] = .some(found)
        return found
    }

    private func made(
        _ peers: [Int], maximumSequences: Int?
    ) -> (pipeline: GenerationLayout.Pipeline, rate: Double)? {
        guard peers.count <= tables.layers else { return nil }
        let most = min(maximumSequences ?? Self.mostSequences, Self.mostSequences)
        guard most > 0 else { return nil }
        // As many sequences as fit under some cut: fewer leave the layers more freedom, more hide more waiting.
        var room = 0
        var step = 1
        while step <= most { step *= 2 }
        while step > 0 {
            if room + step <= most, fits(peers, sequences: room + step) { room += step }
            step /= 2
        }
        guard room > 0 else { return nil }
        var found: [(pipeline: GenerationLayout.Pipeline, rate: Double)] = []
        var sequences = room
        for _ in 0..<4 {
            var group = 1
            while group <= min(sequences, Self.mostGroup) {
                if let stages = balanced(peers, sequences: sequences, group: group) {
                    var pipeline = GenerationLayout.Pipeline(stages: stages, groupSequences: group)
                    let demand = formula.demand(pipeline)
                    // No more groups than keep the busiest server busy, with half as many again for uneven passes.
                    let useful = demand.busiest > 0 ? min(1e6, 1.5 * demand.cycle / demand.busiest) + 1 : 1e6
                    pipeline.groups = peers.count == 1 ? 1 : max(1, min(sequences / group, Int(useful.rounded(.up))))
                    found.append((pipeline, formula.estimate(pipeline)))
                }
                group *= 2
            }
            guard sequences > 1 else { break }
            sequences = (sequences + 1) / 2
        }
        found.sort { $0.rate > $1.rate }
        // The estimate leads; where passes are few they are followed, for the best with whole and with halved prompts.
        var best: (pipeline: GenerationLayout.Pipeline, rate: Double)?
        for candidate in found.prefix(2) {
            for chunks in tables.chunkChoices.prefix(peers.count > 1 ? 3 : 1) {
                var pipeline = candidate.pipeline
                pipeline.promptChunks = chunks
                let rate =
                    formula.passes(pipeline) * peers.count <= Self.followedPasses
                    ? formula.steady(pipeline) : formula.estimate(pipeline)
                if rate > (best?.rate ?? 0) * (1 + 1e-9) { best = (pipeline, rate) }
            }
        }
        return best
    }

    private func fits(_ peers: [Int], sequences: Int) -> Bool {
        fill(peers) { range, peer in tables.stageBytes(range, sequences: sequences) <= tables.memoryBytes[peer] } != nil
    }

    /// The cut whose busiest stage is least busy, with every stage in its peer's memory: bisection over the busiest stage's
    /// seconds; filling stage after stage as far as they allow is best for a given limit.
    private func balanced(_ peers: [Int], sequences: Int, group: Int) -> [GenerationLayout.Stage]? {
        func seconds(_ range: Range<Int>, _ peer: Int) -> Double {
            tables.decodeSum(range, on: peer, sequences: group)
                + tables.prefillSeconds(range, on: peer, sequences: group, tokens: 0..<tables.promptTokens)
        }
        func cut(_ limit: Double) -> [GenerationLayout.Stage]? {
            fill(peers) { range, peer in
                tables.stageBytes(range, sequences: sequences) <= tables.memoryBytes[peer]
                    && seconds(range, peer) <= limit
            }
        }
        var high = 0.0
        for peer in peers { high = max(high, seconds(0..<tables.layers, peer)) }
        guard var best = cut(high) else { return nil }
        var low = 0.0
        for _ in 0..<24 {
            let middle = (low + high) / 2
            if let found = cut(middle) {
                best = found
                high = middle
            } else {
                low = middle
            }
        }
        return best
    }

    /// Gives each stage as many layers as it may have, leaving one for each that follows; `nil` if layers remain.
    private func fill(_ peers: [Int], _ allows: (Range<Int>, Int) -> Bool) -> [GenerationLayout.Stage]? {
        var stages: [GenerationLayout.Stage] = []
        var start = 0
        for (position, peer) in peers.enumerated() {
            let most = tables.layers - (peers.count - position - 1)
            guard start < most, allows(start..<(start + 1), peer) else { return nil }
            var low = start + 1
            var high = most
            while low < high {
                let middle = (low + high + 1) / 2
                if allows(start..<middle, peer) { low = middle } else { high = middle - 1 }
            }
            stages.append(GenerationLayout.Stage(peer: peer, layers: start..<low))
            start = low
        }
        return start == tables.layers ? stages : nil
    }
}
