/// The links between the pipelines of a division, and how much of the gradients can be exchanged over them at most.
///
/// Nothing leaves a pipeline P before a window w_P, and what arrives in time has left its latency sooner: in its window a link
/// carries rate (w_P − latency) bytes.
///
/// **Spread exchange.** Let x_P be the part of all gradients, by bytes, that peers of pipeline P add up, whoever holds these. Then P
/// sends the peers of another pipeline Q its contributions to what they add up, x_Q times the model's gradients, and the totals of
/// x_P. So (x_P + x_Q) times the model's bytes are no more than what links from P to Q carry in w_P, nor than
/// what links from Q to P carry in w_Q; a single peer adds up no more than each other pipeline can send it, and spares
/// nothing (`SpreadExchange`). The greatest Σ x, which must be a whole, is no more than any fractional cover of the pipelines by
/// pairs (weak duality), of which this takes the least of pairs, triangles and all pairs alike.
///
/// **Relays.** Where relays gather parts on their way (`SliceTree`), the way of each slice joins all pipelines, and its total goes
/// back on it. Of three pipelines one stands between the two others: it is as if its peers added up the slice, whoever does. Of
/// more the ways may have any form: 2 (R − 1) sums and totals at least go from one pipeline to another, R − 1 of them after the last
/// has its gradients, and out of any pipelines together goes what the last of these adds.
///
/// **Holders alone.** R holders of a layer that all come to know the sum of what each has send 2 (R − 1) messages at least, each
/// from one pipeline to another, and R − 1 of them after the last has its gradients, as each of the others must hear of these. Of
/// any pipelines together the gradients of the one that has them last leave all of them once in its window. Stages of
/// two pipelines hold some of the same layers for no more pairs than both have stages, less one (their cuts, sorted, pass each
/// stage once): only so many links carry anything, at best the fastest.
struct CrossingLinks {
    /// Links alike: seconds, bytes a second of each, how many they are.
    private typealias Links = [(latency: Double, rate: Double, count: Int)]

    private let replicas: Int
    private let bytes: Double
    private let spreads: Bool
    private let relays: Bool
    /// From pipeline to pipeline; and how many links between the two carry anything.
    private var between: [[Links]] = []
    private var used: [[Int]] = []
    /// By pipeline and kind of its peers: how many they are, the links to one of them from every other pipeline, and those back.
    private var adders: [[(count: Int, from: [Links], to: [Links])]] = []

    init(_ capacity: SetCapacity, chosen: [Int]) {
        let sets = capacity.sets
        let kinds = capacity.kinds
        replicas = chosen.count
        bytes = capacity.gradientBytes(0..<capacity.layers)
        spreads = capacity.tables.spreadsExchange
        relays = capacity.tables.relaysExchange
        let members = chosen.map { set in
            (0..<kinds).map { (kind: $0, count: sets.number(of: $0, in: set)) }.filter { $0.count > 0 }
        }
        func links(_ from: Int, _ to: Int, _ count: Int) -> (latency: Double, rate: Double, count: Int) {
            (capacity.latency[from * kinds + to], capacity.rate[from * kinds + to], count)
        }
        adders = members.map { ofSet in
            ofSet.map { adder in
                (
                    adder.count, members.map { $0.map { links($0.kind, adder.kind, $0.count) } },
                    members.map { $0.map { links(adder.kind, $0.kind, $0.count) } }
                )
            }
        }
        between = chosen.indices.map { from in
            chosen.indices.map { to in
                adders[from].flatMap { adder in adder.to[to].map { ($0.latency, $0.rate, $0.count * adder.count) } }
            }
        }
        used = chosen.map { from in chosen.map { sets.sizes[from] + sets.sizes[$0] - 1 } }
    }

    /// What a look at some windows costs, next to a part of a set of peers; measured, and rounded.
    var cost: Int { isStarLike ? replicas : max(1, replicas * replicas * replicas / 8) }

    /// Whether somebody between all pipelines adds up each slice.
    private var isStarLike: Bool { spreads && (!relays || replicas <= 3) }

    /// The part of all gradients that can be exchanged at most in windows of so many seconds.
    func part(windows: [Double]) -> Double {
        guard bytes > 0 else { return .infinity }
        return isStarLike ? spreadPart(windows) : spreads ? relayedPart(windows) : holdersPart(windows)
    }

    private func carried(_ links: Links, window: Double) -> Double {
        links.reduce(0) { $0 + max(0, window - $1.latency) * $1.rate * Double($1.count) }
    }

