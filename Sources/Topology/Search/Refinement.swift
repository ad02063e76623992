/// Small changes to a finished layout that the annealing does not make: a layer over a boundary, a micro-batch from one
/// pipeline to another, two peers for each other, each judged by whatever measure is given.
struct Refinement {
    let tables: CostTables
    let spares: [Int]
    /// Whether peers may be swapped too (few peers only: there are many pairs).
    let swapsPeers: Bool
    let budget: CostBudget

    /// Improves until no change helps, `limit` measurements are used or the time is over; returns the layout, its value and
    /// the measurements used.
    func run(
        _ start: Layout, limit: Int, isOver: () -> Bool = { false }, measure: (Layout) -> Double
    ) -> (layout: Layout, seconds: Double, used: Int) {
        var best = start
        var value = measure(start)
        var used = 1
        var improved = true
        while improved, used < limit {
            improved = false
            for candidate in neighbours(of: best, limit: limit - used) {
                guard used < limit, !isOver() else { return (best, value, used) }
                used += 1
                let seconds = measure(candidate)
                if seconds < value * (1 - 1e-12) {
                    best = candidate
                    value = seconds
                    improved = true
                    break
                }
            }
        }
        return (best, value, used)
    }

    /// All changes, or of a large layout as many as can be measured.
    private func neighbours(of layout: Layout, limit: Int) -> [Layout] {
        var result: [Layout] = []
        for moves in [commonCutMoves, cutMoves, depthMoves, shareMoves] + (swapsPeers ? [swaps] : []) {
            guard layout.pipelines.count <= Self.wholePipelines || result.count < limit else { break }
            result += moves(layout).filter(fits)
        }
        return result
    }

    /// Pipelines up to which all changes are written down before the first is measured.
    private static let wholePipelines = 64

    private func fits(_ layout: Layout) -> Bool {
        guard budget.allows(layout.peers) else { return false }
        return layout.fitsMemory(tables: tables)
    }

    /// A layer over the same boundary in every pipeline that is cut there, so that whole groups keep exchanging whole
    /// stages; depths grow into the memory that this leaves.
    private func commonCutMoves(_ layout: Layout) -> [Layout] {
        guard layout.pipelines.count > 1 else { return [] }
        let all = layout.pipelines.flatMap { $0.dropFirst().map(\.layers.lowerBound) }
        var result: [Layout] = []
        for cut in Set(all).sorted() {
            for shift in [-1, 1] {
                var next = layout
                for (rank, pipeline) in layout.pipelines.enumerated() {
                    guard let stage = pipeline.firstIndex(where: { $0.layers.lowerBound == cut }) else { continue }
                    let moved = cut + shift
                    guard moved > pipeline[stage - 1].layers.lowerBound, moved < pipeline[stage].layers.upperBound
                    else { continue }
                    next.pipelines[rank][stage - 1].layers = pipeline[stage - 1].layers.lowerBound..<moved
                    next.pipelines[rank][stage].layers = moved..<pipeline[stage].layers.upperBound
                    guard layout.schedule.choosesDepth else { continue }
                    for index in [stage - 1, stage] {
                        let room = tables.depthThatFits(
                            next.pipelines[rank][index].layers, on: pipeline[index].peer, exchange: layout.exchange)
                        let before = index > 0 ? next.pipelines[rank][index - 1].depth : layout.microBatches[rank]
                        let wanted = pipeline[index].depth + (index + 1 < pipeline.count ? 2 : 0)
                        next.pipelines[rank][index].depth = max(1, min(wanted, min(room, before)))
                    }
                    for index in next.pipelines[rank].indices.dropFirst() {
                        next.pipelines[rank][index].depth = min(
                            next.pipelines[rank][index].depth, next.pipelines[rank][index - 1].depth)
                    }
                }
                if next != layout { result.append(next) }
            }
        }
        return result
    }

    private func cutMoves(_ layout: Layout) -> [Layout] {
        var result: [Layout] = []
        for (rank, pipeline) in layout.pipelines.enumerated() where pipeline.count > 1 {
            for boundary in 1..<pipeline.count {
                for shift in [-1, 1] {
                    let cut = pipeline[boundary].layers.lowerBound + shift
                    guard cut > pipeline[boundary - 1].layers.lowerBound, cut < pipeline[boundary].layers.upperBound
                    else { continue }
                    var next = layout
                    next.pipelines[rank][boundary - 1].layers =
                        pipeline[boundary - 1].layers.lowerBound..<cut
                    next.pipelines[rank][boundary].layers = cut..<pipeline[boundary].layers.upperBound
                    result.append(next)
                }
            }
        }
        return result
    }

    /// One micro-batch more in flight, where the schedule leaves the depth to the plan.
    func depthMoves(_ layout: Layout) -> [Layout] {
        guard layout.schedule.choosesDepth else { return [] }
        var result: [Layout] = []
        for (rank, pipeline) in layout.pipelines.enumerated() where pipeline.count > 1 {
            var next = layout
            for stage in 0..<(pipeline.count - 1) {
                let room = tables.depthThatFits(
                    pipeline[stage].layers, on: pipeline[stage].peer, exchange: layout.exchange)
                let before = stage > 0 ? next.pipelines[rank][stage - 1].depth : layout.microBatches[rank]
                next.pipelines[rank][stage].depth = max(1, min(pipeline[stage].depth + 1, min(room, before)))
            }
            if next != layout { result.append(next) }
        }
        return result
    }

    func shareMoves(_ layout: Layout) -> [Layout] {
        var result: [Layout] = []
        for from in layout.pipelines.indices where layout.microBatches[from] > 1 {
            for to in layout.pipelines.indices where to != from {
                var next = layout
                next.microBatches[from] -= 1
                next.microBatches[to] += 1
                if layout.schedule == .gpipe {
                    for rank in [from, to] {
                        for stage in next.pipelines[rank].indices {
                            next.pipelines[rank][stage].depth = next.microBatches[rank]
                        }
                    }
                }
                result.append(next)
            }
        }
        return result
    }

    private func swaps(_ layout: Layout) -> [Layout] {
        var result: [Layout] = []
        let places = layout.pipelines.enumerated().flatMap { rank, pipeline in pipeline.indices.map { (rank, $0) } }
        for (index, first) in places.enumerated() {
            for second in places[(index + 1)...] {
                var next = layout
                next.pipelines[first.0][first.1].peer = layout.pipelines[second.0][second.1].peer
                next.pipelines[second.0][second.1].peer = layout.pipelines[first.0][first.1].peer
                result.append(next)
            }
            for spare in spares where !layout.peers.contains(spare) {
                var next = layout
                next.pipelines[first.0][first.1].peer = spare
                result.append(next)
            }
        }
        return result
    }
}
