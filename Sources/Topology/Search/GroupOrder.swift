internal import Primitives

/// Groups of near peers in the order in which they fill the stages: a coarse picture of an arrangement, in which a few
/// hundred candidates tell which regions should share a stage and which should follow each other.
struct GroupOrder {
    var groups: [[Int]]

    /// Changes the order a little: two groups change places, one moves, a run of them is reversed, or one is split so that its
    /// halves may part.
    mutating func disturb(_ generator: inout SeededGenerator) {
        guard groups.count > 1 else { return }
        let left = generator.index(below: groups.count)
        let right = generator.index(below: groups.count)
        switch generator.index(below: 8) {
        case 0..<4:
            groups.swapAt(left, right)
        case 4..<6:
            let group = groups.remove(at: left)
            groups.insert(group, at: generator.index(below: groups.count + 1))
        case 6:
            groups[min(left, right)...max(left, right)].reverse()
        default:
            guard groups[left].count > 1, groups.count < 32 else { return groups.swapAt(left, right) }
            let half = groups[left].count / 2
            let rest = Array(groups[left][half...])
            groups[left] = Array(groups[left][..<half])
            groups.insert(rest, at: right)
        }
    }

    /// The arrangement in which consecutive groups share a stage and every peer follows a near one.
    func arrangement(stages: Int, replicas: Int, affinity: Affinity) -> Arrangement {
        let table = Template.regionPerStage(groups.flatMap(\.self), stages: stages, replicas: replicas)
            .matched(affinity)
        return Arrangement(
            pipelines: (0..<replicas).map { replica in table.stages.map { $0[replica] } }, spares: table.spares)
    }
}
