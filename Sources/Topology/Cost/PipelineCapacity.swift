/// How many micro-batches pipelines can do in a given time at best: whole layers, whole micro-batches, whole pipelines.
///
/// A pipeline of s stages is taken to consist of the fastest peer s times, with the largest memory and the best link between
/// any two stages. Let stage j hold a range of layers, f, b and w be the seconds of its forward pass, of its backward pass
/// and of what of it computes weights' gradients (which a zero-bubble schedule may put off), d the micro-batches that its
/// memory has room for, and m those of the pipeline. Then the iteration does not end before any of
///
/// 1. a + m (f + b) + x: the first micro-batch comes to the stage after a, the passes and hops of all layers before; it
///    works on one pass at a time, and exchanges its gradients (x) only after its last;
/// 2. a + m (f + b − w) + (m − d)⁺ w + r + x₀: when the stage ends its last input-gradient pass, all but d of its
///    micro-batches' weights' gradients are done, because each holds memory until then; that gradient goes back through
///    all stages before (r), the first of which still computes a weights' gradient and exchanges what it holds (x₀ ≥ that of
///    the first layer);
/// 3. a + ⌈m / d⌉ C + x: forward pass n + d does not begin before n micro-batches have gone on to the last stage
///    and come back (C), by induction over rounds of d;
/// 4. a + (m − 1) t + r' + x₀: the link to the stage carries one tensor of a micro-batch after the other (t, the greater
///    of both directions); after the last of them a single micro-batch goes the rest of its way there and back (r').
///
/// Each grows with m and with the range's end, and where a stage starts one layer later each leaves room for at least one
/// layer more (a grows by a forward pass, but m ≥ 1 passes are not done). So stages that take as many layers as a time
/// allows get farthest, and the greatest m is found by bisection. Pipelines share nothing in this bound but the number of
/// peers: the most micro-batches of R pipelines follow from a knapsack over their lengths.
///
/// **Exchange.** A stage's gradients leave it, over its links to the other holders of its layers: R − 1, and one more for
/// each cut of another pipeline strictly inside its range. Every cut lies inside one stage of a pipeline at most, and
/// the others have no more cuts than peers less R − 1. How few of them so many micro-batches need follows by dynamic
/// programming over stages and layers, where neither none for every stage are enough nor all for every stage too few.
///
/// **Spread exchange.** Where others may add up a stage's gradients (`CostTables.spreadsExchange`), these leave it over its
/// links to all peers, and each layer's as soon as they are complete. Let x be at least the time that all its layers' take,
/// x₁ the least layer's of the model, with the way of its total to other holders, w₁ the least seconds of a layer's weights' gradients, and k the micro-batches
/// whose weights' gradients are put off beyond the last input-gradient pass: one at least, that pass's own, and no more
/// than min(m, d). No layer's gradients are complete before k w₁ after that pass, so all of them leave after that; and
/// the last layer's leave after all passes. Instead of x thus
///
/// - 1 has max(x₁, x − min(m, d) (w − w₁)): all passes end at a + m (f + b) or later, the last input-gradient pass at
///   most k w sooner;
/// - 3 has max(x₁, x − (w − w₁)): only C − w of the last round are over when its input-gradient pass ends.
///
/// Over several local steps both are divided by them, as the other steps last until all passes are over. 2 and 4 keep x₀: the
/// first stage computes the first layer's weights' gradients, then exchanges them. The terms still grow with m and with the
/// range's end (f + b grows by more than w does, x by more than nothing; x₁ and w₁ are the same for all ranges, d
/// falls), and what a stage that starts one layer later saves, f + b of the layer at least once less w, is more than the
/// forward pass that a grows by.
struct PipelineCapacity {
    let tables: CostTables
    /// Seconds of the cheapest transfer between any two peers, forwards and backwards, and without latency.
    let forwardHop: Double
    let backwardHop: Double
    let transfer: Double
    /// Peers that the plan may use.
    let peers: Int
    /// Stages of every pipeline, if given.
    let stages: Int?
    /// Seconds for a FLOP of the fastest peer.
    private let secondsPerFlop: Double
    private let memoryBytes: Double
    /// The part of a backward pass that a schedule may put off.
    private let weightShare: Double
    /// The least seconds of a layer's weights' gradients, and the least bytes of its gradients.
    private let leastWeights: Double
    private let leastBytes: Double

    init(
        _ problem: PlanningProblem, tables: CostTables, forwardHop: Double, backwardHop: Double, transfer: Double
    ) {
        self.tables = tables
        self.forwardHop = forwardHop
        self.backwardHop = backwardHop
        self.transfer = transfer
        peers = min(tables.peers, CostBudget(problem).mostPeers)
        stages = problem.shape.stages
        secondsPerFlop = tables.secondsPerFlop.min() ?? 0
        memoryBytes = tables.memoryBytes.max() ?? 0
        weightShare = tables.putOffShare(problem)
        leastWeights = tables.leastBackwardFlops * weightShare * secondsPerFlop
        leastBytes = tables.leastGradientBytes
    }

