/// How many micro-batches a pipeline of exactly these peers can do in a given time at best, over the links that they have.
///
/// For every set of peers, last peer and first layer of that peer's stage, two figures are the least over all orders and cuts
/// of the stages before: when the first micro-batch can be there (a), and that plus the time of a gradient from there back
/// through all stages before (a + r). With them a stage of f, b and w seconds for a forward pass, a backward pass and what of
/// it a schedule may put off, with room for d micro-batches, allows m micro-batches only if none of these is above the time:
///
/// 1. a + m (f + b) + x: it works on one pass at a time and exchanges its gradients (x) after its last;
/// 2. a + r + m (f + b − w) + (m − d)⁺ w + x₀: the last gradient goes back to the first stage (`PipelineCapacity`);
/// 3. a + ⌈m / d⌉ C + x: forward pass n + d waits for n micro-batches that come back (C);
/// 4. a + r + (m − 1) t + u + x₀: the link from the stage before carries one tensor after the other (t in the slower
///    direction), and a last micro-batch still goes through all layers from here and back (u).
///
/// The most micro-batches of a set follow by dynamic programming over (set, last peer, layers done): the greatest of the
/// least of what the stages and links allow. What is chosen for the two figures may be different orders, so it is a bound.
///
/// **Exchange.** With R pipelines, what a holder adds to its layers' sums must leave it, so as many bytes as it holds
/// gradients go out over its links to other holders of those layers, after its last pass (in the simulator's direct exchange it
/// sends the share 1 + (R − 2) x of its layers with a slice x, in levels (2c − 1)/c with c ≥ 1 in its cluster, or
/// more). A peer's partners are not in its own pipeline. x is at least a latency and the bytes over the rates of so many
/// links. Where others may add up gradients (`CostTables.spreadsExchange`), all links of a peer carry them: the last byte
/// leaves after its bytes over all their rates, and whoever it goes through, it still has the shortest way to the R − 1
/// nearest peers before it. Then 1 and 3 have what `PipelineCapacity` proves instead of x.
struct SetCapacity {
    let tables: CostTables
    let sets: PeerSets
    let kinds: Int
    let layers: Int
    /// Bytes a second between two kinds, and the kinds in that order, the fastest first.
    private(set) var rate: [Double] = []
    private(set) var nearest: [[Int]] = []
    /// By kind: seconds to the nearest peer.
    private(set) var leastLatency: [Double] = []
    private(set) var latency: [Double] = []
    let stages: Int?
    /// The part of a backward pass that a schedule may put off.
    let weightShare: Double
    private let secondsPerFlop: Double
    /// By kind, ascending: seconds to every other peer by the shortest ways; empty unless exchanges are spread.
    private let ways: [[Double]]
    /// By kind, ascending: seconds until every other peer has the total of one layer; empty unless exchanges are spread.
    private let hops: [[Double]]
    /// The FLOPs of the weights' gradients of the layer that has the fewest, if they may be put off.
    private let leastWeightFlops: Double
    /// The optimiser's step for a layer on the fastest peer.
    let optimizerSeconds: Double
    /// By set, kind of the last peer and its first layer: a, and a + r.
    private var arrivals: [Double]
    private var loops: [Double]
    /// By first layer: one micro-batch through the layers from there and back, on the fastest peers and without links.
    private var through: [Double] = []
    /// By kind and boundary: over the best link and back.
    private var beyond: [Double] = []

