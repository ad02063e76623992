/// A bound that no plan of a problem beats, whatever its schedule: the least over all numbers R of pipelines of the
/// greatest of several.
///
/// **Work.** Peer i of a plan with R pipelines computes nothing before the first micro-batch has come to its stage (a_i),
/// nor after it has begun the last exchange of its gradients, which takes d_i; in between it does at most φ_i FLOPs a
/// second. So Σ φ_i (T − a_i − d_i) ≥ M W + optimiser, for M micro-batches of W FLOPs. Of R pipelines R peers stand first,
/// R second and so on, each at least a hop and a layer later than the ones before; and a peer's gradients go to R − 1 others
/// and come back, over its nearest links at best, or where peers exchange in levels, reach R − 1 others by the shortest
/// ways. The left side is greatest if the fastest peers stand first and exchange soonest (φ g(a + d) with g falling and
/// convex is supermodular in (−φ, a, d), so the comonotone order is the best); the least T that satisfies it is the bound.
///
/// **Bytes.** R holders that all come to know the sum of what each of them has send at least 2 (R − 1) messages
/// (gossiping by one-way messages), so 2 (R − 1) times the model's gradients are sent, by each peer after its last
/// pass, over at most R − 1 links for each of the layers that it has room for: pipelines may be cut differently. What a peer
/// could compute meanwhile is at least so many FLOPs for each byte; it adds to the work.
///
/// **Spread exchange.** Where any peer may add up gradients (`CostTables.spreadsExchange`), while it computes others,
/// both are said differently. Let a holder's last exchange be of one layer: it takes d_i, the shortest way to R − 1 others
/// after the layer's bytes have left over all the peer's links. And all bytes of its layers leave it once, after its last
/// input-gradient pass: R times the model's gradients in total. What peers could compute while they send these, at all
/// links' rates, adds to the work, but the gradients of weights that are computed meanwhile do not count; they are no more
/// than those of all micro-batches. Finally 2 (R − 1) messages are still sent for each gradient, whoever helps: R − 1 bring
/// one peer the contributions of all holders, or R if it is none, and after that as many holders must hear from somebody. None
/// of them is sent before a micro-batch has gone forwards through all layers, and all links of all peers carry them.
///
/// Gradients are spread a layer at a time (`SpreadExchange`): a part goes whole to who adds it up, then the total goes whole
/// to who holds the layer, or in smaller pieces by relays (`CostTables.twoHops`). Plans that do not spread have the other bound, and the lesser of both holds.
///
/// **Whole pipelines.** Layers, micro-batches and pipelines are whole: see `PipelineCapacity`.
///
/// **Links.** For few peers every division into pipelines is looked at, with the links that it has: see `PartitionBound`.
///
/// **Cuts.** For few peers all ways to cut pipelines are looked at, whoever stands where: see `SkeletonBound`, and
/// `FewPeersBound` for both.
struct IterationLowerBound {
    let problem: PlanningProblem
    let tables: CostTables
    /// Whether many numbers of pipelines are looked at together, for somebody who waits: a fraction of the time for 64 peers,
    /// and up to 1 % less.
    var isRough = false

    /// Halvings of the interval in which a bound is sought: to a relative 1e-12.
    private static let halvings = 40
    /// Peers up to which every number of pipelines is looked at.
    private static let searchedPeers = 2048

    /// Peers and layers up to which whole pipelines are looked at.
    private static let wholePeers = 160
    private static let wholeLayers = 128

    /// With the divisions and skeletons of few peers, and up to `plan`, the time of a plan that is known.
    ///
    /// - Parameters:
    ///   - nodes: what to spend on every number of pipelines, in skeletons and divisions.
    ///   - isOver: asked now and then whether to leave it at what there is.
    func seconds(plan: Double, nodes: Int, isOver: () -> Bool = { false }) -> Double {
        let known = seconds
        guard known < plan, nodes > 0 else { return known }
        var families = FewPeersBound(plan: plan)
        for form in [self, unspread].compactMap({ $0 }) {
            guard let partitions = FewPeersBound.partitions(problem, tables: form.tables, nodes: nodes) else {
                return known
            }
            for count in form.replicas {
                var problem = problem
                problem.shape.replicas = count
                families.add(
                    problem, tables: form.tables, replicas: count,
                    low: IterationLowerBound(problem: problem, tables: form.tables).ofForm, partitions: partitions,
                    nodes: nodes)
            }
        }
        return max(known, families.seconds(isOver: isOver))
    }