    /// What the exchange of a stage's gradients takes at least.
    struct Exchange {
        var latency: Double
        /// By links: the most bytes a second from any peer over so many; empty if there is no exchange.
        var rates: [Double]
        /// The fewest and the most other pipelines.
        var others: ClosedRange<Int>
        /// Whether all links of a stage carry its gradients, and layers by themselves.
        var spreads = false
        /// What the last layer of a spread exchange takes at least (x₁).
        var last = 0.0

        /// Without any other pipeline.
        static let none = Exchange(latency: 0, rates: [], others: 0...0)
    }

    /// The least time in which some number of pipelines out of `replicas` could do all micro-batches; `limit` if it is not
    /// below that.
    func leastSeconds(replicas: ClosedRange<Int>, exchange: Exchange, limit: Double) -> Double {
        guard !suffices(limit, replicas, exchange) else {
            var low = 0.0
            var high = limit
            for _ in 0..<Self.halvings {
                let middle = (low + high) / 2
                if suffices(middle, replicas, exchange) { high = middle } else { low = middle }
            }
            return low
        }
        return limit
    }

    /// To about a millionth.
    private static let halvings = 20

    /// Whether the pipelines can do all micro-batches in the time.
    private func suffices(_ time: Double, _ replicas: ClosedRange<Int>, _ exchange: Exchange) -> Bool {
        let longest = min(tables.layers, peers)
        guard replicas.upperBound > 1 else {
            let lengths = stages.map { [$0] } ?? Array(1...longest)
            return lengths.contains {
                $0 <= longest && isFeasible($0, microBatches: tables.microBatches, time: time, exchange)
            }
        }
        var capacity = Array(repeating: 0, count: longest + 1)
        for length in 1...longest where stages == nil || stages == length {
            capacity[length] = most(stages: length, time: time, exchange)
        }
        // By peers used: the most micro-batches of so many pipelines, -1 if there cannot be so many.
        var best = Array(repeating: -1, count: peers + 1)
        best[0] = 0
        for count in 1...replicas.upperBound {
            var next = Array(repeating: -1, count: peers + 1)
            for used in 1...peers {
                for length in 1...min(longest, used) where capacity[length] > 0 && best[used - length] >= 0 {
                    next[used] = max(next[used], best[used - length] + capacity[length])
                }
            }
            best = next
            guard let found = best.max(), found >= 0 else { return false }
            if count >= replicas.lowerBound, found >= tables.microBatches { return true }
        }
        return false
    }

    /// The most micro-batches of a pipeline of so many stages.
    private func most(stages: Int, time: Double, _ exchange: Exchange) -> Int {
        let all = (tables.forwardPrefix[tables.layers] + tables.backwardPrefix[tables.layers]) * secondsPerFlop
        var low = 0
        var high = min(tables.microBatches, all > 0 ? Int(min(1e9, time * Double(stages) / all)) + 1 : .max)
        while low < high {
            let middle = (low + high + 1) / 2
            if isFeasible(stages, microBatches: middle, time: time, exchange) {
                low = middle
            } else {
                high = middle - 1
            }
        }
        return low
    }

    /// Whether so many stages can do so many micro-batches in the time.
    func isFeasible(_ stages: Int, microBatches: Int, time: Double, _ exchange: Exchange) -> Bool {
        // Cuts of the other pipelines, if all peers that are not in this one are in those.
        let cuts = exchange.spreads ? 0 : max(0, peers - stages - exchange.others.lowerBound)
        func farthest(_ cuts: Int) -> Bool {
            isFeasible(stages) { range, stage in
                seconds(range, stage: stage, of: stages, microBatches: microBatches, exchange, cuts: cuts) <= time
            }
        }
        if farthest(0) { return true }
        guard !exchange.rates.isEmpty, cuts > 0, farthest(cuts) else { return false }
        return fewestCuts(stages, microBatches: microBatches, time: time, exchange, limit: cuts) <= cuts
    }

    /// The same where a stage is feasible or not by itself: each takes as many layers as it can.
    private func isFeasible(_ stages: Int, _ allows: (Range<Int>, Int) -> Bool) -> Bool {
        var start = 0
        for stage in 0..<stages {
            // Every stage after it holds a layer.
            let last = tables.layers - (stages - 1 - stage)
            var low = start
            var high = last
            while low < high {
                let middle = (low + high + 1) / 2
                if allows(start..<middle, stage) { low = middle } else { high = middle - 1 }
            }
            guard low > start else { return false }
            start = low
        }
        return start == tables.layers
    }

