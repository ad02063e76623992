/// A bound that no plan of a problem beats, whatever its schedule.
///
/// Peer i of a plan with R pipelines computes nothing before the first micro-batch has come to its stage (a_i), nor after it has
/// begun the last exchange of its gradients, which takes d_i; in between it does at most φ_i FLOPs a second. So
/// Σ φ_i (T − a_i − d_i) ≥ M W + optimiser, for M micro-batches of W FLOPs. Of R pipelines R peers stand first, R second and
/// so on, each at least a hop and a layer later than the ones before; and a peer's gradients go to R − 1 others and come
/// back, over its nearest links at best. The left side is greatest if the fastest peers stand first and exchange
/// soonest (φ g(a + d) with g falling and convex is supermodular in (−φ, a, d), so the comonotone order is the best);
/// the least T that satisfies it, over all R that the peers allow, is the bound.
struct IterationLowerBound {
    let problem: PlanningProblem
    let tables: CostTables

    /// Halvings of the interval in which a bound is sought: to a relative 1e-12.
    private static let halvings = 40
    /// Peers up to which every number of pipelines is looked at.
    private static let searchedPeers = 2048

    var seconds: Double {
        let stages = max(problem.shape.stages ?? 1, fewestStages)
        let most = max(1, min(tables.microBatches, tables.peers / stages))
        let replicas = problem.shape.replicas.map { $0...$0 } ?? 1...most
        let work = tables.forwardPrefix[tables.layers] + tables.backwardPrefix[tables.layers]
        let speeds = tables.secondsPerFlop.map { 1 / $0 }.sorted(by: >)
        let affordable = CostBudget(problem).most(tables.secondsPerFlop.map { 1 / $0 })
        // Over very many peers the simple bound must do.
        guard tables.peers <= Self.searchedPeers else {
            return Double(tables.microBatches) * work / affordable
        }
        let links = Links(tables)
        let step = stepSeconds(links)
        let once = throughOnce(links, stages: stages)
        var best = Double.infinity
        for pipelines in replicas {
            let levels = min(problem.shape.stages ?? tables.layers, tables.layers)
            let used = Array(speeds.prefix(pipelines * levels))
            let arrivals = used.indices.map { Double($0 / pipelines) * step }
            let optimizer =
                Double(pipelines) * tables.parameterPrefix[tables.layers] - Double(pipelines) * tables.tiedParameters
            let flops = Double(tables.microBatches) * work + optimizer * CostTables.optimizerFlopsPerParameter
            var bound = max(flops / affordable, once)
            var delays: [Double] = []
            var exchanged = 0.0
            if pipelines > 1 {
                let steps = Double(tables.localSteps)
                delays = links.farthest(pipelines - 1).sorted().map { $0 / steps }
                let gradients = tables.gradientBytes(0..<tables.layers) * Double(pipelines)
                exchanged =
                    gradients * tables.compression.gradientFactor / steps
                    * links.flopsForByte(partners: pipelines - 1, secondsPerFlop: tables.secondsPerFlop)
            }
            bound = max(bound, Self.least(flops, speeds: used, arrivals: arrivals, delays: delays))
            bound = max(bound, Self.least(flops + exchanged, speeds: used, arrivals: arrivals, delays: []))
            best = min(best, bound)
        }
        return best
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

    /// What the next stage of a pipeline starts later than the one before, at least.
    private func stepSeconds(_ links: Links) -> Double {
        let layer = (0..<tables.layers).map { tables.forwardPrefix[$0 + 1] - tables.forwardPrefix[$0] }.min() ?? 0
        return layer * (tables.secondsPerFlop.min() ?? 0)
            + links.cheapest(bytes: least(tables.boundaryForwardBytes) * tables.compression.activationFactor)
    }

    /// One micro-batch there and back, without the gradients of the weights, which a schedule may put off.
    private func throughOnce(_ links: Links, stages: Int) -> Double {
        let flops =
            tables.forwardPrefix[tables.layers] + tables.backwardPrefix[tables.layers]
            * (1 - tables.weightGradientShare)
        let back = least(tables.boundaryBackwardBytes) * tables.compression.activationGradientFactor
        let hop =
            links.cheapest(bytes: least(tables.boundaryForwardBytes) * tables.compression.activationFactor)
            + links.cheapest(bytes: back)
        return flops * (tables.secondsPerFlop.min() ?? 0) + Double(stages - 1) * hop
    }

    /// The smallest tensor that crosses a boundary inside the model.
    private func least(_ bytes: [Double]) -> Double { bytes.dropFirst().dropLast().min() ?? 0 }

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
        /// By peer, ascending: seconds there and back to every other.
        private var roundTrips: [[Double]] = []
        /// By peer, descending: bytes a second to every other.
        private var rates: [[Double]] = []

        init(_ tables: CostTables) {
            self.tables = tables
            let count = tables.peers
            for peer in 0..<count {
                var trips: [Double] = []
                var speeds: [Double] = []
                for other in 0..<count where other != peer {
                    let there = peer * count + other
                    trips.append(tables.latency[there] + tables.latency[other * count + peer])
                    speeds.append(1 / max(tables.secondsPerByte[there], 1e-300))
                }
                roundTrips.append(trips.sorted())
                rates.append(speeds.sorted(by: >))
            }
        }

        /// By peer: the round trip to the farthest of so many partners, if those are the nearest ones. A slice goes to
        /// each of them and comes back.
        func farthest(_ partners: Int) -> [Double] { roundTrips.map { $0[min(partners, $0.count) - 1] } }

        /// FLOPs that the best peer could do in the time in which it exchanges a byte of its gradients with so many
        /// partners: every slice crosses one of its links, its own slice each of them.
        func flopsForByte(partners: Int, secondsPerFlop: [Double]) -> Double {
            var least = Double.infinity
            for (peer, speeds) in rates.enumerated() {
                var total = speeds.first ?? 0
                for rate in speeds.prefix(partners) { total += rate }
                least = min(least, 1 / (total * secondsPerFlop[peer]))
            }
            return least.isFinite ? least : 0
        }

        /// The cheapest transfer of so many bytes between any two peers.
        func cheapest(bytes: Double) -> Double {
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
}
