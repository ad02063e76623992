/// How many micro-batches pipelines of given sets of peers can do in a time at best: the dynamic programming of `SetCapacity`
/// over (set, last peer, layers done).
struct SetAllowance {
    private let capacity: SetCapacity
    private let tables: CostTables
    private let sets: PeerSets
    private let time: Double
    private let replicas: Int
    private let closing: Double
    /// By first layer and end: bytes that a stage exchanges.
    private let exchanged: [Double]
    /// By set, kind of the last peer and layers done.
    private var most: [Int]

    init(_ capacity: SetCapacity, time: Double, replicas: Int) {
        self.capacity = capacity
        tables = capacity.tables
        sets = capacity.sets
        self.time = time
        self.replicas = replicas
        closing = capacity.closing(replicas: replicas)
        let width = tables.layers + 1
        exchanged = (0..<tables.layers * width).map { position in
            let (start, end) = (position / width, position % width)
            return start < end ? capacity.gradientBytes(start..<end) : 0
        }
        most = Array(repeating: 0, count: sets.count * capacity.kinds * width)
    }

    /// By set: the most micro-batches of a pipeline of all its peers.
    ///
    /// - Parameter leaving: seconds that any pipeline's gradients need at least to leave its peers.
    mutating func ofAll(leaving: Double = 0) -> [Int] {
        (0..<sets.count).map { $0 > 0 ? fill($0, leaving: leaving) : 0 }
    }

    /// The same of a single set.
    ///
    /// - Parameters:
    ///   - window: when the pipeline's first gradients are there before the end, at least and at most.
    ///   - nodes: what is left to spend; every part of the set costs one.
    mutating func of(_ set: Int, window: ClosedRange<Double>, nodes: inout Int) -> Int {
        var most = 0
        for part in sets.parts(of: set).sorted().dropFirst() {
            nodes -= 1
            most = fill(part, leaving: window.lowerBound, widest: window.upperBound, whole: set)
        }
        return most
    }

    /// Finds what a set can do from what its parts can.
    ///
    /// - Parameters:
    ///   - widest: seconds in which every stage's gradients leave it.
    ///   - whole: the set of which this is a part, if only that is of interest.
    private mutating func fill(_ set: Int, leaving: Double, widest: Double = .infinity, whole: Int? = nil) -> Int {
        let (kinds, layers, width) = (capacity.kinds, tables.layers, tables.layers + 1)
        let others = tables.peers - sets.sizes[set]
        guard others >= replicas - 1, sets.sizes[set] <= capacity.stages ?? layers else { return 0 }
        let steps = Double(tables.localSteps)
        let spreads = replicas > 1 && tables.spreadsExchange
        // Every peer that is still to come holds a layer, and no more than any has room for.
        let later = whole.map { sets.sizes[$0] - sets.sizes[set] }
        let fewest = later.map { layers - $0 * capacity.mostLayers } ?? 1
        var result = 0
        for last in 0..<kinds where sets.number(of: last, in: set) > 0 {
            let base = (set * kinds + last) * width
            for end in 0..<width { most[base + end] = 0 }
            let before = set - sets.strides[last]
            let rates = replicas > 1 && !spreads ? capacity.rates(of: last, outside: set) : []
            let all = spreads ? capacity.rate(ofAll: last) : 0
            let latency = replicas > 1 ? capacity.latency(last, replicas: replicas) : 0
            let least = spreads ? capacity.lastExchange(of: last, replicas: replicas) : nil
            for start in 0..<(layers - (later ?? 0)) {
                guard max(start + 1, fewest) <= layers - (later ?? 0),
                    var stage = capacity.stage(last, of: set, from: start, after: (whole ?? set) - set)
                else { continue }
                var enters = start == 0 ? tables.microBatches : 0
                for kind in 0..<kinds where start > 0 && sets.number(of: kind, in: before) > 0 {
                    let known = most[(before * kinds + kind) * width + start]
                    guard known > enters else { continue }
                    var can = min(known, capacity.most(over: kind, to: stage, closing: closing, time: time))
                    if leaving > 0 {
                        can = min(can, capacity.most(over: kind, to: stage, leaving: leaving, time: time))
                    }
                    enters = max(enters, can)
                }
                for end in max(start + 1, fewest)...(layers - (later ?? 0)) where enters > most[base + end] {
                    var seconds = 0.0
                    if replicas > 1 {
                        let rate = spreads ? all : rates[min(others, (end - start) * (replicas - 1))]
                        seconds = (latency + exchanged[start * width + end] / rate) / steps
                    }
                    guard seconds <= widest else { continue }
                    stage.range = start..<end
                    var can = capacity.most(
                        stage, exchange: seconds + capacity.optimizerSeconds, last: least, closing: closing, time: time)
                    if leaving > 0 { can = min(can, capacity.most(stage, leaving: leaving, time: time)) }
                    most[base + end] = max(most[base + end], min(enters, can))
                }
            }
            if capacity.stages == nil || capacity.stages == sets.sizes[set] {
                result = max(result, most[base + layers])
            }
        }
        return result
    }
}

extension SetCapacity {
    /// The sums of a peer's fastest links to peers outside the set, the first of none.
    fileprivate func rates(of kind: Int, outside set: Int) -> [Double] {
        var sums = [0.0]
        for other in nearest[kind] {
            for _ in 0..<(sets.counts[other] - sets.number(of: other, in: set)) {
                sums.append(sums[sums.count - 1] + rate[kind * kinds + other])
            }
        }
        return sums
    }

    /// What the last layer of a spread exchange takes at least at a peer of the kind, on average over the local steps.
    fileprivate func lastExchange(of kind: Int, replicas: Int) -> Double {
        optimizerSeconds
            + max(
                lastLayer(kind, replicas: replicas),
                latency(kind, replicas: replicas) + leastGradientBytes / rate(ofAll: kind))
            / Double(tables.localSteps)
    }

    /// What the gradients of a pipeline of so many take at least to leave its peers, on average over the local steps; of a
    /// single one what its first and last stage send each other of a tied embedding.
    func leavingSeconds(_ set: Int, replicas: Int) -> Double {
        guard replicas > 1 else { return tiedSeconds(set) / Double(tables.localSteps) }
        var sum = 0.0
        var nearest = Double.infinity
        for from in 0..<kinds where sets.number(of: from, in: set) > 0 {
            for to in 0..<kinds {
                let others = sets.counts[to] - sets.number(of: to, in: set)
                guard others > 0 else { continue }
                sum += rate[from * kinds + to] * Double(sets.number(of: from, in: set) * others)
                nearest = min(nearest, latency[from * kinds + to])
            }
        }
        return sum > 0 ? (nearest + gradientBytes(0..<layers) / sum) / Double(tables.localSteps) : .infinity
    }

    private func tiedSeconds(_ set: Int) -> Double {
        guard tables.tiedParameters > 0, sets.sizes[set] > 1 else { return 0 }
        let bytes = tables.tiedBytes(replicas: 1) * tables.compression.gradientFactor
        var least = Double.infinity
        for from in 0..<kinds where sets.number(of: from, in: set) > 0 {
            for to in 0..<kinds where sets.number(of: to, in: set) > (to == from ? 1 : 0) {
                least = min(least, latency[from * kinds + to] + bytes / max(rate[from * kinds + to], 1e-300))
            }
        }
        return least
    }
}
