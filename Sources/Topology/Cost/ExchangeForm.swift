/// How the holders of some layers exchange their gradients.
///
/// In general they stand in clusters. Each cluster adds up its members' gradients, every member a slice of equal size
/// (reduce-scatter); the clusters' sums are added up across clusters; and the members of each cluster send each other the
/// total (all-gather). Across clusters, either every cluster adds up a part for all and sends it to all, or, with swaps,
/// every cluster sends all of its sum to every other, which takes more bytes but one latency less. Members own slices of
/// their clusters independently of each other, so that a pair of holders in clusters of m and n members exchanges
/// 1/(m n) of whatever the two clusters exchange: all links between two clusters work at once.
///
/// The direct exchange of all holders with all is the same with clusters of one.
struct ExchangeForm: Hashable, Sendable {
    /// By rank: its cluster, from zero.
    let clusters: [Int]
    /// By cluster.
    let sizes: [Int]
    /// The part of the layers that each cluster adds up for all; 1 with swaps.
    let parts: [Double]
    let swaps: Bool
    /// By cluster: a member's slice of what the cluster sends, and of what the cluster adds up.
    private let slice: [Double]
    private let added: [Double]

    /// Every holder by itself.
    init(slices: [Double]) {
        clusters = Array(slices.indices)
        sizes = Array(repeating: 1, count: slices.count)
        parts = slices
        swaps = false
        slice = sizes.map { _ in 1 }
        added = slices
    }

    private init(_ clusters: [Int], _ present: Present, swaps: Bool) {
        var dense = Array(repeating: 0, count: present.clusters.width)
        for (index, cluster) in present.indices.enumerated() { dense[cluster] = index }
        self.clusters = clusters.map { dense[$0] }
        sizes = present.sizes
        let parts = swaps ? present.sizes.map { _ in 1 } : present.parts
        self.parts = parts
        self.swaps = swaps
        let slice = present.sizes.map { 1 / Double($0) }
        self.slice = slice
        added = parts.indices.map { parts[$0] * slice[$0] }
    }

    var isDirect: Bool { sizes.count == clusters.count && !swaps }

    /// The part of the layers that a member of a cluster sends to a mate, there and back.
    func mateShare(_ cluster: Int) -> Double { slice[cluster] }

    /// The part of the layers that a holder sends to one in a cluster that adds up for all, and gets back from it.
    func share(from cluster: Int, addedUpBy adder: Int) -> Double {
        slice[cluster] * added[adder]
    }

    /// Equal pieces in which an exchange in levels is done, so that the links within clusters and those between them work at
    /// the same time: a piece is added up across clusters while the next one is within.
    static let pieces = 8

    /// How an exchange is divided.
    struct Division {
        /// The form of the pieces in levels; `nil` if all are exchanged directly.
        var form: ExchangeForm?
        /// Pieces that are exchanged directly, over links between clusters that would else have little to do.
        var direct: Int
    }

    /// Remembers divisions, for a search that meets holders in the same clusters again and again.
    final class Divisions {
        private struct Key: Hashable {
            /// By holder: its cluster; or by cluster: its holders.
            var figures: [Int32]
            var bytes: Double
        }

        private var known: [Key: Division] = [:]
        /// What is the best does not depend on which holder stands in which cluster.
        private var choices: [Key: Choice] = [:]
        /// Divisions remembered; then all are forgotten.
        private static let limit = 50_000

        func division(
            _ holders: [Int], bytes: Double, pieces: Int, weighsSlices: Bool, clusterings: [ExchangeClusters]
        ) -> Division {
            var key = Key(figures: [], bytes: bytes)
            key.figures.reserveCapacity(holders.count * clusterings.count)
            for clustering in clusterings { for peer in holders { key.figures.append(clustering.clusterOf[peer]) } }
            if let found = known[key] { return found }
            var counts = Key(figures: [], bytes: bytes)
            for (index, clustering) in clusterings.enumerated() {
                let first = counts.figures.count
                counts.figures += repeatElement(0, count: clustering.width)
                for position in holders.indices {
                    counts.figures[first + Int(key.figures[index * holders.count + position])] += 1
                }
            }
            let choice =
                choices[counts]
                ?? Choice(
                    holders, bytes: bytes, pieces: pieces, weighsSlices: weighsSlices, clusterings: clusterings)
            if known.count >= Self.limit { known.removeAll(keepingCapacity: true) }
            if choices.count >= Self.limit { choices.removeAll(keepingCapacity: true) }
            choices[counts] = choice
            let found = choice.division(holders, pieces: pieces, clusterings: clusterings)
            known[key] = found
            return found
        }
    }

    /// The division that should be fastest for holders at these peers if all begin at once. Equal problems choose alike:
    /// nothing but the holders' clusters and the bytes decides.
    static func division(
        _ holders: [Int], bytes: Double, pieces: Int, weighsSlices: Bool, clusterings: [ExchangeClusters]
    ) -> Division {
        Choice(holders, bytes: bytes, pieces: pieces, weighsSlices: weighsSlices, clusterings: clusterings)
            .division(holders, pieces: pieces, clusterings: clusterings)
    }

    /// What a division follows from, for all holders of which equally many stand in each cluster.
    private struct Choice {
        /// `nil` if all pieces are exchanged directly.
        private var clustering: Int?
        private var swaps = false
        private var direct: Int

