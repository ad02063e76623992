/// A bound for few peers, or peers of few kinds, that sees which links there are: no plan of so many pipelines is faster,
/// however the peers are divided among them.
///
/// For a time T, every set of peers can do so many micro-batches as one pipeline (`SetCapacity`). Which sets the peers may be
/// divided into is searched by branch and bound: a knapsack over sets says what the peers that are left could do at best,
/// a set that is chosen is looked at more closely, and a whole division is tested with what its exchanges need
/// (`DivisionExchange`, and `PartitionExchange` where only holders exchange gradients). If no division does all micro-batches,
/// T is a bound.
struct PartitionBound {
    private let tables: CostTables
    private let sets: PeerSets
    private let capacity: SetCapacity
    /// Parts of divisions that may still be looked at; when there are none left a time counts as enough.
    private var nodes: Int
    /// By set: seconds in which the gradients of one of so many pipelines can leave its peers.
    private var leaving: (replicas: Int, seconds: [Double])?

    /// Sets up to which all are looked at: those of twelve peers that all differ.
    private static let mostSets = 4096
    /// What a whole division costs more than a part of one.
    private static let costOfDivision = 50

    /// - Parameter nodes: parts of divisions to look at for every number of pipelines; some 300,000 a second.
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

    /// Whether some division into so many pipelines could do all micro-batches in the time, or too many had to be looked at.
    mutating func suffices(_ time: Double, replicas: Int) -> Bool {
        guard time.isFinite else { return true }
        if leaving?.replicas != replicas {
            leaving = (replicas, (0..<sets.count).map { capacity.leavingSeconds($0, replicas: replicas) })
        }
        let leaving = leaving?.seconds ?? []
        var allowance = SetAllowance(capacity, time: time, replicas: replicas)
        let capacities = allowance.ofAll(leaving: leaving.dropFirst().min() ?? 0)
        let best = knapsack(capacities, replicas: replicas)
        guard best[replicas][sets.all] >= tables.microBatches else { return false }
        var test = Test(
            capacities: capacities, leaving: leaving, allowance: allowance,
            exchange: DivisionExchange(capacity, leaving: leaving, allowance: allowance, time: time))
        if !tables.spreadsExchange { test.holders = PartitionExchange(capacity, replicas: replicas, time: time) }
        return divide(sets.all, among: replicas, chosen: [], sum: 0, best, &test)
    }

    /// What the parts of a division and then the whole are tested with.
    private struct Test {
        /// By set: the most micro-batches of a pipeline whose gradients leave it as soon as any set's; once looked at, as soon as
        /// its own can.
        private(set) var capacities: [Int]
        private let leaving: [Double]
        private var isExact: [Bool]
        private var allowance: SetAllowance
        private var exchange: DivisionExchange
        /// If only holders of a layer exchange its gradients.
        var holders: PartitionExchange?

        init(capacities: [Int], leaving: [Double], allowance: SetAllowance, exchange: DivisionExchange) {
            self.capacities = capacities
            self.leaving = leaving
            self.allowance = allowance
            self.exchange = exchange
            isExact = Array(repeating: false, count: capacities.count)
        }

        /// The most micro-batches of a set by itself.
        mutating func capacity(_ set: Int, nodes: inout Int) -> Int {
            guard !isExact[set], capacities[set] > 0 else { return capacities[set] }
            isExact[set] = true
            let seconds = leaving[set]
            capacities[set] = seconds.isFinite ? allowance.of(set, window: seconds...Double.infinity, nodes: &nodes) : 0
            return capacities[set]
        }

        mutating func suffices(_ chosen: [Int], nodes: inout Int) -> Bool {
            guard chosen.count > 1 else { return true }
            guard exchange.suffices(chosen, nodes: &nodes) else { return false }
            guard holders != nil, nodes > 0 else { return true }
            nodes -= PartitionBound.costOfDivision
            return holders?.suffices(chosen, capacities: capacities) ?? true
        }
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
        _ rest: Int, among left: Int, chosen: [Int], sum: Int, _ best: [[Int]], _ test: inout Test
    ) -> Bool {
        guard left > 0 else { return test.suffices(chosen, nodes: &nodes) }
        for part in sets.parts(of: rest) where part <= chosen.last ?? part && test.capacities[part] > 0 {
            nodes -= 1
            guard nodes > 0 else { return true }
            let others = best[left - 1][rest - part]
            let needed = tables.microBatches - sum - others
            guard left == 1 || others > 0, test.capacities[part] >= needed,
                test.capacity(part, nodes: &nodes) >= needed
            else { continue }
            if divide(
                rest - part, among: left - 1, chosen: chosen + [part], sum: sum + test.capacities[part], best, &test)
            {
                return true
            }
        }
        return false
    }
}
