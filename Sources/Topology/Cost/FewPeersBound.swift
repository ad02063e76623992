/// The bounds that see divisions (`PartitionBound`) and cuts (`SkeletonBound`) of few peers, over all numbers of pipelines, with
/// and without a spread exchange: the least of them all.
///
/// Best first, as the least of all is what counts: of the number of pipelines with the least bound so far, the time halfway to
/// the least that is known to be enough is tried. So a bound is there at any moment, and no more is looked at of those that
/// are above it.
struct FewPeersBound {
    /// Plans of so many pipelines and one form of exchange.
    private struct Family {
        /// What plans take at least.
        var low: Double
        /// A time that could be enough, or the plan's.
        var high: Double
        var isTried = false
        private let replicas: Int
        private var partitions: PartitionBound
        private var skeletons: SkeletonBound?

        init(low: Double, high: Double, replicas: Int, partitions: PartitionBound, skeletons: SkeletonBound?) {
            self.low = low
            self.high = high
            self.replicas = replicas
            self.partitions = partitions
            self.skeletons = skeletons
        }

        mutating func halve() {
            let middle = (low + high) / 2
            isTried = true
            if partitions.suffices(middle, replicas: replicas), skeletons?.suffices(middle) ?? true {
                high = middle
            } else {
                low = middle
            }
        }
    }

    private var families: [Family] = []
    private let plan: Double

    /// Parts of skeletons and of divisions that are looked at for a node: four pipelines of skippipe's twelve peers take one to
    /// three million parts of divisions.
    private static let skeletonsForNode = 4
    private static let divisionsForNode = 48
    private static let mostNodes = 1_000_000_000
    /// To so small a part of the distance between what was known and the plan.
    private static let grain = 1.0 / 128

    /// - Parameter plan: the time of a plan that is known.
    init(plan: Double) { self.plan = plan }

    /// Adds plans of so many pipelines and one form of exchange.
    ///
    /// - Parameters:
    ///   - low: what these are known to take at least.
    ///   - nodes: what to spend on them.
    mutating func add(
        _ problem: PlanningProblem, tables: CostTables, replicas: Int, low: Double, partitions: PartitionBound,
        nodes: Int
    ) {
        let skeletons =
            replicas > 1 && !tables.spreadsExchange
            ? SkeletonBound(
                problem, tables: tables, replicas: replicas, nodes: min(nodes, Self.mostNodes) * Self.skeletonsForNode)
            : nil
        families.append(
            Family(low: low, high: plan, replicas: replicas, partitions: partitions, skeletons: skeletons))
    }

    /// The bound over divisions that all families of a form of exchange begin with; `nil` if there are too many peers.
    static func partitions(_ problem: PlanningProblem, tables: CostTables, nodes: Int) -> PartitionBound? {
        PartitionBound(problem, tables: tables, nodes: min(nodes, mostNodes) * divisionsForNode)
    }

    /// What all plans that were added take at least, or the known plan if that is less.
    ///
    /// - Parameter isOver: whether to leave it at what there is, once each has been tried.
    mutating func seconds(isOver: () -> Bool) -> Double {
        let grain = (plan - (families.map(\.low).min() ?? plan)) * Self.grain
        while let least = families.indices.min(by: { families[$0].low < families[$1].low }) {
            let family = families[least]
            guard family.low < plan else { return plan }
            if family.high - family.low <= grain || family.isTried && isOver() { return family.low }
            families[least].halve()
        }
        return plan
    }
}
