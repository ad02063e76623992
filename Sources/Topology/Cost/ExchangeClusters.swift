/// Peers in clusters of near ones, and what the links between clusters allow at worst: the ground on which the holders of a
/// layer decide how to exchange its gradients.
package struct ExchangeClusters: Sendable {
    /// By peer.
    let clusterOf: [Int32]
    /// The number of clusters.
    let width: Int
    /// The slowest link from a cluster to another, or between two peers of one, row-major: seconds for a byte.
    let seconds: [Double]
    /// The longest latency of the same.
    let latency: [Double]

    /// Clusterings that are weighed against each other.
    private static let most = 2
    /// Clusters of a clustering at most: the choice of a form looks at every pair of them.
    private static let mostClusters = 64
    /// Peers up to which links of their own are looked at.
    private static let mostPeers = 2_048

    /// The clusterings that suggest themselves: the places if links belong to places, else the groups below the widest gaps
    /// between the costs at which near peers join.
    ///
    /// - Parameter bytes: what a pair of holders sends, about.
    static func all(
        latency: LinkTable<Double>, secondsPerByte: LinkTable<Double>, bytes: Double
    ) -> [ExchangeClusters] {
        if latency.isOfPlaces {
            guard latency.width > 1, latency.width <= mostClusters else { return [] }
            return [ExchangeClusters(latency.places, latency.width, latency, secondsPerByte)]
        }
        guard latency.peers > 2, latency.peers <= mostPeers else { return [] }
        let affinity = Affinity(
            cost: latency.combined(with: secondsPerByte, own: 0) { there, back in
                max(there.0, back.0) + bytes * max(there.1, back.1)
            })
        let groupings = affinity.groupings.filter { (2...mostClusters).contains($0.count) }.prefix(most)
        return groupings.map { groups in
            var clusterOf = Array(repeating: Int32(0), count: latency.peers)
            for (index, group) in groups.enumerated() { for peer in group { clusterOf[peer] = Int32(index) } }
            return ExchangeClusters(clusterOf, groups.count, latency, secondsPerByte)
        }
    }

    private init(
        _ clusterOf: [Int32], _ width: Int, _ latencies: LinkTable<Double>, _ rates: LinkTable<Double>
    ) {
        self.clusterOf = clusterOf
        self.width = width
        var seconds = Array(repeating: 0.0, count: width * width)
        var latency = seconds
        latencies.forEachKind { source, target, _ in
            let pair = Int(clusterOf[source]) * width + Int(clusterOf[target])
            seconds[pair] = max(seconds[pair], rates[source, target])
            latency[pair] = max(latency[pair], latencies[source, target])
        }
        self.seconds = seconds
        self.latency = latency
    }
}
