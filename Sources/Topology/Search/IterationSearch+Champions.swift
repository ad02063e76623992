internal import Primitives

/// What rounds have found, judged, and what other searches have.
extension IterationSearch {
    /// Changes to a round's best that are looked at.
    private static let refinements = 200
    private static let championCount = 4
    /// Islands beyond those that a search begins with.
    private static let adoptedCount = 4

    /// Takes the best of the round that has ended into its island.
    mutating func keepRoundBest() {
        guard let roundBest else { return }
        let found =
            isTimed
            ? (best: roundBest.arrangement, seconds: judgedTimed(roundBest.layout), builder: builder)
            : judged(roundBest.layout, roundBest.arrangement, roundBest.seconds, builder)
        // What an island is worth before its first round is the closed form's word.
        if found.seconds < islands[island].seconds || directBuilder != nil && round <= firstRounds {
            islands[island].best = found.best
            islands[island].seconds = found.seconds
            islands[island].builder = found.builder
        }
    }

    /// Takes what another search has found among its islands, in the place of the worst.
    mutating func adopt(_ arrangement: Arrangement) {
        guard !islands.isEmpty else { return }
        let state = (builder, pipelines)
        defer { (builder, pipelines) = state }
        var found: Island?
        for index in directBuilder.map({ [0, $0] }) ?? [0] {
            builder = index
            pipelines = []
            guard let built = build(arrangement, changed: nil) else { continue }
            if isTimed {
                let seconds = judgedTimed(builders[index].layout(built))
                found = Island(start: arrangement, best: arrangement, seconds: seconds, builder: index)
                continue
            }
            let (layout, seconds) = price(built, of: arrangement)
            remember(layout, arrangement, seconds)
            let value = judged(layout, arrangement, seconds, index).seconds
            if value < found?.seconds ?? .infinity {
                found = Island(start: arrangement, best: arrangement, seconds: value, builder: index)
            }
        }
        guard let found else { return }
        _ = place(found)
    }

    /// Another order of groups in the shape of an island, as an island of its own: which order is found decides more than
    /// what rounds make of it. `nil` where peers stand in no groups.
    mutating func freshIsland(like island: Int) -> Int? {
        let groupings = orderedGroupings
        let stages = islands[island].start.pipelines.first?.count ?? 0
        let replicas = islands[island].start.pipelines.count
        guard Self.groupedPeers.contains(tables.peers), !groupings.isEmpty, stages > 1,
            stages * replicas <= tables.peers,
            let start = bestOrder(
                of: groupings[generator.index(below: groupings.count)], stages: stages, replicas: replicas,
                trials: Self.freshTrials)
        else { return nil }
        return place(Island(start: start, best: start, seconds: .infinity, builder: 0))
    }

    private static let freshTrials = 150

    /// An island's best with two or three groups of near peers in each other's places, as an island of its own: the best of
    /// all such changes that has not been tried. A round's small changes do not get from one order of regions to another,
    /// and its whole groups change places two at a time. `nil` where peers stand in no or too many groups.
    mutating func rotatedIsland(of index: Int) -> Int? {
        guard let groups = orderedGroupings.first(where: { Self.rotatedGroups.contains($0.count) }) else { return nil }
        let known = islands[index]
        builder = known.builder
        var best: Arrangement?
        var seconds = known.seconds * Self.rotatedLoss
        for cycle in Self.cycles(of: groups) {
            var next = known.best
            guard !next.rotate(cycle).isEmpty, !rotated.contains(next), budget.allows(next.pipelines.joined())
            else { continue }
            pipelines = []
            guard let built = build(next, changed: nil) else { continue }
            let value = price(built, of: next, limit: seconds).seconds
            guard value < seconds else { continue }
            best = next
            seconds = value
        }
        guard let best else { return nil }
        rotated.insert(best)
        return place(Island(start: best, best: best, seconds: .infinity, builder: known.builder))
    }

    private static let rotatedGroups = 3...12
    /// How much slower such an island may be before its first round, which gains 3 to 11 %.
    private static let rotatedLoss = 1.1

    /// All pairs of groups, and all threes in both directions.
    private static func cycles(of groups: [[Int]]) -> [[[Int]]] {
        var result: [[[Int]]] = []
        for first in groups.indices {
            for second in groups.indices where second > first {
                result.append([groups[first], groups[second]])
                for third in groups.indices where third > second {
                    result.append([groups[first], groups[second], groups[third]])
                    result.append([groups[first], groups[third], groups[second]])
                }
            }
        }
        return result
    }

    /// Where an island has been put: beside the others, or in the place of the worst.
    mutating func place(_ new: Island) -> Int {
        if islands.count < Self.islandCount + Self.adoptedCount {
            islands.append(new)
            return islands.count - 1
        }
        let others = islands.indices.filter { $0 != island }
        let worst = others.max { islands[$0].seconds < islands[$1].seconds } ?? 0
        islands[worst] = new
        return worst
    }

    /// A round's best, refined if the round was a long one, and what it takes: under the simulator where it exchanges in
    /// levels. The closed form can be a few percent too low there, and a search finds where it is.
    private mutating func judged(
        _ layout: Layout, _ arrangement: Arrangement, _ seconds: Double, _ builder: Int
    ) -> (best: Arrangement, seconds: Double, builder: Int) {
        guard directBuilder != nil, !builders[builder].isRough else { return (arrangement, seconds, builder) }
        var closedForm = builders[builder].closedForm
        closedForm.memo = ClosedForm.Memo()
        let refined = Refinement(tables: tables, spares: [], swapsPeers: false, budget: budget).run(
            layout, limit: round <= firstRounds ? 1 : Self.refinements, measure: closedForm.seconds)
        let value =
            (standbys?.surcharge(refined.layout) ?? 1)
            * (layout.exchange == .direct
                ? refined.seconds : IterationSimulator.run(refined.layout, tables: tables).seconds)
        let position = champions.firstIndex { $0.seconds > value } ?? champions.count
        if !champions.contains(where: { $0.layout == refined.layout }) {
            champions.insert((refined.layout, value), at: position)
            if champions.count > Self.championCount { champions.removeLast() }
        }
        // The next round can begin with cuts that the pipelines share.
        let shared = Arrangement(refined.layout, peers: tables.peers)
        var best = arrangement
        if refined.layout != layout, shared.cuts != arrangement.cuts {
            let state = (self.builder, pipelines)
            defer { (self.builder, pipelines) = state }
            self.builder = builder
            pipelines = []
            if let built = build(shared, changed: nil), price(built, of: shared, limit: seconds).seconds < seconds {
                best = shared
            }
        }
        return (best, value, builder)
    }
}