    /// A bound for all plans.
    var seconds: Double {
        guard let unspread else { return ofForm }
        return min(ofForm, unspread.ofForm)
    }

    /// For plans that do not spread their exchange, where others may.
    private var unspread: IterationLowerBound? {
        guard tables.spreadsExchange else { return nil }
        return IterationLowerBound(problem: problem, tables: tables.withoutSpreading, isRough: isRough)
    }

    private var fewestPeers: Int { max(problem.shape.stages ?? 1, fewestStages) }
    private var mostPipelines: Int { max(1, min(tables.microBatches, tables.peers / fewestPeers)) }
    private var replicas: ClosedRange<Int> { problem.shape.replicas.map { $0...$0 } ?? 1...mostPipelines }

    /// For plans that spread their exchange if the tables say so, and only those.
    var ofForm: Double {
        let stages = fewestPeers
        let replicas = replicas
        // Over very many peers the simple bound must do.
        guard tables.peers <= Self.searchedPeers else { return work / affordable }
        let links = Links(tables)
        let once = throughOnce(links, stages: stages)
        let step = stepSeconds(links)
        let capacity = PipelineCapacity(
            problem, tables: tables, forwardHop: links.cheapest(bytes: forwardBytes),
            backwardHop: links.cheapest(bytes: backwardBytes),
            transfer: max(forwardBytes, backwardBytes) * links.secondsForByte)
        let isWhole = tables.peers <= Self.wholePeers && tables.layers <= Self.wholeLayers
        func bound(_ range: ClosedRange<Int>) -> Double {
            let bound = max(once, range.map { simple(pipelines: $0, step: step, links) }.min() ?? 0)
            guard isWhole else { return bound }
            let whole = capacity.leastSeconds(
                replicas: range, exchange: links.exchange(range), limit: bound * Self.farAbove)
            return max(bound, whole)
        }
        // The range with the least bound is halved until it is a single number: what is said of many together is less.
        var ranges = Self.ranges(replicas).map { (range: $0, seconds: bound($0)) }
        while true {
            guard let least = ranges.indices.min(by: { ranges[$0].seconds < ranges[$1].seconds }) else { return once }
            let range = ranges[least].range
            guard range.count > 1, isWhole, !isRough else { return ranges[least].seconds }
            let middle = (range.lowerBound + range.upperBound) / 2
            ranges.remove(at: least)
            for half in [range.lowerBound...middle, (middle + 1)...range.upperBound] {
                ranges.append((half, bound(half)))
            }
        }
    }

    /// How far above the other bounds that of whole pipelines is sought.
    private static let farAbove = 16.0

    /// The numbers of pipelines that are looked at together at first: up to twice as many as the fewest.
    private static func ranges(_ replicas: ClosedRange<Int>) -> [ClosedRange<Int>] {
        var ranges: [ClosedRange<Int>] = []
        var low = replicas.lowerBound
        while low <= replicas.upperBound {
            let high = min(low < 3 ? low : 2 * (low - 1), replicas.upperBound)
            ranges.append(low...high)
            low = high + 1
        }
        return ranges
    }

    /// FLOPs of all micro-batches.
    private var work: Double {
        Double(tables.microBatches) * (tables.forwardPrefix[tables.layers] + tables.backwardPrefix[tables.layers])
    }

    /// FLOPs a second of the peers that can be paid together.
    private var affordable: Double { CostBudget(problem).most(tables.secondsPerFlop.map { 1 / $0 }) }

    /// The bounds of work and of bytes for a number of pipelines.
    private func simple(pipelines: Int, step: Double, _ links: Links) -> Double {
        let levels = min(problem.shape.stages ?? tables.layers, tables.layers)
        let used = Array(tables.secondsPerFlop.map { 1 / $0 }.sorted(by: >).prefix(pipelines * levels))
        let arrivals = used.indices.map { Double($0 / pipelines) * step }
        let optimizer =
            Double(pipelines) * tables.parameterPrefix[tables.layers] - Double(pipelines) * tables.tiedParameters
        let flops = work + optimizer * CostTables.optimizerFlopsPerParameter
        let bound = flops / affordable
        guard pipelines > 1 else {
            return max(bound, Self.least(flops, speeds: used, arrivals: arrivals, delays: []))
        }
        let steps = Double(tables.localSteps)
        guard !tables.spreadsExchange else {
            return spread(
                pipelines: pipelines, flops: flops, speeds: used, arrivals: arrivals, unexchanged: bound, links)
        }
        let delays = links.farthest(pipelines - 1).sorted().map { $0 / steps }
        let bytes =
            2 * Double(pipelines - 1) * tables.gradientBytes(0..<tables.layers) * tables.compression.gradientFactor
        let exchanged = bytes / steps * links.flopsForByte(partners: (pipelines - 1) * mostLayers)
        return max(
            bound, Self.least(flops, speeds: used, arrivals: arrivals, delays: delays),
            Self.least(flops + exchanged, speeds: used, arrivals: arrivals, delays: []))
    }

