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
///    direction), and a last micro-batch still goes through all layers from here and back (u);
/// 5. a + m f + (m − d)⁺ b + u' + y: when the stage lets its last micro-batch go forwards, all but d are done with, their
///    weights' gradients too, and that one has the layers after it before it (u' seconds). No stage has all of its gradients
///    before, and what a pipeline adds to the sums leaves its peers after that, or else their totals do: y seconds for
///    the bytes of the whole model over all links to other peers;
/// 6. a + (m − 1) t' + u'' + y: the same of the last micro-batch to come over the link, after the others (t' each), with the
///    stage's own layers still before it (u'').
///
/// Where it is known who comes after a stage, the hops through all of these are part of C, u, u' and u''.
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
    /// The bytes of the gradients of the layer that has the fewest.
    let leastGradientBytes: Double
    /// The optimiser's step for a layer on the fastest peer.
    let optimizerSeconds: Double
    /// By set, kind of the last peer and its first layer: a, and a + r.
    private var arrivals: [Double]
    private var loops: [Double]
    /// By kind, first layer and end of a stage: what it takes there.
    private var figures: [Figures] = []
    /// The most layers that any peer has room for.
    private(set) var mostLayers = 0
    /// By layer: one micro-batch forwards through it and those after it, on the fastest peers.
    private var ahead: [Double] = []
    /// By kinds and boundary: seconds of a tensor forwards, and in the slower direction.
    private var forwardTransfer: [Double] = []
    private var transfer: [Double] = []
    /// By first layer: one micro-batch through the layers from there and back, on the fastest peers and without links.
    private var through: [Double] = []
    /// By kind and boundary: over the best link and back.
    private var beyond: [Double] = []
    /// By set and kind of the peer before it: the hops through all of the set, and the same there and back.
    private var onward: [Double]
    private var around: [Double]

    init(_ problem: PlanningProblem, tables: CostTables, sets: PeerSets) {
        self.tables = tables
        self.sets = sets
        kinds = sets.kinds.count
        layers = tables.layers
        stages = problem.shape.stages
        weightShare = tables.putOffShare(problem)
        leastWeightFlops = tables.leastBackwardFlops * weightShare
        leastGradientBytes = tables.leastGradientBytes
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
        onward = Array(repeating: 0, count: sets.count * sets.kinds.count)
        around = onward
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
        for kind in 0..<kinds {
            for start in 0..<layers {
                for end in 0...layers { figures.append(figures(kind, start..<max(start, end))) }
            }
        }
        ahead = tables.forwardPrefix.map { (tables.forwardPrefix[layers] - $0) * secondsPerFlop }
        for from in 0..<kinds {
            for to in 0..<kinds {
                for boundary in 0...layers {
                    let there = forwardHop(from, to, boundary).transfer
                    forwardTransfer.append(max(there, 1e-12))
                    transfer.append(max(there, backwardHop(to, from, boundary).transfer, 1e-12))
                }
            }
        }
        mostLayers =
            (0..<layers).flatMap { start in
                (0...layers).filter { end in
                    (0..<kinds).contains { figures[($0 * layers + start) * (layers + 1) + end].depth > 0 }
                }.map { $0 - start }
            }.max() ?? 0
        follow()
        goOnward()
    }

    /// What is known of a stage of some layers on a peer of a kind.
    private struct Figures {
        /// Seconds of its passes.
        var pass = 0.0
        var back = 0.0
        /// The micro-batches that its peer has room for.
        var depth = 0
        /// One of them there and back, with the best hop after it.
        var cycle = 0.0
        /// The passes of a micro-batch during which layers may be exchanged.
        var hidden = 0.0
    }

    private func figures(_ kind: Int, _ range: Range<Int>) -> Figures {
        guard !range.isEmpty else { return Figures() }
        let peer = sets.kinds[kind][0]
        let end = range.upperBound
        let pass = tables.forwardSeconds(range, on: peer)
        let back = tables.backwardSeconds(range, on: peer)
        let least = leastWeightFlops * tables.secondsPerFlop[peer]
        return Figures(
            pass: pass, back: back, depth: tables.depthThatFits(range, on: peer),
            cycle: pass + back + through[end] + beyond[kind * (layers + 1) + end],
            hidden: (back * weightShare - least) / Double(tables.localSteps))
    }

    private func figures(_ stage: Stage) -> Figures {
        figures[(stage.kind * layers + stage.range.lowerBound) * (layers + 1) + stage.range.upperBound]
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
    /// Finds the hops through all sets, ascending, so that a set's parts come first.
    private mutating func goOnward() {
        let inside = 1..<max(2, layers)
        var forward: [Double] = []
        var back: [Double] = []
        for from in 0..<kinds {
            for to in 0..<kinds {
                forward.append(inside.map { forwardHop(from, to, $0).seconds }.min() ?? 0)
                back.append(inside.map { backwardHop(from, to, $0).seconds }.min() ?? 0)
            }
        }
        for set in 1..<sets.count {
            for from in 0..<kinds {
                var least = (there: Double.infinity, back: Double.infinity)
                for to in 0..<kinds where sets.number(of: to, in: set) > 0 {
                    let rest = (set - sets.strides[to]) * kinds + to
                    let hop = forward[from * kinds + to]
                    least.there = min(least.there, hop + onward[rest])
                    least.back = min(least.back, hop + back[to * kinds + from] + around[rest])
                }
                (onward[set * kinds + from], around[set * kinds + from]) = least
            }
        }
    }

    /// The last stage of a pipeline of some peers, or of the first of its stages.
    struct Stage {
        var kind: Int
        var range: Range<Int>
        var arrival: Double
        var loop: Double
        /// The hops after it at least, and those there and back; zero if it is not known who comes.
        var onward = 0.0
        var around = 0.0
    }

    /// The stage of a peer of `kind` that comes last of the set's peers; `nil` if no order and cuts lead there.
    ///
    /// - Parameter after: the peers that come after it, if that is known.
    func stage(_ kind: Int, of set: Int, from start: Int, after: Int = 0) -> Stage? {
        let position = (set * kinds + kind) * layers + start
        guard arrivals[position] < .infinity else { return nil }
        return Stage(
            kind: kind, range: start..<(start + 1), arrival: arrivals[position], loop: loops[position],
            onward: onward[after * kinds + kind], around: around[after * kinds + kind])
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
    func latency(_ kind: Int, replicas: Int) -> Double {
        tables.spreadsExchange ? ways[kind][replicas - 2] : leastLatency[kind]
    }

    /// Until other pipelines have the totals of a layer that a peer of the kind exchanges last; zero unless exchanges are
    /// spread.
    func lastLayer(_ kind: Int, replicas: Int) -> Double {
        tables.spreadsExchange ? hops[kind][replicas - 2] : 0
    }

    /// Bytes a second over all links of a peer of the kind.
    func rate(ofAll kind: Int) -> Double {
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
        let figures = figures(stage)
        let depth = Double(figures.depth)
        let own = time - stage.arrival - (last ?? exchange)
        guard own > 0, depth > 0 else { return 0 }
        let work = figures.pass + figures.back
        var most = own / work
        var round = own
        if last != nil {
            let hidden = figures.hidden
            let begun = time - stage.arrival - exchange
            guard begun > 0 else { return 0 }
            let short = begun / (work - hidden)
            most = min(most, short <= depth ? short : (begun + depth * hidden) / work)
            round = min(own, begun + hidden)
        }
        let cycle = max(figures.cycle, work + through[stage.range.upperBound] + stage.around)
        let rounds = Int(min(round / cycle, Self.many) + Self.rounding)
        most = min(most, depth * Double(rounds))
        if stage.range.lowerBound > 0 {
            let weights = figures.back * weightShare
            let rest = time - stage.loop - closing
            guard rest > 0 else { return 0 }
            let short = rest / (work - weights)
            most = min(most, short <= depth ? short : (rest + depth * weights) / work)
        }
        return Int(min(most, Self.many) + Self.rounding)
    }

    /// The most micro-batches that the link to a stage from the one before allows (4).
    func most(over from: Int, to stage: Stage, closing: Double, time: Double) -> Int {
        let start = stage.range.lowerBound
        let rest = time - stage.loop - through[start] - stage.around - closing
        return most(in: rest, each: transfer[(from * kinds + stage.kind) * (layers + 1) + start])
    }

    /// The most micro-batches that a stage allows if its pipeline's gradients need so long to leave all its peers (5).
    func most(_ stage: Stage, leaving: Double, time: Double) -> Int {
        let figures = figures(stage)
        let depth = Double(figures.depth)
        let rest = time - stage.arrival - ahead[stage.range.upperBound] - stage.onward - leaving
        guard rest > 0, depth > 0 else { return 0 }
        let most =
            rest <= depth * figures.pass
            ? rest / figures.pass : (rest + depth * figures.back) / (figures.pass + figures.back)
        return Int(min(most, Self.many) + Self.rounding)
    }

    /// The same of the link to a stage from the one before (6).
    func most(over from: Int, to stage: Stage, leaving: Double, time: Double) -> Int {
        let start = stage.range.lowerBound
        let rest = time - stage.arrival - ahead[start] - stage.onward - leaving
        return most(in: rest, each: forwardTransfer[(from * kinds + stage.kind) * (layers + 1) + start])
    }

    /// Tensors of which all but the first take so long each.
    private func most(in seconds: Double, each transfer: Double) -> Int {
        seconds < 0 ? 0 : 1 + Int(min(Self.many, seconds / transfer) + Self.rounding)
    }

    private static let many = 1e9
    /// What a quotient may be too small by.
    private static let rounding = 1e-9
}
