/// A bound for few peers, or peers of few kinds, that sees which links there are: no plan of so many pipelines is faster,
/// however the peers are divided among them.
///
/// For a time T, every set of peers can do so many micro-batches as one pipeline (`SetCapacity`). Which sets the peers may be
/// divided into is searched by branch and bound: a knapsack over sets says what the peers that are left could do at best,
/// and a whole division is tested once more with what its exchanges need (`PartitionExchange`). If no division does
/// all micro-batches, T is a bound. The greatest such T is found by halving. Where exchanges may be spread over all peers it
/// does not matter to a pipeline who is in the others, and the knapsack says it all.
struct PartitionBound {
    private let tables: CostTables
    private let sets: PeerSets
    private let capacity: SetCapacity
    /// Parts of divisions that may still be looked at; when there are none left a time counts as enough.
    private var nodes: Int

    /// Sets up to which all are looked at: those of twelve peers that all differ.
    private static let mostSets = 4096
    /// What a whole division costs more than a part of one.
    private static let costOfDivision = 50

    /// - Parameter nodes: parts of divisions to look at for every number of pipelines; about 100,000 a second.
    /// - Returns: `nil` if there are too many sets of peers.
    init?(_ problem: PlanningProblem, tables: CostTables, nodes: Int) {
        guard tables.layers <= 128, tables.peers <= 128, let sets = PeerSets(tables, limit: Self.mostSets) else {
            return nil
        }
        self.tables = tables
        self.sets = sets
        self.nodes = nodes
        capacity = SetCapacity(problem, tables: tables, sets: sets)
    }

    /// What plans of so many pipelines take at least, if that is between `low`, which is known, and `high`; a bound that is
    /// not below `high` is given as that.
    func seconds(replicas: Int, low: Double, high: Double) -> Double {
        var search = self
        return LeastTime.between(low, high) { search.suffices($0, replicas) }
    }

    private mutating func suffices(_ time: Double, _ replicas: Int) -> Bool {
        let capacities = capacity.capacities(time: time, replicas: replicas)
        let best = knapsack(capacities, replicas: replicas)
        guard best[replicas][sets.all] >= tables.microBatches else { return false }
        guard replicas > 1, !tables.spreadsExchange else { return true }
        var exchange = PartitionExchange(capacity, replicas: replicas, time: time)
        return divide(sets.all, among: replicas, chosen: [], sum: 0, capacities, best, &exchange)
    }

    /// By pipelines and set: the most micro-batches of so many pipelines of peers of the set; zero if there are too few.
    private func knapsack(_ capacities: [Int], replicas: Int) -> [[Int]] {
        var one = capacities
        for set in 1..<sets.count {
            for kind in sets.kinds.indices where sets.number(of: kind, in: set) > 0 {
                one[set] = max(one[set], one[set - sets.strides[kind]])
            }
        }
        var best = [Array(repeating: 0, count: sets.count), one]
        for count in 1..<replicas {
            var next = Array(repeating: 0, count: sets.count)
            for set in count + 1 == replicas ? sets.all...sets.all : 0...sets.all {
                for part in sets.parts(of: set) where capacities[part] > 0 {
                    let rest = best[count][set - part]
                    if rest > 0 { next[set] = max(next[set], capacities[part] + rest) }
                }
            }
            best.append(next)
        }
        return best
    }

    /// Whether a division of peers of a set among so many pipelines could do what the chosen ones leave. Pipelines may change
    /// places, so that only descending numbers are looked at.
    private mutating func divide(
        _ rest: Int, among left: Int, chosen: [Int], sum: Int, _ capacities: [Int], _ best: [[Int]],
        _ exchange: inout PartitionExchange
    ) -> Bool {
        guard left > 0 else {
            nodes -= Self.costOfDivision
            return exchange.suffices(chosen, capacities: capacities)
        }
        for part in sets.parts(of: rest) where part <= chosen.last ?? part && capacities[part] > 0 {
            nodes -= 1
            guard nodes > 0 else { return true }
            let others = best[left - 1][rest - part]
            guard left == 1 || others > 0, sum + capacities[part] + others >= tables.microBatches else { continue }
            if divide(
                rest - part, among: left - 1, chosen: chosen + [part], sum: sum + capacities[part], capacities, best,
                &exchange)
            {
                return true
            }
        }
        return false
    }
}

/// Finds the greatest time that is not enough, by halving.
enum LeastTime {
    /// To 1/128 of the distance between what was known and the plan.
    private static let halvings = 7

    /// - Returns: a bound between the two: `low` if that is already enough, `high` if even that is not.
    static func between(_ low: Double, _ high: Double, suffices: (Double) -> Bool) -> Double {
        guard low < high, !suffices(low) else { return low }
        guard suffices(high) else { return high }
        var (low, high) = (low, high)
        for _ in 0..<halvings {
            let middle = (low + high) / 2
            if suffices(middle) { high = middle } else { low = middle }
        }
        return low
    }
}
