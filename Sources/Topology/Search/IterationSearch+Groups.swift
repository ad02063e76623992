internal import Primitives

/// Orders of whole groups of near peers, found by descent under the rough price.
extension IterationSearch {
    /// Adds the best orders of groups for every shape, found by descent under the rough price.
    mutating func orderGroups(trials: Int) {
        let shapes = Self.shapes(problem, peers: budget.mostPeers, layers: tables.layers)
        let groupings = orderedGroupings
        let share = trials / max(1, shapes.count * groupings.count)
        guard share > 0 else { return }
        for shape in shapes where shape.stages > 1 {
            for groups in groupings {
                guard
                    let found = bestOrder(
                        of: groups, stages: shape.stages, replicas: shape.replicas, trials: share)
                else { continue }
                starts.append(found)
            }
        }
    }

    var orderedGroupings: [[[Int]]] {
        Array(affinity.groupings.filter { (2...24).contains($0.count) }.prefix(2))
    }

    mutating func bestOrder(of groups: [[Int]], stages: Int, replicas: Int, trials: Int) -> Arrangement? {
        let wasRough = builders[0].isRough
        builders[0].isRough = true
        builder = 0
        var best = GroupOrder(groups: groups)
        var seconds = Double.infinity
        for _ in 0..<trials {
            var next = best
            if seconds.isFinite { next.disturb(&generator) } else { generator.shuffle(&next.groups) }
            let arrangement = next.arrangement(stages: stages, replicas: replicas, affinity: affinity)
            pipelines = []
            guard budget.allows(arrangement.pipelines.joined()), let built = build(arrangement, changed: nil)
            else { continue }
            let value = price(built, of: arrangement, limit: seconds).seconds
            guard value <= seconds, value.isFinite else { continue }
            best = next
            seconds = value
        }
        builders[0].isRough = wasRough
        return seconds.isFinite ? best.arrangement(stages: stages, replicas: replicas, affinity: affinity) : nil
    }
}