    init(_ problem: PlanningProblem, tables: CostTables, sets: PeerSets) {
        self.tables = tables
        self.sets = sets
        kinds = sets.kinds.count
        layers = tables.layers
        stages = problem.shape.stages
        weightShare = tables.putOffShare(problem)
        leastWeightFlops = tables.leastBackwardFlops * weightShare
        let shortest = tables.spreadsExchange ? tables.shortestWays() : []
        ways = tables.spreadsExchange ? sets.kinds.map { shortest[$0[0]] } : []
        let twoHops = tables.spreadsExchange ? tables.twoHops : []
        hops = tables.spreadsExchange ? sets.kinds.map { twoHops[$0[0]] } : []
        secondsPerFlop = tables.secondsPerFlop.min() ?? 0
        optimizerSeconds =
            ((0..<tables.layers).map { tables.parameters($0..<($0 + 1)) }.min() ?? 0)
            * CostTables.optimizerFlopsPerParameter * secondsPerFlop
        arrivals = Array(repeating: .infinity, count: sets.count * sets.kinds.count * tables.layers)
        loops = arrivals
        for (from, source) in sets.kinds.enumerated() {
            for (to, target) in sets.kinds.enumerated() {
                let other = from == to ? target.dropFirst().first : target[0]
                latency.append(other.map { tables.latency[source[0], $0] } ?? .infinity)
                rate.append(other.map { 1 / max(tables.secondsPerByte[source[0], $0], 1e-300) } ?? 0)
            }
            leastLatency.append(latency.suffix(kinds).min() ?? 0)
            nearest.append((0..<kinds).sorted { (rate[from * kinds + $0], $1) > (rate[from * kinds + $1], $0) })
        }
        let kept = 1 - weightShare
        through = (0...layers).map { layer in
            let forward = tables.forwardPrefix[layers] - tables.forwardPrefix[layer]
            let backward = tables.backwardPrefix[layers] - tables.backwardPrefix[layer]
            return layer == layers
                ? 0 : (forward + backward * kept) * secondsPerFlop + tables.taskOverheadSeconds * (1 + kept)
        }
        for kind in 0..<kinds {
            beyond.append(0)
            for boundary in 1..<max(1, layers) {
                beyond.append(
                    (0..<kinds).map {
                        forwardHop(kind, $0, boundary).seconds + backwardHop($0, kind, boundary).seconds
                    }.min() ?? 0)
            }
            beyond.append(0)
        }
        follow()
    }

    typealias Hop = (seconds: Double, transfer: Double)

    func forwardHop(_ from: Int, _ to: Int, _ boundary: Int) -> Hop {
        hop(from, to, bytes: tables.boundaryForwardBytes[boundary] * tables.compression.activationFactor)
    }

    func backwardHop(_ from: Int, _ to: Int, _ boundary: Int) -> Hop {
        hop(from, to, bytes: tables.boundaryBackwardBytes[boundary] * tables.compression.activationGradientFactor)
    }

    private func hop(_ from: Int, _ to: Int, bytes: Double) -> Hop {
        let rate = rate[from * kinds + to]
        let seconds = rate > 0 ? bytes / rate : .infinity
        return (latency[from * kinds + to] + seconds, seconds)
    }

    /// Finds a and a + r for all sets, ascending, so that a set's parts come first.
    private mutating func follow() {
        var ahead = Array(repeating: Double.infinity, count: kinds * layers * (layers + 1))
        var around = ahead
        for kind in 0..<kinds {
            let peer = sets.kinds[kind][0]
            for start in 0..<layers {
                for end in (start + 1)...layers {
                    let range = start..<end
                    guard tables.stageBytes(range, depth: 1) <= tables.memoryBytes[peer] else { break }
                    let position = (kind * layers + start) * (layers + 1) + end
                    ahead[position] = tables.forwardSeconds(range, on: peer)
                    around[position] =
                        ahead[position] + tables.backwardSeconds(range, on: peer) * (1 - weightShare)
                }
            }
            arrivals[(sets.strides[kind] * kinds + kind) * layers] = 0
            loops[(sets.strides[kind] * kinds + kind) * layers] = 0
        }
        var arrival = Array(repeating: Double.infinity, count: layers + 1)
        var loop = arrival
        for set in 1..<sets.count {
            for last in 0..<kinds where sets.number(of: last, in: set) > 0 {
                let base = (set * kinds + last) * layers
                for end in 0...layers { (arrival[end], loop[end]) = (.infinity, .infinity) }
                for start in 0..<layers where arrivals[base + start] < .infinity {
                    let row = (last * layers + start) * (layers + 1)
                    for end in (start + 1)...layers {
                        arrival[end] = min(arrival[end], arrivals[base + start] + ahead[row + end])
                        loop[end] = min(loop[end], loops[base + start] + around[row + end])
                    }
                }
                for next in 0..<kinds where sets.number(of: next, in: set) < sets.counts[next] {
                    let target = ((set + sets.strides[next]) * kinds + next) * layers
                    for end in 1..<max(1, layers) where arrival[end] < .infinity {
                        let there = forwardHop(last, next, end).seconds
                        let back = backwardHop(next, last, end).seconds
                        arrivals[target + end] = min(arrivals[target + end], arrival[end] + there)
                        loops[target + end] = min(loops[target + end], loop[end] + there + back)
                    }
                }
            }
        }
    }
}

