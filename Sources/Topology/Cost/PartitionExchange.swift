/// What pipelines of given peers can do at best when each knows who the others are: the last test of `PartitionBound`, where
/// only holders of a layer exchange its gradients, and each after its last pass.
///
/// A stage's range of layers has one holder in every other pipeline, and one more for every cut of the others that lies
/// strictly inside it. A cut lies inside at most one stage of a pipeline, so over all its stages that are no more than the other
/// pipelines have cuts. A stage's partners are thus, at best, the nearest peer of each other pipeline and the next nearest for
/// every cut that it has got. Two tests follow, of which both must be passed:
///
/// - **Whole pipelines.** The most micro-batches of each, by dynamic programming over its peers in any order and cuts that
///   finds the fewest cuts of others that a number of micro-batches needs.
/// - **Peers' time.** A peer of φ FLOPs a second does nothing before its first micro-batch (a) nor after its last pass but
///   send gradients: Σ φ (T − a − latency − bytes / rate) must be enough for all the work. R holders send
///   2 (R − 1) times their layers' bytes in total and each at least once, so R − 2 times the model's gradients are sent beyond
///   those, at best by the peer for which that costs least. Cuts of others have a price, and what could be spent on
///   all that there are is given back, which bounds their best use from below (weak duality).
struct PartitionExchange {
    private let capacity: SetCapacity
    private let tables: CostTables
    private let sets: PeerSets
    private let replicas: Int
    private let time: Double
    private let closing: Double
    /// By set, kind of the last peer and layers done: cuts of others needed, FLOPs lost.
    private var fewest: [UInt8]
    private var cheapest: [Double]

    init(_ capacity: SetCapacity, replicas: Int, time: Double) {
        self.capacity = capacity
        tables = capacity.tables
        sets = capacity.sets
        self.replicas = replicas
        self.time = time
        closing = capacity.closing(replicas: replicas)
        fewest = Array(repeating: .max, count: sets.count * capacity.kinds * (capacity.layers + 1))
        cheapest = Array(repeating: .infinity, count: fewest.count)
    }

    /// One pipeline among the others.
    private struct Pipeline {
        var set: Int
        /// Cuts of the others.
        var cuts: Int
        /// By kind: the sum of its links' rates with so many cuts of others in its range.
        var rates: [[Double]]
    }

    private func pipeline(_ index: Int, of chosen: [Int]) -> Pipeline {
        let kinds = capacity.kinds
        let size = chosen.reduce(0) { $0 + sets.sizes[$1] }
        var pipeline = Pipeline(set: chosen[index], cuts: size - sets.sizes[chosen[index]] - (replicas - 1), rates: [])
        for kind in 0..<kinds {
            guard sets.number(of: kind, in: pipeline.set) > 0 else {
                pipeline.rates.append([])
                continue
            }
            var sums = [0.0]
            var others: [Double] = []
            for (position, other) in chosen.enumerated() where position != index {
                let near = capacity.nearest[kind].flatMap {
                    repeatElement(capacity.rate[kind * kinds + $0], count: sets.number(of: $0, in: other))
                }
                sums[0] += near.first ?? 0
                others += near.dropFirst()
            }
            others.sort(by: >)
            for rate in others { sums.append(sums[sums.count - 1] + rate) }
            pipeline.rates.append(sums)
        }
        return pipeline
    }

    /// Whether the pipelines could do all micro-batches.
    ///
    /// - Parameter capacities: by set, what it can do at most whoever the others are.
    mutating func suffices(_ chosen: [Int], capacities: [Int]) -> Bool {
        let pipelines = chosen.indices.map { pipeline($0, of: chosen) }
        guard haveTime(pipelines) else { return false }
        var sum = chosen.reduce(0) { $0 + capacities[$1] }
        for (index, pipeline) in pipelines.enumerated() {
            sum -= capacities[pipeline.set]
            var low = max(1, tables.microBatches - sum)
            guard low <= capacities[pipeline.set], canDo(pipeline, microBatches: low) else { return false }
            if index + 1 < pipelines.count {
                var high = capacities[pipeline.set]
                while low < high {
                    let middle = (low + high + 1) / 2
                    if canDo(pipeline, microBatches: middle) { low = middle } else { high = middle - 1 }
                }
            }
            sum += low
        }
        return true
    }

    private func speed(_ kind: Int) -> Double { 1 / tables.secondsPerFlop[sets.kinds[kind][0]] }

    private mutating func haveTime(_ pipelines: [Pipeline]) -> Bool {
        var flops = 0.0
        let gradients = capacity.gradientBytes(0..<tables.layers) / Double(tables.localSteps)
        var extra = Double.infinity
        for pipeline in pipelines {
            let price = price(pipeline, gradients: gradients)
            flops -= lost(pipeline, price: price) - price * Double(pipeline.cuts)
            for (kind, rates) in pipeline.rates.enumerated() where !rates.isEmpty {
                flops += Double(sets.number(of: kind, in: pipeline.set)) * speed(kind) * time
                let rate = rates[min(pipeline.cuts, rates.count - 1)]
                extra = min(extra, speed(kind) * Double(replicas - 2) * gradients / rate)
            }
        }
        let layer = tables.forwardPrefix[tables.layers] + tables.backwardPrefix[tables.layers]
        return flops >= (Double(tables.microBatches) * layer + extra) * (1 - 1e-9)
    }