    /// The same where exchanges are spread over all peers.
    ///
    /// - Parameter unexchanged: what an iteration without an exchange takes at least.
    private func spread(
        pipelines: Int, flops: Double, speeds: [Double], arrivals: [Double], unexchanged: Double, _ links: Links
    ) -> Double {
        let steps = Double(tables.localSteps)
        let ways = links.farthest(pipelines - 1)
        let layer = tables.leastGradientBytes
        let last = links.lastLayer(pipelines - 1)
        let delays = zip(zip(ways, links.all), last).map { max($0.0 + layer / $0.1, $1) / steps }.sorted()
        let gradients = tables.gradientBytes(0..<tables.layers) * tables.compression.gradientFactor
        let exchanged = Double(pipelines) * gradients * links.flopsForByte(partners: tables.peers - 1)
        let putOff =
            Double(tables.microBatches) * tables.backwardPrefix[tables.layers] * tables.putOffShare(problem)
        let messages = 2 * Double(pipelines - 1) * gradients / links.all.reduce(0, +)
        let first = tables.forwardPrefix[tables.layers] * (tables.secondsPerFlop.min() ?? 0)
        return max(
            unexchanged, unexchanged + (first + messages - unexchanged) / steps,
            Self.least(flops, speeds: speeds, arrivals: arrivals, delays: delays),
            Self.least(
                flops + (exchanged - putOff) / steps, speeds: speeds, arrivals: arrivals,
                delays: ways.sorted().map { $0 / steps }))
    }

    /// The least T with Σ φ_i (T − a_i − d_i)⁺ ≥ `flops`, a little below it.
    private static func least(_ flops: Double, speeds: [Double], arrivals: [Double], delays: [Double]) -> Double {
        func capacity(_ time: Double) -> Double {
            var sum = 0.0
            for index in speeds.indices {
                let delay = arrivals[index] + (delays.isEmpty ? 0 : delays[index])
                if time > delay { sum += speeds[index] * (time - delay) }
            }
            return sum
        }
        var low = 0.0
        var high = flops / (speeds.first ?? 1) + (arrivals.first ?? 0) + (delays.first ?? 0)
        for _ in 0..<halvings {
            let middle = (low + high) / 2
            if capacity(middle) >= flops { high = middle } else { low = middle }
        }
        return low
    }

    /// Bytes of the smallest tensors between two stages.
    private var forwardBytes: Double {
        least(tables.boundaryForwardBytes) * tables.compression.activationFactor
    }
    private var backwardBytes: Double {
        least(tables.boundaryBackwardBytes) * tables.compression.activationGradientFactor
    }

    /// What the next stage of a pipeline starts later than the one before, at least.
    private func stepSeconds(_ links: Links) -> Double {
        let layer = (0..<tables.layers).map { tables.forwardPrefix[$0 + 1] - tables.forwardPrefix[$0] }.min() ?? 0
        return layer * (tables.secondsPerFlop.min() ?? 0) + links.cheapest(bytes: forwardBytes)
    }

    /// One micro-batch there and back, without the gradients of the weights, which a schedule may put off.
    private func throughOnce(_ links: Links, stages: Int) -> Double {
        let flops =
            tables.forwardPrefix[tables.layers] + tables.backwardPrefix[tables.layers]
            * (1 - tables.weightGradientShare)
        let hop = links.cheapest(bytes: forwardBytes) + links.cheapest(bytes: backwardBytes)
        return flops * (tables.secondsPerFlop.min() ?? 0) + Double(stages - 1) * hop
    }

    /// The smallest tensor that crosses a boundary inside the model.
    private func least(_ bytes: [Double]) -> Double { bytes.dropFirst().dropLast().min() ?? 0 }