extension SetCapacity {
    /// The last stage of a pipeline of some peers, or of the first of its stages.
    struct Stage {
        var kind: Int
        var range: Range<Int>
        var arrival: Double
        var loop: Double
    }

    /// The stage of a peer of `kind` that comes last of the set's peers; `nil` if no order and cuts lead there.
    func stage(_ kind: Int, of set: Int, from start: Int) -> Stage? {
        let position = (set * kinds + kind) * layers + start
        guard arrivals[position] < .infinity else { return nil }
        return Stage(
            kind: kind, range: start..<(start + 1), arrival: arrivals[position], loop: loops[position])
    }

    /// What follows at least when the last gradient has come back to the first stage (x₀).
    func closing(replicas: Int) -> Double {
        let first = tables.backwardPrefix[1] * secondsPerFlop * weightShare
        let overhead = tables.taskOverheadSeconds * weightShare
        guard replicas > 1 else { return first + overhead }
        let least = (0..<kinds).map {
            max(
                lastLayer($0, replicas: replicas),
                latency($0, replicas: replicas) + gradientBytes(0..<1) / rate(ofAll: $0))
        }.min()
        // Where the layer is exchanged before others the pass may go on.
        return first + (tables.spreadsExchange ? 0 : overhead) + (least ?? 0) / Double(tables.localSteps)
    }

    /// Until the gradients of a peer of the kind have reached so many pipelines.
    private func latency(_ kind: Int, replicas: Int) -> Double {
        tables.spreadsExchange ? ways[kind][replicas - 2] : leastLatency[kind]
    }

    /// Until other pipelines have the totals of a layer that a peer of the kind exchanges last; zero unless exchanges are
    /// spread.
    private func lastLayer(_ kind: Int, replicas: Int) -> Double {
        tables.spreadsExchange ? hops[kind][replicas - 2] : 0
    }

    /// Bytes a second over all links of a peer of the kind.
    private func rate(ofAll kind: Int) -> Double {
        (0..<kinds).reduce(0) { sum, other in
            sum + rate[kind * kinds + other] * Double(sets.counts[other] - (other == kind ? 1 : 0))
        }
    }

    func gradientBytes(_ range: Range<Int>) -> Double {
        tables.gradientBytes(range) * tables.compression.gradientFactor
    }

    /// The exchange of a stage over links of a total rate, on average over the local steps. Whoever gets the last byte still
    /// steps its optimiser for a layer.
    func exchangeSeconds(_ range: Range<Int>, kind: Int, rate: Double) -> Double {
        (leastLatency[kind] + gradientBytes(range) / rate) / Double(tables.localSteps) + optimizerSeconds
    }

    /// The most micro-batches that a stage allows if its exchange takes so long (1, 2 and 3).
    ///
    /// - Parameter last: what the exchange of one layer takes, if others may be exchanged before the last pass ends.
    func most(_ stage: Stage, exchange: Double, last: Double? = nil, closing: Double, time: Double) -> Int {
        let own = time - stage.arrival - (last ?? exchange)
        let peer = sets.kinds[stage.kind][0]
        let depth = tables.depthThatFits(stage.range, on: peer)
        guard own > 0, depth > 0 else { return 0 }
        let pass = tables.forwardSeconds(stage.range, on: peer)
        let back = tables.backwardSeconds(stage.range, on: peer)
        var most = own / (pass + back)
        let end = stage.range.upperBound
        let cycle = pass + back + through[end] + beyond[stage.kind * (layers + 1) + end]
        let weights = back * weightShare
        var round = own
        if last != nil {
            // A micro-batch's passes during which layers may be exchanged.
            let hidden = (weights - leastWeightFlops * tables.secondsPerFlop[peer]) / Double(tables.localSteps)
            let begun = time - stage.arrival - exchange
            guard begun > 0 else { return 0 }
            let short = begun / (pass + back - hidden)
            most = min(most, short <= Double(depth) ? short : (begun + Double(depth) * hidden) / (pass + back))
            round = min(own, begun + hidden)
        }
        most = min(most, Double(depth) * (round / cycle + Self.rounding).rounded(.down))
        if stage.range.lowerBound > 0 {
            let rest = time - stage.loop - closing
            guard rest > 0 else { return 0 }
            let short = rest / (pass + back - weights)
            most = min(most, short <= Double(depth) ? short : (rest + Double(depth) * weights) / (pass + back))
        }
        return Int(min(most, Self.many) + Self.rounding)
    }

