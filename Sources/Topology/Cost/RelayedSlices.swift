/// By which ways slices are gathered (`SliceTree`), and how large they are, where the holders of every layer have slices of their own
/// (`ExchangeStyle.relayed`).
///
/// If all parts go straight to who adds them up, each slice meets the slowest of the links to its holders, and faster
/// ones idle. A relay near some holders takes a single sum over the slow links. For given ways and slices every link has a
/// price, a high power of how long it is busy next to the busiest; slices shrink where their tree is dear
/// (`TailoredSlices`), and trees are chosen anew one by one: greedily one relay after the other as long as the tree gets
/// cheaper, with what a slice puts on links counted, so that many do not turn to the same link at once
/// (best responses in a congestion game, Rosenthal 1973). What a link carries once is counted, not when.
struct RelayedSlices {
    private let figures: SpreadFigures
    /// By link: for a byte, as it is sent.
    private let seconds: [Double]
    private let groups: [TailoredSlices.Group]
    private let isUsed: [Bool]
    private let peers: Int
    private var tailored: TailoredSlices
    /// By group and peer.
    private let isHolder: [[Bool]]
    /// By group and adder.
    private(set) var trees: [[SliceTree]]
    /// By group and peer.
    private(set) var slices: [[Double]]
    /// By link: seconds that it is busy.
    private var loads: [Double]
    /// By peer: bytes of layers that it does not hold that it gathers.
    private var gathered: [Double]
    /// The busiest link's seconds, the power that makes prices, bytes that are added to a link for its price; and by pair of
    /// peers the price of a byte there and back, zero of a peer to itself.
    private var longest = 0.0
    private var power = 1
    private var added = 0.0
    private var prices: [Double]

    private static let mostRelays = 2
    /// Rounds; in each some trees are chosen anew, then all slices move.
    private static let rounds = 40
    /// A tree is chosen anew every so many rounds.
    private static let patience = 8
    /// The power of a link's time that is its price: broad at first.
    private static let powers = [4, 8, 16]
    /// How far a slice moves in the first round.
    private static let stride = 0.5
    /// How much longer than the way from the farthest holder one by a relay may be; a guess, like the number of relays, with which
    /// exchanges of 64 peers over eight and ten regions ended soonest.
    private static let detour = 1.1
    /// The part of a peer's room for slices that is for what it gathers.
    private static let shareOfRoom = 0.5

    /// - Parameters:
    ///   - seconds: by link, for a byte of the groups'.
    ///   - start: by group and peer: slices that suit ways without relays.
    ///   - tailored: for the same groups.
    init(
        _ figures: SpreadFigures, seconds: [Double], groups: [TailoredSlices.Group], isUsed: [Bool],
        tailored: TailoredSlices, start: [[Double]]
    ) {
        self.figures = figures
        self.seconds = seconds
        self.groups = groups
        self.isUsed = isUsed
        self.tailored = tailored
        let peers = figures.peers
        self.peers = peers
        trees = groups.map { group in
            Array(repeating: SliceTree(holders: group.holders.count), count: peers)
        }
        slices = start
        loads = Array(repeating: 0, count: peers * peers)
        gathered = Array(repeating: 0, count: peers)
        prices = loads
        isHolder = groups.map { group in (0..<peers).map { group.holders.contains($0) } }
        search()
    }

    private mutating func search() {
        var best = (seconds: Double.infinity, trees: trees, slices: slices)
        for round in 0..<Self.rounds {
            weigh()
            longest = loads.max() ?? 0
            guard longest > 0 else { return }
            if longest < best.seconds { best = (longest, trees, slices) }
            power = Self.powers[round * Self.powers.count / Self.rounds]
            // What a slice of usual size adds itself is part of the price.
            setPrices(bytes: groups.reduce(0) { $0 + $1.bytes } / Double(max(1, groups.count * peers)))
            for group in groups.indices {
                for adder in 0..<peers
                where slices[group][adder] > 0 && (round + group + adder) % Self.patience == 0 {
                    carry(group, adder, sign: -1)
                    setPrices(of: trees[group][adder], group, adder)
                    choose(group, adder)
                    carry(group, adder, sign: 1)
                    setPrices(of: trees[group][adder], group, adder)
                }
            }
            weigh()
            longest = loads.max() ?? 0
            if longest < best.seconds { best = (longest, trees, slices) }
            setPrices(bytes: 0)
            let stride = Self.stride / (1 + Double(2 * round) / Double(Self.rounds))
            for group in groups.indices { move(group, stride: stride) }
            tailored.trees = trees
            tailored.fit(&slices)
        }
        (_, trees, slices) = best
    }

    /// What all trees put on links.
    private mutating func weigh() {
        for link in loads.indices { loads[link] = 0 }
        for peer in gathered.indices { gathered[peer] = 0 }
        for group in groups.indices {
            for adder in 0..<peers where slices[group][adder] > 0 { carry(group, adder, sign: 1) }
        }
    }

    /// Puts a tree's parts, sums and totals on links, or takes them off.
    private mutating func carry(_ group: Int, _ adder: Int, sign: Double) {
        let bytes = groups[group].bytes * slices[group][adder] * sign
        for (one, other) in hops(of: trees[group][adder], group, adder) {
            loads[one * peers + other] += bytes * seconds[one * peers + other]
            loads[other * peers + one] += bytes * seconds[other * peers + one]
        }
        for relay in trees[group][adder].relays where !isHolder[group][relay] { gathered[relay] += bytes }
    }