    /// The most layers that any peer has room for.
    private var mostLayers: Int {
        let memory = tables.memoryBytes.max() ?? 0
        var most = 1
        for start in 0..<tables.layers {
            while start + most < tables.layers, tables.stageBytes(start..<(start + most + 1), depth: 1) <= memory {
                most += 1
            }
        }
        return most
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
}

extension IterationLowerBound {
    /// What every peer's links allow at best.
    private struct Links {
        private let tables: CostTables
        /// By peer, ascending: seconds to every other and back, or where peers exchange in levels or spread what they
        /// exchange, to every other by the shortest way.
        private var ways: [[Double]] = []
        /// By peer, ascending: seconds until every other has the total of one layer that it has added to; empty unless exchanges
        /// are spread.
        private var hops: [[Double]] = []
        /// By peer: sums of its greatest bytes a second to others, the first of none.
        private var rates: [[Double]] = []
        /// Over the fastest link.
        private(set) var secondsForByte = Double.infinity

        init(_ tables: CostTables) {
            self.tables = tables
            let count = tables.peers
            for peer in 0..<count {
                var trips: [Double] = []
                var speeds: [Double] = []
                for other in 0..<count where other != peer {
                    let latency = tables.latency[peer, other]
                    secondsForByte = min(secondsForByte, tables.secondsPerByte[peer, other])
                    trips.append(latency + tables.latency[other, peer])
                    speeds.append(1 / max(tables.secondsPerByte[peer, other], 1e-300))
                }
                ways.append(trips.sorted())
                var sums = [0.0]
                for speed in speeds.sorted(by: >) { sums.append(sums[sums.count - 1] + speed) }
                rates.append(sums)
            }
            if !tables.exchangeClusters.isEmpty || tables.spreadsExchange { ways = tables.shortestWays() }
            if tables.spreadsExchange { hops = tables.twoHops }
            if count < 2 { secondsForByte = 0 }
        }

        /// By peer: how long one layer's gradients take at least to so many partners, if those are the nearest ones.
        func lastLayer(_ partners: Int) -> [Double] { hops.map { $0[min(partners, $0.count) - 1] } }

        /// By peer: how long the exchange with so many partners takes at least, if those are the nearest ones.
        func farthest(_ partners: Int) -> [Double] { ways.map { $0[min(partners, $0.count) - 1] } }

        /// By peer: bytes a second over all its links.
        var all: [Double] { rates.map { $0[$0.count - 1] } }

        /// FLOPs that the best peer could do in the time in which it sends a byte of gradients to so many partners at once.
        func flopsForByte(partners: Int) -> Double {
            var least = Double.infinity
            for (peer, sums) in rates.enumerated() {
                let rate = sums[min(partners, sums.count - 1)]
                if rate > 0 { least = min(least, 1 / (rate * tables.secondsPerFlop[peer])) }
            }
            return least.isFinite ? least : 0
        }

        /// What the exchange of a stage takes at least in plans of so many pipelines: its gradients reach all other holders,
        /// and every byte of them leaves the stage once.
        func exchange(_ replicas: ClosedRange<Int>) -> PipelineCapacity.Exchange {
            guard replicas.lowerBound > 1, tables.peers > 1 else { return .none }
            let most = (0..<tables.peers).map { links in rates.map { $0[links] }.max() ?? 0 }
            return PipelineCapacity.Exchange(
                latency: farthest(replicas.lowerBound - 1).min() ?? 0, rates: most,
                others: (replicas.lowerBound - 1)...(replicas.upperBound - 1), spreads: tables.spreadsExchange,
                last: lastLayer(replicas.lowerBound - 1).min() ?? 0)
        }

        /// The cheapest transfer of so many bytes between any two peers.
        func cheapest(bytes: Double) -> Double {
            var best = Double.infinity
            for source in 0..<tables.peers {
                for target in 0..<tables.peers where target != source {
                    best = min(
                        best, tables.latency[source, target] + bytes * tables.secondsPerByte[source, target])
                }
            }
            return best.isFinite ? best : 0
        }
    }
}

extension CostTables {
    /// Peers up to which shortest ways are sought.
    private static let mostPeersOfWays = 160

    /// By peer, ascending: the least latency to every other, through whichever peers (Floyd and Warshall); over very many peers
    /// the shortest link stands for all.
    func shortestWays() -> [[Double]] {
        let count = peers
        guard count <= Self.mostPeersOfWays else {
            return (0..<count).map { peer in
                let least = (0..<count).filter { $0 != peer }.map { latency[peer, $0] }.min() ?? 0
                return Array(repeating: least, count: max(0, count - 1))
            }
        }
        let seconds = shortest
        return seconds.indices.map { from in
            seconds[from].indices.filter { $0 != from }.map { seconds[from][$0] }.sorted()
        }
    }