    /// The most micro-batches that the link to a stage from the one before allows (4).
    func most(over from: Int, to stage: Stage, closing: Double, time: Double) -> Int {
        let start = stage.range.lowerBound
        let rest = time - stage.loop - through[start] - closing
        guard rest >= 0 else { return 0 }
        let transfer = max(
            forwardHop(from, stage.kind, start).transfer, backwardHop(stage.kind, from, start).transfer)
        return 1 + Int(min(Self.many, rest / max(transfer, 1e-12)) + Self.rounding)
    }

    private static let many = 1e9
    /// What a quotient may be too small by.
    private static let rounding = 1e-9

    /// By set: the most micro-batches of a pipeline of all its peers.
    func capacities(time: Double, replicas: Int) -> [Int] {
        let closing = closing(replicas: replicas)
        let width = layers + 1
        var most = Array(repeating: 0, count: sets.count * kinds * width)
        var result = Array(repeating: 0, count: sets.count)
        let exchange = (0..<layers * width).map { position in
            let (start, end) = (position / width, position % width)
            return start < end ? gradientBytes(start..<end) : 0
        }
        let steps = Double(tables.localSteps)
        let optimizer = optimizerSeconds
        let spreads = replicas > 1 && tables.spreadsExchange
        let leastBytes = tables.leastGradientBytes
        for set in 1..<sets.count {
            let others = tables.peers - sets.sizes[set]
            guard others >= replicas - 1, sets.sizes[set] <= stages ?? layers else { continue }
            for last in 0..<kinds where sets.number(of: last, in: set) > 0 {
                let base = (set * kinds + last) * width
                let before = set - sets.strides[last]
                let rates = replicas > 1 && !spreads ? rates(of: last, outside: set) : []
                let all = spreads ? rate(ofAll: last) : 0
                let latency = replicas > 1 ? latency(last, replicas: replicas) : 0
                let least =
                    spreads
                    ? optimizer + max(lastLayer(last, replicas: replicas), latency + leastBytes / all) / steps : nil
                for start in 0..<layers {
                    guard var stage = stage(last, of: set, from: start) else { continue }
                    var enters = start == 0 ? tables.microBatches : 0
                    for kind in 0..<kinds where start > 0 && sets.number(of: kind, in: before) > 0 {
                        let known = most[(before * kinds + kind) * width + start]
                        guard known > enters else { continue }
                        enters = max(enters, min(known, self.most(over: kind, to: stage, closing: closing, time: time)))
                    }
                    for end in (start + 1)...layers where enters > most[base + end] {
                        var seconds = optimizer
                        if replicas > 1 {
                            let rate = spreads ? all : rates[min(others, (end - start) * (replicas - 1))]
                            seconds += (latency + exchange[start * width + end] / rate) / steps
                        }
                        stage.range = start..<end
                        let can = self.most(stage, exchange: seconds, last: least, closing: closing, time: time)
                        most[base + end] = max(most[base + end], min(enters, can))
                    }
                }
                if stages == nil || stages == sets.sizes[set] { result[set] = max(result[set], most[base + layers]) }
            }
        }
        return result
    }

    /// The sums of a peer's fastest links to peers outside the set, the first of none.
    private func rates(of kind: Int, outside set: Int) -> [Double] {
        var sums = [0.0]
        for other in nearest[kind] {
            for _ in 0..<(sets.counts[other] - sets.number(of: other, in: set)) {
                sums.append(sums[sums.count - 1] + rate[kind * kinds + other])
            }
        }
        return sums
    }
}
