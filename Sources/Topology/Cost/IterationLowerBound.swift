/// A bound that no plan of a problem beats.
///
/// For each number of pipelines R, with Φ the speed of all peers, φ that of the fastest, W the FLOPs of a micro-batch and
/// M micro-batches: a pipeline with m micro-batches takes at least one micro-batch's way through it, W / φ, and then its
/// slowest stage's time, at least W / Φ_p, for each of the other m − 1; summed over the pipelines this gives
/// T ≥ W / φ + (M − R) W / Φ. The way also crosses as many boundaries as memory forces on it, and with two or more
/// pipelines every layer's gradient makes one exchange. The bound is the least over the R that the peers allow.
struct IterationLowerBound {
    let problem: PlanningProblem
    let tables: CostTables

    var seconds: Double {
        let work =
            tables.forwardPrefix[tables.layers] + tables.backwardPrefix[tables.layers]
        let speeds = tables.secondsPerFlop.map { 1 / $0 }
        let all = CostBudget(problem).most(speeds)
        let fastest = speeds.max() ?? 1
        let count = Double(tables.microBatches)
        let stages = max(problem.shape.stages ?? 1, fewestStages)
        let replicas =
            problem.shape.replicas.map { $0...$0 } ?? 1...max(1, min(tables.microBatches, tables.peers / stages))
        var best = Double.infinity
        for pipelines in replicas {
            let others = max(0, count - Double(pipelines)) * work / all
            var bound = work / fastest + others + hops * Double(stages - 1)
            bound = max(bound, count * work / all)
            if pipelines > 1 { bound += exchange(pipelines) }
            best = min(best, bound)
        }
        return best
    }

    /// The fewest stages that any set of peers needs to hold the model's state.
    private var fewestStages: Int {
        let sorted = tables.memoryBytes.sorted(by: >)
        var rest = tables.parameters(0..<tables.layers) * tables.stateBytesPerParameter
        for (index, bytes) in sorted.enumerated() {
            rest -= bytes
            if rest <= 0 { return index + 1 }
        }
        return max(1, sorted.count)
    }

    /// The cheapest crossing of a boundary, there and back.
    private var hops: Double {
        let bytes =
            (tables.boundaryForwardBytes.dropFirst().dropLast().min() ?? 0) * tables.compression.activationFactor
        let back =
            (tables.boundaryBackwardBytes.dropFirst().dropLast().min() ?? 0)
            * tables.compression.activationGradientFactor
        return cheapestTransfer(bytes) + cheapestTransfer(back)
    }

    /// The cheapest reduce-scatter and all-gather of the smallest layer, and the fastest optimiser step cannot be seen
    /// through: left out.
    private func exchange(_ pipelines: Int) -> Double {
        let smallest = (0..<tables.layers).map { tables.gradientBytes($0..<($0 + 1)) }.min() ?? 0
        return 2 * cheapestTransfer(smallest / Double(pipelines))
    }

    private func cheapestTransfer(_ bytes: Double) -> Double {
        var best = Double.infinity
        for source in 0..<tables.peers {
            for target in 0..<tables.peers where target != source {
                let link = source * tables.peers + target
                best = min(best, tables.latency[link] + bytes * tables.secondsPerByte[link])
            }
        }
        return best.isFinite ? best : 0
    }
}
