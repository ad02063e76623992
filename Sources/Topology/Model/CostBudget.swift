/// What the peers of a plan may cost an hour. Peers that are left out cost nothing, and neither do peers without a price.
package struct CostBudget: Sendable {
    /// By peer.
    package let prices: [Double]
    /// `nil` is any cost.
    package let limit: Double?

    package init(_ problem: PlanningProblem) {
        prices = problem.graph.nodes.map { $0.pricePerHour ?? 0 }
        limit = problem.maximumCostPerHour
    }

    /// What these peers cost an hour.
    package func cost(of peers: some Sequence<Int>) -> Double { peers.reduce(0) { $0 + prices[$1] } }

    /// Whether these peers may all be used.
    package func allows(_ peers: some Sequence<Int>) -> Bool {
        guard let limit else { return true }
        return cost(of: peers) <= limit * (1 + 1e-12)
    }

    /// The same for a sum.
    func allows(cost: Double) -> Bool { limit.map { cost <= $0 * (1 + 1e-12) } ?? true }

    /// How many peers can be paid together: the cheapest ones. At least one, so that a search has something to refuse.
    var mostPeers: Int {
        var sum = 0.0
        var count = 0
        for price in prices.sorted() {
            sum += price
            guard allows(cost: sum) else { break }
            count += 1
        }
        return max(1, count)
    }

    /// As much of `value` as peers within the limit can have together, if parts of peers could be rented (the relaxation of
    /// the knapsack problem, Dantzig 1957): no affordable set has more.
    func most(_ value: [Double]) -> Double {
        guard let limit else { return value.reduce(0, +) }
        var rest = limit * (1 + 1e-12)
        var sum = 0.0
        let order = prices.indices.sorted {
            (prices[$0] * value[$1], $0) < (prices[$1] * value[$0], $1)
        }
        for peer in order {
            guard prices[peer] > rest else {
                sum += value[peer]
                rest -= prices[peer]
                continue
            }
            return sum + value[peer] * rest / prices[peer]
        }
        return sum
    }

    /// What the cheapest `count` or more peers cost that have `bytes` of memory together; no set that does is cheaper. The
    /// sum is that of a real set unless the search for one gave up, in which case it is that of a set with part of a peer.
    /// Infinite if all peers together are too small.
    func leastCost(bytes: Double, memory: [Double], count: Int) -> Double {
        guard memory.reduce(0, +) >= bytes, count <= prices.count else { return .infinity }
        let cheapest = prices.sorted().prefix(count).reduce(0, +)
        let order = prices.indices.sorted { (prices[$0] * memory[$1], $0) < (prices[$1] * memory[$0], $1) }
        var suffix = Array(repeating: 0.0, count: order.count + 1)
        for position in order.indices.reversed() {
            suffix[position] = suffix[position + 1] + memory[order[position]]
        }
        func relaxed(_ position: Int, _ needed: Double) -> Double {
            var needed = needed
            var cost = 0.0
            for peer in order[position...] where needed > 0 {
                cost += prices[peer] * min(1, needed / memory[peer])
                needed -= memory[peer]
            }
            return cost
        }
        var best = Double.infinity
        var nodes = 0
        func visit(_ position: Int, _ needed: Double, _ cost: Double) {
            nodes += 1
            guard needed > 0 else {
                best = min(best, cost)
                return
            }
            guard position < order.count, suffix[position] >= needed, nodes < Self.nodes,
                cost + relaxed(position, needed) < best
            else { return }
            visit(position + 1, needed - memory[order[position]], cost + prices[order[position]])
            visit(position + 1, needed, cost)
        }
        visit(0, bytes, 0)
        return max(cheapest, nodes < Self.nodes ? best : relaxed(0, bytes))
    }

    /// Sets of peers that are looked at for the cheapest.
    private static let nodes = 20_000

    /// `count` peers within the limit, as much of `value` as a simple exchange finds: the cheapest first, then the best in
    /// place of the worst while the limit allows. Empty if even the cheapest are too dear.
    func selection(_ count: Int, by value: [Double]) -> [Int] {
        let byValue = prices.indices.sorted { (value[$1], $0) < (value[$0], $1) }
        let best = Array(byValue.prefix(count))
        guard let limit, !allows(best) else { return best }
        var chosen = Array(
            prices.indices.sorted { (prices[$0], value[$1], $0) < (prices[$1], value[$0], $1) }.prefix(count))
        var cost = cost(of: chosen)
        guard cost <= limit * (1 + 1e-12) else { return [] }
        var isChosen = Array(repeating: false, count: prices.count)
        for peer in chosen { isChosen[peer] = true }
        for peer in byValue where !isChosen[peer] {
            var worst = -1
            for position in chosen.indices
            where value[chosen[position]] < value[peer]
                && cost - prices[chosen[position]] + prices[peer] <= limit * (1 + 1e-12)
                && (worst < 0 || value[chosen[position]] < value[chosen[worst]])
            {
                worst = position
            }
            guard worst >= 0 else { continue }
            cost += prices[peer] - prices[chosen[worst]]
            isChosen[chosen[worst]] = false
            isChosen[peer] = true
            chosen[worst] = peer
        }
        return chosen
    }
}

/// Amounts of money for people: up to four digits after the point.
extension Figures {
    static func price(_ value: Double) -> String {
        value != 0 && abs(value) < 0.01 ? fixed(value, digits: 6) : fixed(value, digits: 2)
    }
}