    /// The fewest cuts of other pipelines with which so many stages can do so many micro-batches in the time.
    private func fewestCuts(
        _ stages: Int, microBatches: Int, time: Double, _ exchange: Exchange, limit: Int
    ) -> Int {
        // By layers that the stages so far hold.
        var fewest = Array(repeating: limit + 1, count: tables.layers + 1)
        fewest[0] = 0
        for stage in 0..<stages {
            var next = Array(repeating: limit + 1, count: tables.layers + 1)
            for start in stage..<(tables.layers - (stages - 1 - stage)) where fewest[start] <= limit {
                var cuts = 0
                for end in (start + 1)...(tables.layers - (stages - 1 - stage)) {
                    // More layers never need fewer.
                    while cuts <= limit,
                        seconds(
                            start..<end, stage: stage, of: stages, microBatches: microBatches, exchange, cuts: cuts)
                            > time
                    {
                        cuts += 1
                    }
                    guard fewest[start] + cuts <= limit else { break }
                    next[end] = min(next[end], fewest[start] + cuts)
                }
            }
            fewest = next
        }
        return fewest[tables.layers]
    }

    /// The greatest of the four.
    private func seconds(
        _ range: Range<Int>, stage: Int, of stages: Int, microBatches: Int, _ exchange: Exchange, cuts: Int
    ) -> Double {
        let overhead = tables.taskOverheadSeconds
        let layers = tables.layers
        func forward(_ from: Int, _ to: Int) -> Double {
            (tables.forwardPrefix[to] - tables.forwardPrefix[from]) * secondsPerFlop
        }
        func backward(_ from: Int, _ to: Int) -> Double {
            (tables.backwardPrefix[to] - tables.backwardPrefix[from]) * secondsPerFlop
        }
        let before = Double(stage)
        let after = Double(stages - 1 - stage)
        let count = Double(microBatches)
        let arrival = forward(0, range.lowerBound) + before * (overhead + forwardHop)
        let pass = forward(range.lowerBound, range.upperBound) + overhead
        let whole = backward(range.lowerBound, range.upperBound) + overhead
        let weights = whole * weightShare
        let room = memoryBytes - tables.parameters(range) * tables.stateBytesPerParameter
        let stored = tables.storedPrefix[range.upperBound] - tables.storedPrefix[range.lowerBound]
        guard room > 0 else { return .infinity }
        let depth = stored > 0 ? min(count, (room / stored).rounded(.down)) : count
        guard depth >= 1 else { return .infinity }
        // What is left of the exchange after all passes, if it begins so many micro-batches' weights' gradients before.
        func own(_ putOff: Double) -> Double {
            tail(range, exchange, cuts: cuts, meanwhile: putOff * (weights - leastWeights))
        }
        var least = arrival + count * (pass + whole) + own(depth)
        let down = forward(range.upperBound, layers) + after * (overhead + forwardHop)
        let up =
            backward(range.upperBound, layers) * (1 - weightShare)
            + after * (overhead * (1 - weightShare) + backwardHop)
        let through = pass + down + up + whole - weights
        least = max(least, arrival + (count / depth).rounded(.up) * (through + weights) + own(1))
        guard stage > 0 else { return least }
        let back =
            (backward(0, range.lowerBound) + before * overhead) * (1 - weightShare) + before * backwardHop
            + (backward(0, 1) + (exchange.spreads ? 0 : overhead)) * weightShare + tail(0..<1, exchange, cuts: 0)
        least = max(
            least, arrival + count * (pass + whole - weights) + max(0, count - depth) * weights + back)
        return max(least, arrival + (count - 1) * transfer + through + back)
    }

    /// The exchange and the optimiser's step of a stage after its last pass, on average over the local steps.
    ///
    /// - Parameter meanwhile: seconds before the end of that pass at which a spread exchange may begin at the earliest.
    private func tail(_ range: Range<Int>, _ exchange: Exchange, cuts: Int, meanwhile: Double = 0) -> Double {
        let parameters = tables.parameters(range)
        var seconds = 0.0
        if exchange.spreads, let rate = exchange.rates.last {
            let bytes = tables.gradientBytes(range) * tables.compression.gradientFactor
            seconds = max(exchange.last, exchange.latency + max(leastBytes / rate, bytes / rate - meanwhile))
        } else if !exchange.rates.isEmpty {
            let bytes = parameters * tables.gradientBytesPerParameter * tables.compression.gradientFactor
            let links = min(exchange.others.upperBound + cuts, range.count * exchange.others.upperBound)
            seconds = max(exchange.latency, bytes / exchange.rates[min(links, exchange.rates.count - 1)])
        }
        return seconds / Double(tables.localSteps)
            + parameters * CostTables.optimizerFlopsPerParameter * secondsPerFlop
    }
}
