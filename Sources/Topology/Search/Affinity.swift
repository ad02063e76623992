/// Peers grouped by how near they are, from a symmetric matrix of costs: the ground on which structured starts stand.
struct Affinity {
    /// All peers in an order that keeps near ones together (the leaves of the single-linkage tree).
    let order: [Int]
    /// Groupings of the peers, from the widest gap between merge costs to the third widest; each group sorted, groups by
    /// their first peer in `order`.
    let groupings: [[[Int]]]
    private let costs: LinkTable<Double>

    /// How far two peers are apart.
    func cost(_ left: Int, _ right: Int) -> Double { costs[left, right] }

    /// - Parameter cost: symmetric.
    init(cost: LinkTable<Double>) {
        let count = cost.peers
        costs = cost
        let merges = Self.spanningTree(count: count, cost: cost)
        order = Self.leafOrder(count: count, merges: merges)
        var gaps: [(ratio: Double, threshold: Double)] = []
        for (lower, upper) in zip(merges, merges.dropFirst()) where upper.cost > lower.cost * 1.0001 {
            gaps.append((upper.cost / max(lower.cost, 1e-300), lower.cost))
        }
        gaps.sort { ($0.ratio, $0.threshold) > ($1.ratio, $1.threshold) }
        let leaves = order
        groupings = gaps.prefix(3).map { gap in
            Self.groups(leaves, merges: merges.filter { $0.cost <= gap.threshold })
        }
    }

    private typealias Merge = (cost: Double, left: Int, right: Int)

    /// Prim's tree, edges sorted by cost.
    private static func spanningTree(count: Int, cost: LinkTable<Double>) -> [Merge] {
        guard count > 1 else { return [] }
        var nearest = (0..<count).map { cost[0, $0] }
        var parent = Array(repeating: 0, count: count)
        var inTree = Array(repeating: false, count: count)
        inTree[0] = true
        var merges: [Merge] = []
        for _ in 1..<count {
            var chosen = -1
            for peer in 0..<count where !inTree[peer] && (chosen < 0 || nearest[peer] < nearest[chosen]) {
                chosen = peer
            }
            inTree[chosen] = true
            merges.append((nearest[chosen], parent[chosen], chosen))
            for peer in 0..<count where !inTree[peer] && cost[chosen, peer] < nearest[peer] {
                nearest[peer] = cost[chosen, peer]
                parent[peer] = chosen
            }
        }
        return merges.sorted { ($0.cost, $0.left, $0.right) < ($1.cost, $1.left, $1.right) }
    }

    private static func leafOrder(count: Int, merges: [Merge]) -> [Int] {
        var chains = (0..<count).map { [$0] }
        var chainOf = Array(0..<count)
        for merge in merges {
            let left = chainOf[merge.left]
            let right = chainOf[merge.right]
            chains[left] += chains[right]
            for peer in chains[right] { chainOf[peer] = left }
            chains[right] = []
        }
        return chains.first { !$0.isEmpty } ?? []
    }

    private static func groups(_ order: [Int], merges: [Merge]) -> [[Int]] {
        var groupOf = Array(0..<order.count)
        for merge in merges {
            let left = groupOf[merge.left]
            let right = groupOf[merge.right]
            for peer in groupOf.indices where groupOf[peer] == right { groupOf[peer] = left }
        }
        var groups: [[Int]] = []
        var seen: [Int: Int] = [:]
        for peer in order {
            if let index = seen[groupOf[peer]] {
                groups[index].append(peer)
            } else {
                seen[groupOf[peer]] = groups.count
                groups.append([peer])
            }
        }
        return groups
    }
}

/// Structured ways to fill a table of stages × replicas with peers.
enum Template {
    /// The table as columns: `stages` lists of `replicas` peers, and the peers left over.
    struct Table {
        var stages: [[Int]]
        var spares: [Int]

        /// The same table with every stage's peers in the order in which they are nearest to the stage before.
        func matched(_ affinity: Affinity) -> Table {
            var table = self
            for stage in stages.indices.dropFirst() {
                let order = Arrangement.matching(table.stages[stage - 1], stages[stage], affinity: affinity)
                table.stages[stage] = order.map { stages[stage][$0] }
            }
            return table
        }
    }

    /// Consecutive peers of the order share a stage: one region a stage, gradients stay near.
    static func regionPerStage(_ order: [Int], stages: Int, replicas: Int) -> Table {
        Table(
            stages: (0..<stages).map { Array(order[($0 * replicas)..<(($0 + 1) * replicas)]) },
            spares: Array(order[(stages * replicas)...]))
    }

    /// Consecutive peers of the order share a pipeline: one region a pipeline, activations stay near.
    static func regionPerPipeline(_ order: [Int], stages: Int, replicas: Int) -> Table {
        Table(
            stages: (0..<stages).map { stage in (0..<replicas).map { order[$0 * stages + stage] } },
            spares: Array(order[(stages * replicas)...]))
    }

    /// Each group, largest first, is dealt over consecutive stages, beginning at the first stage with room: groups of one
    /// size then fill the same block of stages, one peer of every group in each.
    static func deal(_ groups: [[Int]], stages: Int, replicas: Int) -> Table {
        var table = Table(stages: Array(repeating: [], count: stages), spares: [])
        for group in groups.sorted(by: { ($0.count, $1.first ?? 0) > ($1.count, $0.first ?? 0) }) {
            var stage = table.stages.firstIndex { $0.count < replicas } ?? stages
            for peer in group {
                var tries = 0
                while tries < stages, stage >= stages || table.stages[stage].count >= replicas {
                    stage = stage + 1 >= stages ? 0 : stage + 1
                    tries += 1
                }
                if tries >= stages {
                    table.spares.append(peer)
                } else {
                    table.stages[stage].append(peer)
                    stage += 1
                }
            }
        }
        return table
    }
}
