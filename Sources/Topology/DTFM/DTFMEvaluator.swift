internal import Primitives

/// The objective of DT-FM (Yuan et al. 2022, arXiv 2206.01288, as its scheduler computes it), over one problem.
///
/// * DP: the slowest peer's exchange with its stage mates one after the other, 2 × (latency + gradient / (replicas ×
///   rate)) each.
/// * edge(i, j): the smallest possible longest transfer over all perfect matchings of stages i and j.
/// * PP: the cheapest path through all stages over those edges; the objective is DP + 2 PP.
///
/// A link counts as its slower direction. The class owns its scratch memory: one evaluator a thread.
final class DTFMEvaluator {
    let peers: Int
    let stages: Int
    let replicas: Int
    /// Exchange seconds of a pair in one stage, row-major.
    let exchangeSeconds: UnsafeMutablePointer<Double>
    /// Rank of a pair's transfer time among all different ones, row-major: comparing ranks is comparing times.
    let transferRank: UnsafeMutablePointer<Int32>
    /// The transfer time of a rank.
    let transferSeconds: UnsafeMutablePointer<Double>
    /// The number of different transfer times.
    let rankCount: Int
    private let pathSeconds: UnsafeMutablePointer<Double>
    private let matching: BottleneckMatching
    /// By peer: a number that peers share whose transfers to all others take the same times.
    let signature: [UInt64]
    /// Bottlenecks of pairs of stages that have been asked for before.
    let edges: DTFMEdgeMemo

    /// Stages up to which the path is exact (Held and Karp 1962); above, it is improved by 2-opt from every start.
    static let exactPathStages = 13
    /// Replicas that a matching can hold.
    static let maximumReplicas = 64

    init(tables: DTFMTables) {
        peers = tables.peers
        stages = tables.stages
        replicas = tables.replicas
        exchangeSeconds = .allocate(capacity: peers * peers)
        exchangeSeconds.initialize(from: tables.exchangeSeconds, count: peers * peers)
        let different = Set(tables.transferSeconds).sorted()
        rankCount = different.count
        transferSeconds = .allocate(capacity: different.count)
        transferSeconds.initialize(from: different, count: different.count)
        var rankOf: [Double: Int32] = [:]
        for (rank, value) in different.enumerated() { rankOf[value] = Int32(rank) }
        transferRank = .allocate(capacity: peers * peers)
        for position in 0..<(peers * peers) {
            (transferRank + position).initialize(to: rankOf[tables.transferSeconds[position]] ?? 0)
        }
        let pathCells = stages <= Self.exactPathStages ? (1 << stages) * stages : stages * 2
        pathSeconds = .allocate(capacity: pathCells)
        pathSeconds.initialize(repeating: 0, count: pathCells)
        matching = BottleneckMatching(replicas: replicas)
        signature = Self.signatures(tables)
        edges = DTFMEdgeMemo()
    }

    deinit {
        exchangeSeconds.deallocate()
        transferRank.deallocate()
        transferSeconds.deallocate()
        pathSeconds.deallocate()
    }

    /// Random numbers by class of peers that differ in nothing that a matching sees.
    private static func signatures(_ tables: DTFMTables) -> [UInt64] {
        let count = tables.peers
        func areTwins(_ left: Int, _ right: Int) -> Bool {
            (0..<count).allSatisfy {
                $0 == left || $0 == right
                    || tables.transferSeconds[left * count + $0] == tables.transferSeconds[right * count + $0]
            }
        }
        var generator = SeededGenerator(seed: 0)
        var result: [UInt64] = []
        for peer in 0..<count {
            let twin = (0..<peer).first { areTwins($0, peer) }
            result.append(twin.map { result[$0] } ?? generator.next())
        }
        return result
    }

    /// DP of one stage.
    func exchange(_ members: UnsafePointer<Int>) -> Double {
        var worst = 0.0
        for left in 0..<replicas {
            let row = exchangeSeconds + members[left] * peers
            var sum = 0.0
            for right in 0..<replicas { sum += row[members[right]] }
            worst = max(worst, sum)
        }
        return worst
    }

    /// The rank of the bottleneck of the best perfect matching between two stages.
    func bottleneckRank(_ left: UnsafePointer<Int>, _ right: UnsafePointer<Int>) -> Int32 {
        matching.bottleneck(left, right, ranks: transferRank, peers: peers)
    }

    /// A perfect matching whose pairs all have at most this rank: the column of each row. `nil` if there is none.
    func matching(_ left: [Int], _ right: [Int], threshold: Int32) -> [Int]? {
        guard matching.bottleneck(left, right, ranks: transferRank, peers: peers) <= threshold else { return nil }
        return matching.columns
    }

