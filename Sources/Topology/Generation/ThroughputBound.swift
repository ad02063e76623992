/// Tokens a second that no plan exceeds.
///
/// Two bounds, the smaller counts.
///
/// * Work: let t(p, l) be the least that peer p is busy with layer l for one sequence's answer: its arithmetic, or reading
///   its cache and its share of the weights in the largest group that its memory could hold. With any weights y(l) ≥ 0 the
///   answers a second X satisfy X Σ y(l) ≤ Σ over peers max over l of y(l) / t(p, l) (weak duality of the linear program that
///   spreads layers over peers freely); y(l) is what the fastest peer needs. Of a cost limit the peers share what
///   parts of them could earn.
/// * Little's law: sequences in flight divided by the least time of an answer.
struct ThroughputBound {
    let tables: GenerationTables
    let budget: CostBudget
    /// The least seconds of an answer on an idle pipeline.
    let leastAnswer: Double

    var tokensPerSecond: Double {
        let tokens = Double(tables.newTokens)
        var bound = work * tokens
        if leastAnswer > 0 { bound = min(bound, Double(sequences) / leastAnswer * tokens) }
        return bound
    }

    /// Sequences that fit the memory of all peers together beside one copy of the weights.
    private var sequences: Int {
        let whole = 0..<tables.layers
        let weights = tables.weightBytes(whole)
        let cache = tables.stageBytes(whole, sequences: 1) - weights
        let room = max(0, budget.most(tables.memoryBytes) - weights)
        let fitting = cache > 0 ? Int(min(1e15, room / cache)) : Int(1e15)
        return min(fitting, tables.maximumSequences ?? fitting)
    }

    /// Answers a second.
    private var work: Double {
        let count = tables.layers
        var seconds = Array(repeating: 0.0, count: tables.peers * count)
        for peer in 0..<tables.peers {
            for layer in 0..<count { seconds[peer * count + layer] = least(layer, on: peer) }
        }
        var weights = Array(repeating: Double.infinity, count: count)
        for layer in 0..<count {
            for peer in 0..<tables.peers { weights[layer] = min(weights[layer], seconds[peer * count + layer]) }
        }
        guard weights.allSatisfy({ $0 > 0 && $0 < .infinity }) else { return .infinity }
        var earned: [Double] = []
        for peer in 0..<tables.peers {
            var most = 0.0
            for layer in 0..<count { most = max(most, weights[layer] / seconds[peer * count + layer]) }
            earned.append(most)
        }
        return budget.most(earned) / weights.reduce(0, +)
    }

    /// The least seconds of a sequence's answer at one layer; infinite where the layer does not fit.
    private func least(_ layer: Int, on peer: Int) -> Double {
        let range = layer..<(layer + 1)
        let cache = tables.stageBytes(range, sequences: 1) - tables.stageBytes(range, sequences: 0)
        let room = tables.memoryBytes[peer] - tables.weightPrefix[layer + 1] + tables.weightPrefix[layer]
        guard room >= cache else { return .infinity }
        let fitting = cache > 0 ? min(Double(ThroughputBuilder.mostGroup), (room / cache).rounded(.down)) : 1e3
        let most = tables.maximumSequences.map { min(fitting, Double($0)) } ?? fitting
        // The larger of the sums is at most the sum of the larger ones; without overhead, which all of a group share.
        let tokens = Double(tables.promptTokens + tables.newTokens - 1)
        let last = Double(tables.promptTokens + tables.newTokens - 1)
        let contexts = last * (last + 1) / 2
        let flops =
            tokens * (tables.tokenPrefix[layer + 1] - tables.tokenPrefix[layer])
            + contexts * (tables.attentionPrefix[layer + 1] - tables.attentionPrefix[layer])
            + Double(tables.newTokens) * (tables.outputPrefix[layer + 1] - tables.outputPrefix[layer])
        let bytesOfContext = tables.cachePrefix[layer + 1] - tables.cachePrefix[layer]
        var contextsRead = Double(tables.promptTokens)
        let decodes = Double(tables.newTokens - 1)
        contextsRead += decodes * Double(tables.promptTokens) + decodes * (decodes + 1) / 2
        let read =
            contextsRead * bytesOfContext
            + Double(tables.newTokens) * (tables.readPrefix[layer + 1] - tables.readPrefix[layer]) / most
        return max(flops * tables.secondsPerFlop[peer], read * tables.secondsPerByteRead[peer])
    }
}