    /// FLOPs for a cut of others: what one more saves a stage of the mean size that has as many as the mean. Any price is
    /// valid.
    private func price(_ pipeline: Pipeline, gradients: Double) -> Double {
        let stages = sets.sizes[pipeline.set]
        let mean = pipeline.cuts / stages
        var sum = 0.0
        for (kind, rates) in pipeline.rates.enumerated() where !rates.isEmpty {
            let with = rates[min(mean + 1, rates.count - 1)]
            let without = rates[min(mean, rates.count - 1)]
            sum += speed(kind) * Double(sets.number(of: kind, in: pipeline.set)) * (1 / without - 1 / with)
        }
        return sum / Double(stages) * gradients / Double(stages)
    }

    /// The least that the peers of a pipeline lose before their first micro-batch and in the exchange, and pay for cuts.
    private mutating func lost(_ pipeline: Pipeline, price: Double) -> Double {
        let (kinds, width) = (capacity.kinds, capacity.layers + 1)
        var result = Double.infinity
        let steps = Double(tables.localSteps)
        for part in sets.parts(of: pipeline.set).sorted().dropFirst() {
            for last in 0..<kinds where sets.number(of: last, in: part) > 0 {
                let base = (part * kinds + last) * width
                for end in 0..<width { cheapest[base + end] = .infinity }
                let before = part - sets.strides[last]
                let peer = sets.kinds[last][0]
                for start in 0..<capacity.layers {
                    guard let stage = capacity.stage(last, of: part, from: start) else { continue }
                    var enters = start == 0 ? 0 : Double.infinity
                    for kind in 0..<kinds where start > 0 && sets.number(of: kind, in: before) > 0 {
                        enters = min(enters, cheapest[(before * kinds + kind) * width + start])
                    }
                    guard enters < .infinity else { continue }
                    enters += speed(last) * (stage.arrival + capacity.leastLatency[last] / steps)
                    for end in (start + 1)..<width {
                        guard tables.stageBytes(start..<end, depth: 1) <= tables.memoryBytes[peer] else { break }
                        let bytes = speed(last) * capacity.gradientBytes(start..<end) / steps
                        var least = Double.infinity
                        for (cuts, rate) in pipeline.rates[last].enumerated() {
                            least = min(least, bytes / rate + price * Double(cuts))
                        }
                        cheapest[base + end] = min(cheapest[base + end], enters + least)
                    }
                }
                if part == pipeline.set { result = min(result, cheapest[base + width - 1]) }
            }
        }
        return result
    }

    private mutating func canDo(_ pipeline: Pipeline, microBatches: Int) -> Bool {
        let (kinds, width) = (capacity.kinds, capacity.layers + 1)
        let count = Double(microBatches)
        for part in sets.parts(of: pipeline.set).sorted().dropFirst() {
            for last in 0..<kinds where sets.number(of: last, in: part) > 0 {
                let base = (part * kinds + last) * width
                for end in 0..<width { fewest[base + end] = .max }
                let before = part - sets.strides[last]
                let peer = sets.kinds[last][0]
                for start in 0..<capacity.layers {
                    guard var stage = capacity.stage(last, of: part, from: start) else { continue }
                    var enters = start == 0 ? 0 : UInt8.max
                    for kind in 0..<kinds where start > 0 && sets.number(of: kind, in: before) > 0 {
                        let known = fewest[(before * kinds + kind) * width + start]
                        guard known < enters,
                            capacity.most(over: kind, to: stage, closing: closing, time: time) >= microBatches
                        else { continue }
                        enters = known
                    }
                    guard enters < .max else { continue }
                    for end in (start + 1)..<width {
                        stage.range = start..<end
                        let work =
                            count
                            * (tables.forwardSeconds(stage.range, on: peer)
                                + tables.backwardSeconds(stage.range, on: peer))
                        let left = time - stage.arrival - work
                        func exchange(_ rate: Double) -> Double {
                            capacity.exchangeSeconds(stage.range, kind: last, rate: rate)
                        }
                        guard
                            let cuts = pipeline.rates[last].firstIndex(where: { exchange($0) <= left * (1 + 1e-9) })
                        else { break }
                        let total = Int(enters) + cuts
                        guard total <= pipeline.cuts, total < fewest[base + end],
                            capacity.most(
                                stage, exchange: exchange(pipeline.rates[last][cuts]) * (1 - 1e-9), closing: closing,
                                time: time) >= microBatches
                        else { continue }
                        fewest[base + end] = UInt8(total)
                    }
                }
                if part == pipeline.set, fewest[base + width - 1] < .max { return true }
            }
        }
        return false
    }
}