    private func spreadPart(_ windows: [Double]) -> Double {
        let least = windows.min() ?? 0
        let alone = adders.enumerated().map { pipeline, adders in
            relays
                ? .infinity
                : adders.reduce(0) { sum, adder in
                    let others = windows.indices.filter { $0 != pipeline }.map {
                        min(carried(adder.from[$0], window: windows[$0]), carried(adder.to[$0], window: least))
                    }
                    return sum + Double(adder.count) * (others.min() ?? 0)
                }
        }
        let pairs = windows.indices.map { from in
            windows.indices.map { to in
                from == to
                    ? .infinity
                    : min(
                        carried(between[from][to], window: windows[from]),
                        carried(between[to][from], window: windows[to]))
            }
        }
        return cover(alone, pairs) / bytes
    }

    /// Pipelines up to which pairs and triangles are looked at.
    private static let fewPipelines = 8

    /// The least cover of all pipelines by pairs.
    private func cover(_ alone: [Double], _ pairs: [[Double]]) -> Double {
        let all = pairs.indices.reduce(0) { sum, from in
            pairs.indices.reduce(sum) { $1 > from ? $0 + pairs[from][$1] : $0 }
        }
        let alike = all / Double(max(1, replicas - 1))
        guard replicas <= Self.fewPipelines else { return min(alike, alone.reduce(0, +)) }
        // By the pipelines that are covered, the first ones first.
        var least = Array(repeating: Double.infinity, count: 1 << replicas)
        least[0] = 0
        for covered in 0..<((1 << replicas) - 1) {
            let first = (~covered).trailingZeroBitCount
            let others = ((first + 1)..<replicas).filter { covered & 1 << $0 == 0 }
            func improve(_ more: Int, by cost: Double) {
                let next = covered | 1 << first | more
                least[next] = min(least[next], least[covered] + cost)
            }
            improve(0, by: min(alone[first], pairs[first].min() ?? .infinity))
            for (index, second) in others.enumerated() {
                improve(1 << second, by: pairs[first][second])
                for third in others.dropFirst(index + 1) {
                    let sum = pairs[first][second] + pairs[second][third] + pairs[first][third]
                    improve(1 << second | 1 << third, by: sum / 2)
                }
            }
        }
        return min(alike, least[(1 << replicas) - 1])
    }

    /// With relays: a pipeline's peers may send on what others add before it has gradients of its own.
    private func relayedPart(_ windows: [Double]) -> Double {
        treePart(windows) { from, to, window in carried(between[from][to], window: window) }
    }

    private func holdersPart(_ windows: [Double]) -> Double {
        treePart(windows) { from, to, window in
            fastest(between[from][to], used[from][to], window: min(window, windows[from]))
        }
    }

    /// The part of all gradients for which the links of some tree over the pipelines are enough.
    ///
    /// - Parameter carries: the bytes that go from one pipeline to another in a window at most.
    private func treePart(_ windows: [Double], carries: (Int, Int, Double) -> Double) -> Double {
        // By the pipeline whose gradients are carried, what links carry of these.
        let carried = windows.map { window in
            windows.indices.map { from in
                windows.indices.map { to in from == to ? 0 : carries(from, to, window) }
            }
        }
        let last = windows.indices.min { windows[$0] < windows[$1] } ?? 0
        let first = windows.indices.max { windows[$0] < windows[$1] } ?? 0
        let others = Double(max(1, replicas - 1))
        var least = min(
            carried[first].joined().reduce(0, +) / 2 / others, carried[last].joined().reduce(0, +) / others)
        for some in 1..<max(2, (1 << min(replicas, Self.fewPipelines)) - 1) {
            let isInside = windows.indices.map { some & 1 << $0 != 0 }
            let last = windows.indices.filter { isInside[$0] }.min { windows[$0] < windows[$1] } ?? 0
            var leaves = 0.0
            for from in windows.indices where isInside[from] {
                for to in windows.indices where !isInside[to] { leaves += carried[last][from][to] }
            }
            least = min(least, leaves)
        }
        return least / bytes
    }

    /// What so many of some links carry at most.
    private func fastest(_ links: Links, _ most: Int, window: Double) -> Double {
        var rest = most
        var sum = 0.0
        for link in links.map({ (bytes: max(0, window - $0.latency) * $0.rate, count: $0.count) })
            .sorted(by: { $0.bytes > $1.bytes })
        {
            sum += link.bytes * Double(min(rest, link.count))
            rest -= min(rest, link.count)
        }
        return sum
    }
}
