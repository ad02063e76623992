/// Where spares stand: what it would cost if one of the peers at work had to be replaced.
///
/// A plan whose spares all stand in one far region is as fast as any, until a peer somewhere else leaves: no spare can take
/// its place without every micro-batch crossing the world, or most peers moving. Plans with spares near all that work are
/// often hardly slower. The search therefore minimises an iteration's time with a surcharge for spares that stand far off.
struct Standbys {
    /// By peer and spare: how much farther the spare is from where the peer stands than the nearest other, as a part of the
    /// longest distance.
    private let distance: [Double]
    private let peers: Int

    /// The part of an iteration's time that is added if every spare is as far from every peer as can be. Over the
    /// world-wide 64 peers with 8 spares, those in one region have a mean distance of 0.4 or so and cost 35 to 50 % of an
    /// iteration when they stand in. Half of this is for the peer that is worst off, or a region without spares would hardly
    /// count; with 0.1 some regions still had none near, and one leaver in five cost 6 to 17 % more than a new plan.
    private static let weight = 0.25
    /// Peers with which spares are looked at: fewer are searched to the end, more have spares everywhere.
    private static let fewest = 16
    private static let most = 160

    /// `nil` where the shape leaves nobody over, or leaves it to the plan how many are.
    init?(_ problem: PlanningProblem, tables: CostTables, affinity: Affinity) {
        guard let stages = problem.shape.stages, let replicas = problem.shape.replicas,
            (Self.fewest...Self.most).contains(tables.peers), tables.peers > stages * replicas
        else { return nil }
        peers = tables.peers
        var distance = Array(repeating: 0.0, count: peers * peers)
        var longest = 0.0
        for peer in 0..<peers {
            var nearest = Double.infinity
            for other in 0..<peers where other != peer {
                let cost = affinity.cost(peer, other)
                distance[peer * peers + other] = cost
                nearest = min(nearest, cost)
                longest = max(longest, cost)
            }
            for other in 0..<peers where other != peer { distance[peer * peers + other] -= nearest }
        }
        guard longest > 0 else { return nil }
        self.distance = distance.map { $0 / longest }
    }

    /// What an iteration's time is multiplied by.
    func surcharge<Peers: Sequence<Int>>(_ peers: Peers, spares: [Int]) -> Double {
        guard !spares.isEmpty else { return 1 }
        var total = 0.0
        var count = 0
        var farthest = 0.0
        for peer in peers {
            let row = peer * self.peers
            var nearest = Double.infinity
            for spare in spares { nearest = min(nearest, distance[row + spare]) }
            total += nearest
            farthest = max(farthest, nearest)
            count += 1
        }
        return 1 + Self.weight * (total / Double(max(1, count)) + farthest) / 2
    }

    /// The same for a finished layout.
    func surcharge(_ layout: Layout) -> Double {
        let used = Set(layout.peers)
        return surcharge(layout.peers, spares: (0..<peers).filter { !used.contains($0) })
    }
}
