/// Ways to cut the layers of a model into consecutive stages.
enum LayerSplit {
    /// As equal in number as can be, the larger stages first.
    static func even(layers: Int, stages: Int) -> [Range<Int>] {
        var start = 0
        return (0..<stages).map { stage in
            let count = layers / stages + (stage < layers % stages ? 1 : 0)
            defer { start += count }
            return start..<(start + count)
        }
    }

    /// The cut that makes the slowest stage as fast as possible for peers in this order, with every stage in its peer's
    /// memory: dynamic programming over (stage, last layer). `nil` if nothing fits.
    ///
    /// - Parameter depth: the micro-batches that stage s must have room for.
    static func balanced(
        _ peers: [Int], tables: CostTables, depth: (Int) -> Int
    ) -> [Range<Int>]? {
        let layers = tables.layers
        let stages = peers.count
        guard stages <= layers else { return nil }
        let width = layers + 1
        var worst = Array(repeating: Double.infinity, count: (stages + 1) * width)
        var cut = Array(repeating: 0, count: (stages + 1) * width)
        worst[0] = 0
        for stage in 0..<stages {
            let peer = peers[stage]
            let needed = depth(stage)
            for end in (stage + 1)...(layers - (stages - stage - 1)) {
                for start in stage..<end where worst[stage * width + start] < .infinity {
                    let range = start..<end
                    guard tables.stageBytes(range, depth: needed) <= tables.memoryBytes[peer] else { continue }
                    let seconds =
                        tables.forwardSeconds(range, on: peer) + tables.backwardSeconds(range, on: peer)
                    let value = max(worst[stage * width + start], seconds)
                    if value < worst[(stage + 1) * width + end] {
                        worst[(stage + 1) * width + end] = value
                        cut[(stage + 1) * width + end] = start
                    }
                }
            }
        }
        guard worst[stages * width + layers] < .infinity else { return nil }
        var ranges: [Range<Int>] = []
        var end = layers
        for stage in stride(from: stages, to: 0, by: -1) {
            let start = cut[stage * width + end]
            ranges.append(start..<end)
            end = start
        }
        return ranges.reversed()
    }
}

/// Ways to share an iteration's micro-batches among pipelines.
enum MicroBatchSplit {
    /// As equal as can be, the larger shares first.
    static func even(_ count: Int, over pipelines: Int) -> [Int] {
        (0..<pipelines).map { count / pipelines + ($0 < count % pipelines ? 1 : 0) }
    }

    /// Shares that let pipelines with fill times `fills` and cycle times `cycles` end as nearly together as whole
    /// micro-batches allow; every pipeline gets at least one.
    static func balanced(_ count: Int, fills: [Double], cycles: [Double]) -> [Int] {
        let pipelines = fills.count
        // fill + (m − 1) cycle = end for all, Σ m = count.
        var rate = 0.0
        var offset = 0.0
        for (fill, cycle) in zip(fills, cycles) {
            rate += 1 / cycle
            offset += fill / cycle - 1
        }
        let end = (Double(count) + offset) / rate
        var shares = zip(fills, cycles).map { fill, cycle in max(1, Int(((end - fill) / cycle + 1).rounded(.down))) }
        var rest = count - shares.reduce(0, +)
        while rest != 0 {
            var chosen = -1
            var value = 0.0
            for pipeline in 0..<pipelines {
                let share = shares[pipeline] + (rest > 0 ? 1 : 0)
                guard rest > 0 || share > 1 else { continue }
                let finish = fills[pipeline] + Double(share - 1) * cycles[pipeline]
                if chosen < 0 || (rest > 0 ? finish < value : finish > value) {
                    chosen = pipeline
                    value = finish
                }
            }
            guard chosen >= 0 else { break }
            shares[chosen] += rest > 0 ? 1 : -1
            rest += rest > 0 ? -1 : 1
        }
        return shares
    }
}
