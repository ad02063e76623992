internal import Primitives

/// An exchange in which relays gather parts of slices on their way (`SliceTree`), from the ends of all passes on: what the simulator
/// does, one transfer at a time.
struct RelayedRecurrence: FollowedExchange {
    private let start: SpreadRecurrence
    /// By piece and adder.
    private let trees: [[SliceTree]]
    /// By piece and adder: the first of its nodes: who adds up, then each relay on the way there, then each on the way back.
    private let nodes: [Int]
    private let nodeCount: Int

    init(_ start: SpreadRecurrence, trees: [[SliceTree]]) {
        self.start = start
        self.trees = trees
        var nodes: [Int] = []
        var count = 0
        for ofPiece in trees {
            for tree in ofPiece {
                nodes.append(count)
                count += 1 + 2 * tree.relays.count
            }
        }
        self.nodes = nodes
        nodeCount = count
    }

    /// A part, sum or total that has come to a peer.
    fileprivate struct Delivery {
        /// Where none is needed, −1.
        var link: Int32
        /// Its piece and adder.
        var tree: Int32
        /// The node that sends it, −1 for a holder's own part; and the node that waits for it, −1 for a holder's total.
        var from: Int32
        var to: Int32
        /// Whether it waits for its link.
        var waits: Bool
        /// With the optimiser's step after a total.
        var time: Double
    }

    /// What a run leaves behind for `prices`.
    struct Record: ExchangeRecord {
        /// In the order in which they begin.
        fileprivate var deliveries: [Delivery] = []
        /// By node: the delivery that came last.
        fileprivate var last: [Int32] = []
        fileprivate(set) var end = 0.0
        fileprivate(set) var begin = 0.0
    }

    /// By peer: when it has the sums of all its layers.
    ///
    /// - Parameter slices: by piece and peer.
    func ends(_ slices: [[Double]]) -> [Double] {
        var run = Run(self, slices, records: false)
        run.run(self, slices)
        return run.ends
    }

    func record(_ slices: [[Double]], _ record: inout Record) {
        var run = Run(self, slices, records: true)
        swap(&run.deliveries, &record.deliveries)
        run.deliveries.removeAll(keepingCapacity: true)
        run.run(self, slices)
        record.begin = start.parts.first?.time ?? 0
        record.end = run.ends.indices.reduce(0) { max($0, run.ends[$1] + start.steps[$1]) }
        swap(&run.deliveries, &record.deliveries)
        record.last = run.last
    }

    /// A run in progress.
    private struct Run {
        private let records: Bool
        private let peers: Int
        /// By link: when it is free.
        private var busy: [Double]
        /// By node: what it still waits for, and when the last of that has come so far.
        private var missing: [Int32]
        private var complete: [Double]
        private var events = EventQueue<(tree: Int, node: Int)>()
        private(set) var ends: [Double]
        private(set) var last: [Int32]
        var deliveries: [Delivery] = []

        init(_ exchange: RelayedRecurrence, _ slices: [[Double]], records: Bool) {
            self.records = records
            peers = exchange.start.peers
            busy = exchange.start.busyBefore
            ends = exchange.start.finishes
            last = Array(repeating: -1, count: records ? exchange.nodeCount : 0)
            complete = Array(repeating: 0, count: exchange.nodeCount)
            missing = Array(repeating: 1, count: exchange.nodeCount)
            for (piece, ofPiece) in exchange.trees.enumerated() {
                for (adder, tree) in ofPiece.enumerated() where slices[piece][adder] > 0 {
                    let first = exchange.nodes[piece * peers + adder]
                    missing[first] = Int32(tree.children)
                    for relay in tree.relays.indices { missing[first + 1 + relay] = 0 }
                    for relay in tree.relayOfHolder where relay >= 0 { missing[first + 1 + relay] += 1 }
                }
            }
        }

        mutating func run(_ exchange: RelayedRecurrence, _ slices: [[Double]]) {
            var parts = exchange.start.parts[...]
            while true {
                if let part = parts.first, part.time <= events.nextTime ?? .infinity {
                    parts.removeFirst()
                    begin(part, exchange, slices[part.piece])
                } else if let (time, next) = events.pop() {
                    proceed(next.tree, next.node, at: time, exchange, slices)
                } else {
                    break
                }
            }
        }