    /// The pairs of peers over which a tree's parts and sums go, and totals back.
    private func hops(of tree: SliceTree, _ group: Int, _ adder: Int) -> [(Int, Int)] {
        var hops: [(Int, Int)] = []
        hops.reserveCapacity(tree.relayOfHolder.count + tree.relays.count)
        for (index, holder) in groups[group].holders.enumerated() {
            let target = tree.target(of: index, adder: adder)
            if holder != target { hops.append((holder, target)) }
        }
        for relay in tree.relays { hops.append((relay, adder)) }
        return hops
    }

    /// Prices for so many more bytes.
    private mutating func setPrices(bytes: Double) {
        added = bytes
        for one in 0..<peers { for other in 0..<one { setPrice(one, other) } }
    }

    /// The prices of what a tree uses, after a change.
    private mutating func setPrices(of tree: SliceTree, _ group: Int, _ adder: Int) {
        for (one, other) in hops(of: tree, group, adder) { setPrice(one, other) }
    }

    /// What a byte between two peers costs, there and back.
    private mutating func setPrice(_ one: Int, _ other: Int) {
        func price(_ link: Int) -> Double {
            var load = (loads[link] + added * seconds[link]) / longest
            var exponent = power
            while exponent > 1 {
                load *= load
                exponent /= 2
            }
            // Among links with nothing to do the fastest.
            return (load + Self.leastLoad) * seconds[link]
        }
        let both = price(one * peers + other) + price(other * peers + one)
        prices[one * peers + other] = both
        prices[other * peers + one] = both
    }

    private static let leastLoad = 1e-6

    private func trip(_ one: Int, _ other: Int) -> Double {
        one == other ? 0 : figures.latency[one * peers + other] + figures.latency[other * peers + one]
    }

    /// The relays with which a tree is cheapest, one added after the other.
    private mutating func choose(_ group: Int, _ adder: Int) {
        let holders = groups[group].holders
        let bytes = groups[group].bytes * slices[group][adder]
        let limit = Self.detour * holders.reduce(0) { max($0, trip($1, adder)) }
        let candidates = (0..<peers).filter { relay in
            relay != adder && isUsed[relay]
                && (isHolder[group][relay] || gathered[relay] + bytes <= Self.shareOfRoom * tailored.room[relay])
        }
        var tree = SliceTree(holders: holders.count)
        var costs = holders.map { prices[$0 * peers + adder] }
        func gathers(_ relay: Int, _ holder: Int) -> Bool {
            prices[holders[holder] * peers + relay] < costs[holder]
                && trip(holders[holder], relay) + trip(relay, adder) <= max(limit, trip(holders[holder], adder))
        }
        for _ in 0..<Self.mostRelays {
            var best = (gain: 0.0, relay: -1)
            for relay in candidates where !tree.relays.contains(relay) {
                var gain = -prices[relay * peers + adder]
                for holder in holders.indices where gathers(relay, holder) {
                    gain += costs[holder] - prices[holders[holder] * peers + relay]
                }
                if gain > best.gain { best = (gain, relay) }
            }
            guard best.relay >= 0 else { break }
            for holder in holders.indices where gathers(best.relay, holder) {
                costs[holder] = prices[holders[holder] * peers + best.relay]
                tree.relayOfHolder[holder] = tree.relays.count
            }
            tree.relays.append(best.relay)
        }
        tree.keep { _ in true }
        trees[group][adder] = tree
    }

    /// Moves slices of a group from where their trees are dear to where they are not.
    private mutating func move(_ group: Int, stride: Double) {
        var costs = slices[group]
        var mean = 0.0
        for adder in 0..<peers where slices[group][adder] > 0 {
            var cost = 0.0
            for (one, other) in hops(of: trees[group][adder], group, adder) { cost += prices[one * peers + other] }
            costs[adder] = cost
            mean += cost * slices[group][adder]
        }
        guard mean > 0 else { return }
        let smallest = TailoredSlices.smallest / Double(max(1, isUsed.count { $0 }))
        var sum = 0.0
        for adder in 0..<peers where slices[group][adder] > 0 {
            slices[group][adder] *= max(0.5, 1 + stride * (1 - costs[adder] / mean))
            if slices[group][adder] < smallest { slices[group][adder] = 0 }
            sum += slices[group][adder]
        }
        for adder in 0..<peers { slices[group][adder] /= sum }
    }

    /// Trees without the relays that have no room for what they gather beside their own slices; those that gather the most go
    /// first. Holders need none: a sum takes the place of their own gradients.
    ///
    /// - Parameters:
    ///   - trees: by piece and adder, like the slices.
    ///   - groups: by piece.
    ///   - largest: the part of the model's gradients that a peer has room for.
    static func fitting(
        _ trees: [[SliceTree]], slices: [[Double]], groups: [TailoredSlices.Group], largest: Double
    ) -> [[SliceTree]] {
        var trees = trees
        let all = groups.reduce(0) { $0 + $1.bytes }
        var room = slices.first?.map { _ in largest * all } ?? []
        var gathered: [[(bytes: Double, piece: Int, adder: Int)]] = room.map { _ in [] }
        for (piece, group) in groups.enumerated() {
            let isHolder = Set(group.holders)
            for holder in isHolder.sorted() { room[holder] -= largest * group.bytes }
            for (adder, slice) in slices[piece].enumerated() where slice > 0 {
                let bytes = slice * group.bytes
                if !isHolder.contains(adder) { room[adder] -= bytes }
                for relay in trees[piece][adder].relays where !isHolder.contains(relay) {
                    gathered[relay].append((bytes, piece, adder))
                }
            }
        }
        for relay in room.indices {
            for (bytes, piece, adder) in gathered[relay].sorted(by: {
                ($0.bytes, $0.piece, $0.adder) < ($1.bytes, $1.piece, $1.adder)
            }) {
                room[relay] -= bytes
                if room[relay] < 0 { trees[piece][adder].keep { $0 != relay } }
            }
        }
        return trees
    }
}
