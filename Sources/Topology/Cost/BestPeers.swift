/// A peer as good as any: the greatest speed and memory and the best links of all peers, for bounds that do not know who
/// stands where.
struct BestPeers {
    private let tables: CostTables
    private let secondsPerFlop: Double
    private let memoryBytes: Double
    /// The part of a backward pass that a schedule may put off.
    private let weightShare: Double
    /// Seconds to the nearest peer, the same for all.
    let latency: Double
    /// By number of links: the most bytes a second over so many from one peer.
    private(set) var rates: [Double] = [0]
    /// By boundary: seconds of a tensor over the best link, forwards and backwards.
    private(set) var forwardHop: [Double] = []
    private(set) var backwardHop: [Double] = []
    private var transfer: [Double] = []
    /// The optimiser's step for one layer.
    let optimizer: Double
    /// Steps for one exchange.
    let steps: Double

    init(_ problem: PlanningProblem, tables: CostTables) {
        self.tables = tables
        secondsPerFlop = tables.secondsPerFlop.min() ?? 0
        memoryBytes = tables.memoryBytes.max() ?? 0
        weightShare = tables.putOffShare(problem)
        steps = Double(tables.localSteps)
        optimizer =
            ((0..<tables.layers).map { tables.parameters($0..<($0 + 1)) }.min() ?? 0)
            * CostTables.optimizerFlopsPerParameter * secondsPerFlop
        var latency = Double.infinity
        var rates = Array(repeating: 0.0, count: max(1, tables.peers))
        forwardHop = Array(repeating: .infinity, count: tables.layers + 1)
        backwardHop = forwardHop
        var fastest = Double.infinity
        for source in 0..<tables.peers {
            var own: [Double] = []
            for target in 0..<tables.peers where target != source {
                let seconds = max(tables.secondsPerByte[source, target], 1e-300)
                let delay = tables.latency[source, target]
                own.append(1 / seconds)
                latency = min(latency, delay)
                fastest = min(fastest, seconds)
                for boundary in 0...tables.layers {
                    let there = tables.boundaryForwardBytes[boundary] * tables.compression.activationFactor
                    let back = tables.boundaryBackwardBytes[boundary] * tables.compression.activationGradientFactor
                    forwardHop[boundary] = min(forwardHop[boundary], delay + there * seconds)
                    backwardHop[boundary] = min(backwardHop[boundary], delay + back * seconds)
                }
            }
            var sum = 0.0
            for (index, rate) in own.sorted(by: >).enumerated() {
                sum += rate
                rates[index + 1] = max(rates[index + 1], sum)
            }
        }
        self.latency = latency
        self.rates = rates
        transfer = (0...tables.layers).map { boundary in
            fastest
                * max(
                    tables.boundaryForwardBytes[boundary] * tables.compression.activationFactor,
                    tables.boundaryBackwardBytes[boundary] * tables.compression.activationGradientFactor)
        }
    }

    func gradientBytes(_ range: Range<Int>) -> Double {
        tables.gradientBytes(range) * tables.compression.gradientFactor
    }

    func forward(_ range: Range<Int>) -> Double {
        (tables.forwardPrefix[range.upperBound] - tables.forwardPrefix[range.lowerBound]) * secondsPerFlop
            + tables.taskOverheadSeconds
    }

    /// Without what a schedule may put off.
    func backward(_ range: Range<Int>) -> Double { wholeBackward(range) * (1 - weightShare) }

    private func wholeBackward(_ range: Range<Int>) -> Double {
        (tables.backwardPrefix[range.upperBound] - tables.backwardPrefix[range.lowerBound]) * secondsPerFlop
            + tables.taskOverheadSeconds
    }

    /// Both passes of a micro-batch.
    func seconds(_ range: Range<Int>) -> Double { forward(range) + wholeBackward(range) }

    /// From a stage's last pass to the end: what it adds leaves it over so many links (`SetCapacity`).
    func exchange(bytes: Double, links: Int) -> Double {
        (latency + (bytes > 0 ? bytes / rates[links] : 0)) / steps + optimizer
    }

    /// What a first stage still does when the last gradient has come back.
    private var closing: Double { wholeBackward(0..<1) * weightShare }

    private func through(_ layer: Int) -> Double {
        guard layer < tables.layers else { return 0 }
        let range = layer..<tables.layers
        return forward(range) + backward(range)
    }

    /// The most micro-batches that a stage allows (1 to 3 of `SetCapacity`).
    func most(_ range: Range<Int>, arrival: Double, loop: Double, exchange: Double, time: Double) -> Int {
        let own = time - arrival - exchange
        let room = memoryBytes - tables.parameters(range) * tables.stateBytesPerParameter
        let stored = tables.storedPrefix[range.upperBound] - tables.storedPrefix[range.lowerBound]
        guard own > 0, room > 0 else { return 0 }
        let depth = stored > 0 ? min(Double(tables.microBatches), (room / stored).rounded(.down)) : Self.many
        guard depth >= 1 else { return 0 }
        let seconds = seconds(range)
        var most = own / seconds
        let end = range.upperBound
        let beyond = end < tables.layers ? forwardHop[end] + backwardHop[end] : 0
        most = min(most, depth * (own / (seconds + through(end) + beyond) + Self.rounding).rounded(.down))
        if range.lowerBound > 0 {
            let weights = wholeBackward(range) * weightShare
            let rest = time - loop - closing
            guard rest > 0 else { return 0 }
            let short = rest / (seconds - weights)
            most = min(most, short <= depth ? short : (rest + depth * weights) / seconds)
        }
        return Int(min(most, Self.many) + Self.rounding)
    }

    /// The most micro-batches that the link into a stage allows (4 of `SetCapacity`).
    func mostOverLink(at boundary: Int, loop: Double, time: Double) -> Int {
        let rest = time - loop - through(boundary) - closing
        guard rest >= 0 else { return 0 }
        return 1 + Int(min(Self.many, rest / max(transfer[boundary], 1e-12)) + Self.rounding)
    }

    /// The most micro-batches of a later stage of so many layers, wherever they are, with so many links; zero if it does not
    /// fit.
    func most(layers count: Int, links: Int, time: Double) -> Int {
        var most = 0
        let first = forward(0..<1)
        for start in 0...(tables.layers - count) {
            let range = start..<(start + count)
            let seconds = links > 0 ? exchange(bytes: gradientBytes(range), links: links) : 0
            most = max(
                most, self.most(range, arrival: start > 0 ? first : 0, loop: 0, exchange: seconds, time: time))
        }
        return most
    }

    private static let many = 1e9
    /// What a quotient may be too small by.
    private static let rounding = 1e-9
}