    /// PP: the cheapest path through all stages, given the edges as a row-major matrix.
    func shortestPath(_ edges: UnsafePointer<Double>) -> Double {
        guard stages > 1 else { return 0 }
        guard stages <= Self.exactPathStages else { return pathCost(heuristicPath(edges), edges) }
        fillPathTable(edges)
        let full = (1 << stages) - 1
        var best = Double.infinity
        for last in 0..<stages { best = min(best, pathSeconds[full * stages + last]) }
        return best
    }

    /// The stages in the order of the cheapest path.
    func shortestPathOrder(_ edges: [Double]) -> [Int] {
        guard stages > 1 else { return [0] }
        guard stages <= Self.exactPathStages else { return heuristicPath(edges) }
        fillPathTable(edges)
        var mask = (1 << stages) - 1
        var last = 0
        for candidate in 0..<stages where pathSeconds[mask * stages + candidate] < pathSeconds[mask * stages + last] {
            last = candidate
        }
        var order = [last]
        while order.count < stages {
            let rest = mask & ~(1 << last)
            var best = -1
            for candidate in 0..<stages where rest & (1 << candidate) != 0 {
                let cost = pathSeconds[rest * stages + candidate] + edges[candidate * stages + last]
                if best < 0 || cost < pathSeconds[rest * stages + best] + edges[best * stages + last] {
                    best = candidate
                }
            }
            mask = rest
            last = best
            order.append(last)
        }
        return order
    }

    /// Held-Karp: `pathSeconds[set × stages + last]` is the cheapest path through the set that ends in `last`.
    private func fillPathTable(_ edges: UnsafePointer<Double>) {
        let count = stages
        for mask in 1..<(1 << count) {
            let row = pathSeconds + mask * count
            for last in 0..<count where mask & (1 << last) != 0 {
                let rest = mask & ~(1 << last)
                guard rest != 0 else {
                    row[last] = 0
                    continue
                }
                let before = pathSeconds + rest * count
                var best = Double.infinity
                var open = rest
                while open != 0 {
                    let previous = open.trailingZeroBitCount
                    open &= open - 1
                    best = min(best, before[previous] + edges[previous * count + last])
                }
                row[last] = best
            }
        }
    }

    /// A lower bound of the path: the minimum spanning tree (Prim).
    func spanningTree(_ edges: UnsafePointer<Double>) -> Double {
        let count = stages
        guard count > 1 else { return 0 }
        return withUnsafeTemporaryAllocation(of: Double.self, capacity: count) { nearest in
            for stage in 0..<count { nearest.initializeElement(at: stage, to: edges[stage]) }
            var inTree = 1 << 0
            var total = 0.0
            var inTreeHigh: Set<Int> = []
            for _ in 1..<count {
                var chosen = -1
                for stage in 1..<count
                where (stage < 62 ? inTree & (1 << stage) == 0 : !inTreeHigh.contains(stage))
                    && (chosen < 0 || nearest[stage] < nearest[chosen])
                { chosen = stage }
                total += nearest[chosen]
                if chosen < 62 { inTree |= 1 << chosen } else { inTreeHigh.insert(chosen) }
                for stage in 0..<count { nearest[stage] = min(nearest[stage], edges[chosen * count + stage]) }
            }
            return total
        }
    }

    private func pathCost(_ order: [Int], _ edges: UnsafePointer<Double>) -> Double {
        var total = 0.0
        for (left, right) in zip(order, order.dropFirst()) { total += edges[left * stages + right] }
        return total
    }

    /// Nearest neighbour from every start, then 2-opt; for more stages than Held-Karp can take.
    private func heuristicPath(_ edges: UnsafePointer<Double>) -> [Int] {
        var best: [Int] = []
        var bestCost = Double.infinity
        for start in 0..<stages {
            var order = [start]
            var used = Array(repeating: false, count: stages)
            used[start] = true
            while order.count < stages {
                let last = order[order.count - 1]
                var next = -1
                for stage in 0..<stages
                where !used[stage] && (next < 0 || edges[last * stages + stage] < edges[last * stages + next]) {
                    next = stage
                }
                used[next] = true
                order.append(next)
            }
            improve(&order, edges)
            let cost = pathCost(order, edges)
            if cost < bestCost {
                bestCost = cost
                best = order
            }
        }
        return best
    }

    private func improve(_ order: inout [Int], _ edges: UnsafePointer<Double>) {
        func edge(_ left: Int, _ right: Int) -> Double {
            left < 0 || right >= stages ? 0 : edges[order[left] * stages + order[right]]
        }
        var improved = true
        while improved {
            improved = false
            for first in 0..<(stages - 1) {
                for last in (first + 1)..<stages {
                    let before = edge(first - 1, first) + edge(last, last + 1)
                    let left = first > 0 ? edges[order[first - 1] * stages + order[last]] : 0
                    let right = last + 1 < stages ? edges[order[first] * stages + order[last + 1]] : 0
                    if left + right < before - 1e-12 {
                        order[first...last].reverse()
                        improved = true
                    }
                }
            }
        }
    }
}