        init(
            _ holders: [Int], bytes: Double, pieces: Int, weighsSlices: Bool, clusterings: [ExchangeClusters]
        ) {
            direct = pieces
            var seconds = Double.infinity
            for (index, clustering) in clusterings.enumerated() {
                let present = Present(holders.map { Int(clustering.clusterOf[$0]) }, clustering)
                let slices = present.slices(weighsSlices: weighsSlices)
                if index == 0 { seconds = present.direct(bytes, slices: slices) }
                // A single cluster is the direct exchange.
                guard present.sizes.count > 1 else { continue }
                let areAlone = present.sizes.allSatisfy { $0 == 1 }
                for swaps in areAlone ? [true] : [false, true] {
                    for count in 0..<(areAlone ? 1 : pieces) {
                        let value = present.levels(bytes, swaps: swaps, direct: count, of: pieces, slices: slices)
                        guard value < seconds * (1 - 1e-9) else { continue }
                        seconds = value
                        self.clustering = index
                        self.swaps = swaps
                        direct = count
                    }
                }
            }
        }

        func division(_ holders: [Int], pieces: Int, clusterings: [ExchangeClusters]) -> Division {
            guard let clustering else { return Division(form: nil, direct: pieces) }
            let clusters = holders.map { Int(clusterings[clustering].clusterOf[$0]) }
            return Division(
                form: ExchangeForm(clusters, Present(clusters, clusterings[clustering]), swaps: swaps), direct: direct)
        }
    }
}

extension ExchangeForm {
    /// The clusters in which holders stand, and what an exchange would take by the worst links between them.
    private struct Present {
        let clusters: ExchangeClusters
        /// The clusters with holders.
        let indices: [Int]
        let sizes: [Int]

        init(_ holders: [Int], _ clusters: ExchangeClusters) {
            self.clusters = clusters
            var counts = Array(repeating: 0, count: clusters.width)
            for cluster in holders { counts[cluster] += 1 }
            indices = counts.indices.filter { counts[$0] > 0 }
            sizes = indices.map { counts[$0] }
        }

        private func cost(_ from: Int, _ to: Int) -> Double {
            clusters.seconds[indices[from] * clusters.width + indices[to]]
        }

        private func latency(_ from: Int, _ to: Int) -> Double {
            clusters.latency[indices[from] * clusters.width + indices[to]]
        }

        /// Parts that every cluster can exchange over its slowest link in the same time.
        var parts: [Double] {
            let weights = sizes.indices.map { cluster in
                var weight = Double.infinity
                for other in sizes.indices where other != cluster {
                    let slowest = max(cost(cluster, other), cost(other, cluster))
                    if slowest > 0 { weight = min(weight, Double(sizes[cluster] * sizes[other]) / slowest) }
                }
                return weight.isFinite ? weight : 1
            }
            let total = weights.reduce(0, +)
            return weights.map { $0 / total }
        }

        /// By cluster: what each member adds up in a direct exchange.
        func slices(weighsSlices: Bool) -> [Double] {
            let count = Double(sizes.reduce(0, +))
            guard weighsSlices else { return sizes.map { _ in 1 / count } }
            var total = 0.0
            var slices: [Double] = []
            for cluster in sizes.indices {
                var slowest = 0.0
                for other in sizes.indices where other != cluster || sizes[cluster] > 1 {
                    slowest = max(slowest, max(cost(cluster, other), cost(other, cluster)))
                }
                slices.append(slowest > 0 ? 1 / slowest : 1)
                total += slices[cluster] * Double(sizes[cluster])
            }
            return slices.map { $0 / total }
        }

        /// Reduce-scatter and all-gather of all with all.
        func direct(_ bytes: Double, slices: [Double]) -> Double {
            var added = Array(repeating: 0.0, count: sizes.count)
            for owner in sizes.indices {
                for other in sizes.indices where other != owner || sizes[owner] > 1 {
                    added[owner] = max(
                        added[owner], bytes * slices[owner] * cost(other, owner) + latency(other, owner))
                }
            }
            var end = 0.0
            for owner in sizes.indices {
                for other in sizes.indices where other != owner || sizes[owner] > 1 {
                    // The totals queue behind the partial sums on their link.
                    let from = max(added[owner], bytes * slices[other] * cost(owner, other))
                    end = max(end, from + bytes * slices[owner] * cost(owner, other) + latency(owner, other))
                }
            }
            return end
        }

        /// Some pieces in levels and the others directly: the busiest link, or the longest way of a piece.
        func levels(_ bytes: Double, swaps: Bool, direct: Int, of pieces: Int, slices: [Double]) -> Double {
            let piece = bytes / Double(pieces)
            let plain = piece * Double(direct)
            let rest = bytes - plain
            let parts = swaps ? sizes.map { _ in 1 } : parts
            // By cluster: a byte to a mate, and how long that is under way.
            let mates = sizes.indices.map { sizes[$0] > 1 ? cost($0, $0) / Double(sizes[$0]) : 0 }
            let near = sizes.indices.map { sizes[$0] > 1 ? latency($0, $0) : 0 }
            var end = 0.0
            for from in sizes.indices {
                if sizes[from] > 1 {
                    end = max(end, 2 * (rest * mates[from] + plain * slices[from] * cost(from, from) + near[from]))
                }
                for to in sizes.indices where to != from {
                    let pairs = Double(sizes[from] * sizes[to])
                    let share = (swaps ? 1 : parts[to] + parts[from]) / pairs
                    let plainly = plain * (slices[from] + slices[to]) * cost(from, to)
                    let far = latency(from, to)
                    let back = latency(to, from)
                    let ways = swaps ? far : far + back
                    // Within both clusters, what comes before and after.
                    let around = near[from] + near[to]
                    let before = (direct > 0 ? 0 : piece * mates[from]) + piece * mates[to] + around
                    end = max(end, plainly + rest * share * cost(from, to) + ways + before)
                    end = max(
                        end, rest * mates[from] + piece * (share * cost(from, to) + mates[to]) + ways + around)
                    if direct > 0 { end = max(end, plainly + far + back) }
                }
            }
            return end
        }
    }
}
