/// A problem of generation as flat arrays, which is what the cost models read.
///
/// A pass takes the longer of its arithmetic and of its reading, weights and the caches of its sequences (the roofline
/// of Williams et al. 2009, as Pope et al. 2022 use it for inference). Where a peer's memory rate is unknown, reading
/// costs nothing.
package struct GenerationTables: Sendable {
    package let peers: Int
    package let layers: Int
    package let promptTokens: Int
    package let newTokens: Int
    /// Sequences in flight over all pipelines at most.
    package let maximumSequences: Int?
    /// Seconds for a FLOP, and for a byte read, by peer.
    package let secondsPerFlop: [Double]
    package let secondsPerByteRead: [Double]
    package let memoryBytes: [Double]
    /// One-way latency in seconds, row-major.
    package let latency: [Double]
    /// Seconds for a byte over a link with its access links, which a stage shares with no other: every stage sends to one
    /// peer and receives from one.
    package let secondsPerByte: [Double]
    /// Sums over the layers before index l, so that a range is a difference.
    package let weightPrefix: [Double]
    package let readPrefix: [Double]
    package let tokenPrefix: [Double]
    package let outputPrefix: [Double]
    package let attentionPrefix: [Double]
    package let cachePrefix: [Double]
    /// Bytes that a token sends over the boundary before layer l.
    package let boundaryBytes: [Double]
    package let tiedBytes: Double
    package let taskOverheadSeconds: Double
    /// Bytes of a token on its way back from the last stage to the first.
    package static let tokenBytes = 4.0

    /// Throws a `PlanningError` if the problem does not say what generation costs, or contradicts itself.
    package init(_ problem: PlanningProblem) throws(PlanningError) {
        guard let profile = problem.model.generation, profile.layers.count == problem.model.layers.count else {
            throw PlanningError(
                .unsupported, "\(problem.model.name) has no figures for generation: give the model's shape")
        }
        let workload = problem.generation
        for (name, tokens) in [("promptTokens", workload.promptTokens), ("newTokens", workload.newTokens)] {
            guard (1...GenerationWorkload.maximumTokens).contains(tokens) else {
                throw PlanningError(
                    .invalidProblem,
                    "generation needs \(name) from 1 to \(GenerationWorkload.maximumTokens), not \(tokens)")
            }
        }
        if let most = workload.maximumSequences, most < 1 {
            throw PlanningError(.invalidProblem, "generation needs positive maximumSequences, not \(most)")
        }
        let graph = problem.graph
        peers = graph.count
        layers = profile.layers.count
        promptTokens = workload.promptTokens
        newTokens = workload.newTokens
        maximumSequences = workload.maximumSequences
        secondsPerFlop = graph.nodes.map { 1 / $0.flopsPerSecond }
        secondsPerByteRead = graph.nodes.map { node in node.memoryBytesPerSecond.map { 1 / $0 } ?? 0 }
        memoryBytes = graph.nodes.map(\.memoryBytes)
        latency = graph.latencies.map { $0.isKnown ? $0.value : 0 }
        var costs: [Double] = []
        costs.reserveCapacity(graph.count * graph.count)
        for source in graph.nodes.indices {
            let uplink = graph.nodes[source].uplinkBytesPerSecond.map { 1 / $0 } ?? 0
            for target in graph.nodes.indices {
                let rate = graph.rates[graph.position(from: source, to: target)]
                let link = rate.isKnown && rate.value > 0 ? 1 / rate.value : 0
                let downlink = graph.nodes[target].downlinkBytesPerSecond.map { 1 / $0 } ?? 0
                costs.append(max(link, max(uplink, downlink)))
            }
        }
        secondsPerByte = costs
        func prefix(_ value: (GenerationProfile.Layer) -> Double) -> [Double] {
            var sums = [0.0]
            for layer in profile.layers { sums.append(sums[sums.count - 1] + value(layer)) }
            return sums
        }
        weightPrefix = prefix(\.weightBytes)
        readPrefix = prefix(\.readBytes)
        tokenPrefix = prefix(\.tokenFlops)
        outputPrefix = prefix(\.outputFlops)
        attentionPrefix = prefix(\.attentionFlops)
        cachePrefix = prefix(\.cacheBytes)
        let factor = problem.compression.activationFactor
        boundaryBytes = [0] + profile.layers.map { $0.boundaryBytes * factor }
        tiedBytes = profile.tiedBytes
        taskOverheadSeconds = problem.taskOverheadSeconds
    }

    private func sum(_ prefix: [Double], _ range: Range<Int>) -> Double {
        prefix[range.upperBound] - prefix[range.lowerBound]
    }

    /// Bytes of the weights of a range of layers.
    package func weightBytes(_ range: Range<Int>) -> Double {
        sum(weightPrefix, range) - (range.count == layers ? tiedBytes : 0)
    }

    /// Bytes that a stage needs for its weights and the full caches of so many sequences.
    package func stageBytes(_ range: Range<Int>, sequences: Int) -> Double {
        weightBytes(range) + Double(sequences) * sum(cachePrefix, range) * Double(promptTokens + newTokens)
    }

    /// Seconds of a pass that takes the prompt's tokens `tokens` of every sequence of a group through the layers.
    package func prefillSeconds(_ range: Range<Int>, on peer: Int, sequences: Int, tokens: Range<Int>) -> Double {
        let group = Double(sequences)
        // Token i sees i + 1 tokens.
        let contexts = Double(tokens.count) * Double(tokens.lowerBound + tokens.upperBound + 1) / 2
        var flops = Double(tokens.count) * sum(tokenPrefix, range) + contexts * sum(attentionPrefix, range)
        if tokens.upperBound == promptTokens { flops += sum(outputPrefix, range) }
        let bytes =
            sum(readPrefix, range) + group * Double(tokens.upperBound) * sum(cachePrefix, range)
        return max(group * flops * secondsPerFlop[peer], bytes * secondsPerByteRead[peer]) + taskOverheadSeconds
    }

    /// Seconds of the pass that generates a token which sees `context` tokens, for every sequence of a group.
    package func decodeSeconds(_ range: Range<Int>, on peer: Int, sequences: Int, context: Int) -> Double {
        let group = Double(sequences)
        let flops =
            sum(tokenPrefix, range) + sum(outputPrefix, range) + Double(context) * sum(attentionPrefix, range)
        let bytes = sum(readPrefix, range) + group * Double(context) * sum(cachePrefix, range)
        return max(group * flops * secondsPerFlop[peer], bytes * secondsPerByteRead[peer]) + taskOverheadSeconds
    }

    /// The sum of `decodeSeconds` over all tokens after the first: the larger of two lines in the context, summed in closed
    /// form on either side of where they cross.
    package func decodeSum(_ range: Range<Int>, on peer: Int, sequences: Int) -> Double {
        let count = newTokens - 1
        guard count > 0 else { return 0 }
        let group = Double(sequences)
        let flop = group * secondsPerFlop[peer]
        let arithmetic = (
            base: flop * (sum(tokenPrefix, range) + sum(outputPrefix, range)),
            slope: flop * sum(attentionPrefix, range)
        )
        let reading = (
            base: secondsPerByteRead[peer] * sum(readPrefix, range),
            slope: secondsPerByteRead[peer] * group * sum(cachePrefix, range)
        )
        // Contexts promptTokens + 1 … promptTokens + count; the first `split` of them lie before the crossing.
        var split = count
        let difference = reading.slope - arithmetic.slope
        if difference != 0 {
            let crossing = (arithmetic.base - reading.base) / difference - Double(promptTokens)
            split = crossing <= 0 ? 0 : crossing >= Double(count) ? count : Int(crossing)
        }
        func series(_ line: (base: Double, slope: Double), _ from: Int, _ to: Int) -> Double {
            let terms = Double(to - from)
            return terms * line.base
                + line.slope * (terms * Double(promptTokens) + terms * Double(from + 1 + to) / 2)
        }
        func larger(_ from: Int, _ to: Int) -> Double {
            from < to ? max(series(arithmetic, from, to), series(reading, from, to)) : 0
        }
        return larger(0, split) + larger(split, count) + Double(count) * taskOverheadSeconds
    }

    /// The tokens of chunk `index` of a prompt that is cut into `count`: as equal as can be, the larger ones first.
    package func chunk(_ index: Int, of count: Int) -> Range<Int> {
        let size = promptTokens / count
        let larger = promptTokens % count
        let start = index * size + min(index, larger)
        return start..<(start + size + (index < larger ? 1 : 0))
    }

    /// Seconds that a link is busy with `tokens` tokens of a group at a boundary, without latency.
    package func transferSeconds(from source: Int, to target: Int, boundary: Int, tokens: Int) -> Double {
        Double(tokens) * boundaryBytes[boundary] * secondsPerByte[source * peers + target]
    }

    /// Seconds until the first stage has the group's new tokens from the last; nothing where they are one.
    package func returnSeconds(from last: Int, to first: Int, sequences: Int) -> Double {
        guard last != first else { return 0 }
        let link = last * peers + first
        return latency[link] + Double(sequences) * Self.tokenBytes * secondsPerByte[link]
    }

    /// Numbers of chunks that a prompt may be cut into: powers of two.
    package var chunkChoices: [Int] {
        var choices = [1]
        while let last = choices.last, 2 * last <= min(64, promptTokens) { choices.append(2 * last) }
        return choices
    }
}
