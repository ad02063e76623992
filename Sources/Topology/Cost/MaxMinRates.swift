/// Divides access links among the flows that pass them, max-min fairly: each flow gets as much as it can without taking from one
/// that has less. Progressive filling (Bertsekas and Gallager, Data Networks, section 6.5.2), a link at a time.
struct MaxMinRates {
    /// What a flow asks for.
    struct Flow {
        var source: Int
        var target: Int
        /// Bytes per second of the pair by itself; may be infinite.
        var capacity: Double
    }

    /// Bytes per second by peer, infinite where unknown: first the uplinks, then the downlinks.
    private let rates: [Double]
    private let peers: Int
    // Scratch, by link: what is left of it, its flows without a rate, where its flows are in `members` and how many.
    private var left: [Double]
    private var open: [Int]
    private var first: [Int]
    private var flowsOf: [Int]
    private var used: [Int] = []
    private var members: [Int] = []
    /// By flow; negative without a rate.
    private var shares: [Double] = []

    init(tables: CostTables) {
        peers = tables.peers
        rates = (tables.uplinkSecondsPerByte + tables.downlinkSecondsPerByte).map { $0 > 0 ? 1 / $0 : .infinity }
        left = rates
        open = Array(repeating: 0, count: 2 * peers)
        first = open
        flowsOf = open
    }

    /// The rates of the flows, in their order.
    ///
    /// - Parameter byCapacity: the flows' indices, least capacity first.
    mutating func divide(_ flows: [Flow], byCapacity: [Int]) -> [Double] {
        enter(flows)
        shares = Array(repeating: -1, count: flows.count)
        var undecided = flows.count
        var nextOwn = 0
        while undecided > 0 {
            var tightest = -1
            var level = Double.infinity
            for link in used where open[link] > 0 {
                let share = left[link] / Double(open[link])
                if share < level || tightest < 0 {
                    tightest = link
                    level = share
                }
            }
            // A flow that can take less than its links' fair shares leaves more to the others, so all such are settled at once.
            var isSettled = false
            while nextOwn < byCapacity.count, flows[byCapacity[nextOwn]].capacity <= level {
                let index = byCapacity[nextOwn]
                nextOwn += 1
                guard shares[index] < 0 else { continue }
                settle(index, flows[index], at: flows[index].capacity)
                undecided -= 1
                isSettled = true
            }
            if isSettled { continue }
            guard tightest >= 0 else { break }
            let start = first[tightest]
            let end = start + flowsOf[tightest]
            for position in start..<end where shares[members[position]] < 0 {
                settle(members[position], flows[members[position]], at: level)
                undecided -= 1
            }
        }
        return shares
    }

    /// Sorts the flows by the links that they pass.
    private mutating func enter(_ flows: [Flow]) {
        for link in used { open[link] = 0 }
        used.removeAll(keepingCapacity: true)
        for flow in flows {
            for link in [flow.source, peers + flow.target] {
                if open[link] == 0 { used.append(link) }
                open[link] += 1
            }
        }
        var next = 0
        for link in used {
            left[link] = rates[link]
            first[link] = next
            next += open[link]
            flowsOf[link] = 0
        }
        members = Array(repeating: 0, count: next)
        for (index, flow) in flows.enumerated() {
            for link in [flow.source, peers + flow.target] {
                members[first[link] + flowsOf[link]] = index
                flowsOf[link] += 1
            }
        }
    }

    private mutating func settle(_ index: Int, _ flow: Flow, at rate: Double) {
        shares[index] = rate
        for link in [flow.source, peers + flow.target] {
            if left[link] < .infinity { left[link] = max(0, left[link] - rate) }
            open[link] -= 1
        }
    }
}