        /// Sends a holder's parts of a piece.
        private mutating func begin(
            _ part: SpreadRecurrence.Part, _ exchange: RelayedRecurrence, _ slices: [Double]
        ) {
            let trees = exchange.trees[part.piece]
            for (adder, slice) in slices.enumerated() where slice > 0 {
                let tree = part.piece * peers + adder
                let relay = trees[adder].relayOfHolder[part.holder]
                deliver(
                    slice * exchange.start.bytes[part.piece], from: (part.peer, -1),
                    to: (
                        relay < 0 ? adder : trees[adder].relays[relay],
                        exchange.nodes[tree] + (relay < 0 ? 0 : 1 + relay)
                    ), tree: tree, at: part.time, exchange.start)
            }
        }

        /// All that a node waits for is there.
        private mutating func proceed(
            _ position: Int, _ node: Int, at time: Double, _ exchange: RelayedRecurrence, _ slices: [[Double]]
        ) {
            let (piece, adder) = (position / peers, position % peers)
            let tree = exchange.trees[piece][adder]
            let first = exchange.nodes[position]
            let bytes = exchange.start.bytes[piece] * slices[piece][adder]
            let count = tree.relays.count
            func relay(_ node: Int) -> Int { tree.relays[(node - first - 1) % count] }
            if node == first {
                for (index, peer) in tree.relays.enumerated() {
                    deliver(
                        bytes, from: (adder, node), to: (peer, first + 1 + count + index), tree: position, at: time,
                        exchange.start)
                }
            } else if node <= first + count {
                deliver(bytes, from: (relay(node), node), to: (adder, first), tree: position, at: time, exchange.start)
                return
            }
            let gathered = node == first ? -1 : node - first - 1 - count
            let source = node == first ? adder : relay(node)
            for (holder, peer) in exchange.start.holders[piece].enumerated()
            where tree.relayOfHolder[holder] == gathered {
                deliver(bytes, from: (source, node), to: (peer, -1), tree: position, at: time, exchange.start)
            }
        }

        /// From a peer and node to others; to node −1 a total to a holder.
        private mutating func deliver(
            _ bytes: Double, from: (peer: Int, node: Int), to: (peer: Int, node: Int), tree: Int, at time: Double,
            _ start: SpreadRecurrence
        ) {
            var arrival = time
            var waits = false
            let link = from.peer * peers + to.peer
            if from.peer != to.peer {
                waits = busy[link] > time
                busy[link] = max(time, busy[link]) + bytes * start.seconds[link]
                arrival = busy[link] + start.latency[link]
            }
            if records {
                deliveries.append(
                    Delivery(
                        link: from.peer == to.peer ? -1 : Int32(link), tree: Int32(tree), from: Int32(from.node),
                        to: Int32(to.node), waits: waits, time: arrival + (to.node < 0 ? start.steps[to.peer] : 0)))
            }
            guard to.node >= 0 else {
                ends[to.peer] = max(ends[to.peer], arrival)
                return
            }
            if arrival >= complete[to.node] {
                complete[to.node] = arrival
                if records { last[to.node] = Int32(deliveries.count - 1) }
            }
            missing[to.node] -= 1
            if missing[to.node] == 0 { events.push((tree, to.node), at: complete[to.node]) }
        }
    }

    func prices(_ record: Record, _ slices: [[Double]], sharpness: Double) -> [[Double]] {
        let peers = start.peers
        var prices = slices.map { $0.map { _ in 0.0 } }
        // By link: what it costs to be free later; by node: to have all later.
        var busy = Array(repeating: 0.0, count: peers * peers)
        var complete = Array(repeating: 0.0, count: nodeCount)
        for (index, delivery) in record.deliveries.enumerated().reversed() {
            var later = 0.0
            if delivery.to < 0 {
                let sooner = (record.end - delivery.time) * sharpness
                if sooner < SpreadRecurrence.negligible { later = Elementary.exp(-sooner) }
            } else if record.last[Int(delivery.to)] == Int32(index) {
                later = complete[Int(delivery.to)]
            }
            var earlier = later
            if delivery.link >= 0 {
                let link = Int(delivery.link)
                later += busy[link]
                let (piece, adder) = (Int(delivery.tree) / peers, Int(delivery.tree) % peers)
                prices[piece][adder] += later * start.bytes[piece] * start.seconds[link]
                busy[link] = delivery.waits ? later : 0
                earlier = delivery.waits ? 0 : later
            }
            if delivery.from >= 0 { complete[Int(delivery.from)] += earlier }
        }
        return prices
    }
}