    /// By peer and peer: the least latency, through whichever peers.
    private var shortest: [[Double]] {
        let count = peers
        var seconds = (0..<count).map { from in (0..<count).map { from == $0 ? 0 : latency[from, $0] } }
        for middle in 0..<count {
            let onward = seconds[middle]
            for from in 0..<count {
                let first = seconds[from][middle]
                for to in 0..<count where first + onward[to] < seconds[from][to] {
                    seconds[from][to] = first + onward[to]
                }
            }
        }
        return seconds
    }

    /// By peer, ascending: how long it takes at least until every other peer has what it has added to the gradients of one
    /// layer, if all peers help and slices go whole.
    ///
    /// Of slices x of B bytes, peer a's part from i and its total to k take x_a B (c_ia + c_ak), for links of c seconds for a
    /// byte, and both latencies; over the link from i to k go the part of k and the total of i. So in a time τ all slices
    /// together are at most Σ (τ − latencies) / (B seconds for a byte), over all who are near enough; the least τ for which
    /// that is a whole is the bound.
    ///
    /// With relays and smaller pieces, on its way from i to k every slice still leaves i over one of its links and reaches k
    /// over one of k's; for each of the two, slices are at most Σ (τ − latencies of the shortest way over the link) / (B seconds
    /// for a byte).
    var twoHops: [[Double]] {
        guard !relaysExchange else { return relayedHops }
        let bytes = leastGradientBytes
        return (0..<peers).map { from in
            (0..<peers).filter { $0 != from }.map { to in
                let direct = from * peers + to
                var ways = [(latency: latency[direct], rate: 1 / max(secondsPerByte[direct], 1e-300))]
                for middle in 0..<peers where middle != from && middle != to {
                    let (first, second) = (from * peers + middle, middle * peers + to)
                    ways.append(
                        (
                            latency[first] + latency[second],
                            1 / max(secondsPerByte[first] + secondsPerByte[second], 1e-300)
                        ))
                }
                return leastSeconds(of: ways, bytes: bytes)
            }.sorted()
        }
    }

    /// The same with relays.
    private var relayedHops: [[Double]] {
        let shortest = shortest
        let bytes = leastGradientBytes
        func way(_ link: Int, _ rest: Double) -> (latency: Double, rate: Double) {
            (latency[link] + rest, 1 / max(secondsPerByte[link], 1e-300))
        }
        return (0..<peers).map { from in
            (0..<peers).filter { $0 != from }.map { to in
                let out = (0..<peers).filter { $0 != from }.map { way(from * peers + $0, shortest[$0][to]) }
                let into = (0..<peers).filter { $0 != to }.map { way($0 * peers + to, shortest[from][$0]) }
                return max(leastSeconds(of: out, bytes: bytes), leastSeconds(of: into, bytes: bytes))
            }.sorted()
        }
    }

    /// In how many seconds one layer's gradients can take ways that work at the same time.
    private func leastSeconds(of ways: [(latency: Double, rate: Double)], bytes: Double) -> Double {
        var rate = 0.0
        var delayed = 0.0
        var least = Double.infinity
        for way in ways.sorted(by: { $0.latency < $1.latency }) {
            // Whoever is farther than what the nearer ones need does not help.
            guard way.latency < least else { break }
            rate += way.rate
            delayed += way.rate * way.latency
            least = (bytes + delayed) / rate
        }
        return least
    }

    /// The part of a backward pass that some schedule of the problem may put off.
    func putOffShare(_ problem: PlanningProblem) -> Double {
        problem.schedule.map { $0 == .zeroBubble } ?? true ? weightGradientShare : 0
    }

    /// FLOPs of a micro-batch's backward pass through the layer that has the fewest.
    var leastBackwardFlops: Double { (0..<layers).map { backwardPrefix[$0 + 1] - backwardPrefix[$0] }.min() ?? 0 }

    /// Bytes of the gradients of the layer that has the fewest, one end of a tied embedding not counted.
    var leastGradientBytes: Double {
        let least = (0..<layers).map { layer in
            parameterPrefix[layer + 1] - parameterPrefix[layer]
                - (layer == 0 ? tiedParameters : 0) - (layer == layers - 1 ? tiedParameters : 0)
        }.min()
        return max(0, least ?? 0) * gradientBytesPerParameter * compression.gradientFactor
    }
}
