internal import Primitives

/// Which peers form which pipelines in which order, and who is spare: what the annealing changes.
struct Arrangement: Hashable {
    var pipelines: [[Int]]
    var spares: [Int]
    /// The cuts of all pipelines with so many stages, where they are not left to the builder. Pipelines that are cut alike
    /// keep the exchange of gradients inside their stages, and a stage that holds a few layers less has memory for the more
    /// micro-batches that long links ask for.
    var cuts: [Int: [Range<Int>]] = [:]

    /// What moves may do to the shape.
    struct Freedom {
        /// Stages of every pipeline, if given.
        var stages: Int?
        /// Pipelines, if given.
        var replicas: Int?
        /// No pipeline may be longer than the model has layers.
        var layers: Int
        /// No more pipelines than micro-batches.
        var microBatches: Int
    }

    /// Changes the arrangement a little; returns the pipelines that changed (by index), or `nil` if the number or order of
    /// pipelines changed, or an empty list if the move was not possible.
    mutating func disturb(_ generator: inout SeededGenerator, freedom: Freedom, affinity: Affinity) -> [Int]? {
        let kind = generator.index(below: 20)
        switch kind {
        case 0..<7: return swapPeers(&generator)
        case 7..<9: return reverse(&generator)
        case 9: return swapColumns(&generator)
        case 10: return exchangeTails(&generator)
        case 11..<14: return movePeer(&generator, freedom: freedom)
        case 14..<16: return changePipelines(&generator, freedom: freedom)
        case 16..<18: return swapGroups(&generator, affinity)
        default: return matchTails(&generator, affinity)
        }
    }

    /// Moves one layer over a boundary in all pipelines of one length, or leaves their cuts to the builder again.
    ///
    /// - Parameter current: the cuts of the pipeline of this rank as they are.
    mutating func shiftCut(
        _ generator: inout SeededGenerator, current: (Int) -> [Range<Int>]
    ) -> Bool {
        let rank = generator.index(below: pipelines.count)
        let stages = pipelines[rank].count
        guard stages > 1 else { return false }
        if cuts[stages] != nil, generator.index(below: 8) == 0 {
            cuts[stages] = nil
            return true
        }
        var next = cuts[stages] ?? current(rank)
        let boundary = 1 + generator.index(below: stages - 1)
        let cut = next[boundary].lowerBound + (generator.index(below: 2) == 0 ? 1 : -1)
        guard cut > next[boundary - 1].lowerBound, cut < next[boundary].upperBound else { return false }
        next[boundary - 1] = next[boundary - 1].lowerBound..<cut
        next[boundary] = cut..<next[boundary].upperBound
        cuts[stages] = next
        return true
    }

    /// Lets two groups of near peers change places, peer by peer: two regions, for example.
    private mutating func swapGroups(_ generator: inout SeededGenerator, _ affinity: Affinity) -> [Int] {
        guard !affinity.groupings.isEmpty else { return [] }
        let groups = affinity.groupings[generator.index(below: affinity.groupings.count)]
        let left = generator.index(below: groups.count)
        let right = generator.index(below: groups.count)
        guard left != right else { return [] }
        return rotate([groups[left], groups[right]])
    }

    /// Puts the peers of each group where those of the one before were, peer by peer, the last group's in place of the
    /// first's; returns the pipelines that changed.
    mutating func rotate(_ groups: [[Int]]) -> [Int] {
        let size = groups.map(\.count).min() ?? 0
        var successor: [Int: Int] = [:]
        for (index, group) in groups.enumerated() {
            let next = groups[index + 1 < groups.count ? index + 1 : 0]
            for position in 0..<size { successor[group[position]] = next[position] }
        }
        var changed: [Int] = []
        for index in pipelines.indices {
            var isChanged = false
            for stage in pipelines[index].indices {
                guard let other = successor[pipelines[index][stage]] else { continue }
                pipelines[index][stage] = other
                isChanged = true
            }
            if isChanged { changed.append(index) }
        }
        for index in spares.indices { spares[index] = successor[spares[index]] ?? spares[index] }
        return changed
    }

    /// Cuts all pipelines that are long enough after the same stage and joins the parts again, nearest pairs first.
    private mutating func matchTails(_ generator: inout SeededGenerator, _ affinity: Affinity) -> [Int] {
        let longest = pipelines.map(\.count).max() ?? 0
        guard longest > 1 else { return [] }
        let cut = 1 + generator.index(below: longest - 1)
        let long = pipelines.indices.filter { pipelines[$0].count > cut }
        guard long.count > 1, long.count <= 128 else { return [] }
        let order = Self.matching(
            long.map { pipelines[$0][cut - 1] }, long.map { pipelines[$0][cut] }, affinity: affinity)
        let tails = long.map { Array(pipelines[$0][cut...]) }
        guard tails.allSatisfy({ $0.count == tails[0].count }) || pipelines.count > 1 else { return [] }
        var changed: [Int] = []
        for (row, column) in order.enumerated() where row != column {
            pipelines[long[row]].replaceSubrange(cut..., with: tails[column])
            changed.append(long[row])
        }
        return changed
    }

    /// Pairs each left peer with a right one, nearest pairs first; the column of each row.
    static func matching(_ left: [Int], _ right: [Int], affinity: Affinity) -> [Int] {
        var pairs: [(cost: Double, row: Int, column: Int)] = []
        pairs.reserveCapacity(left.count * right.count)
        for (row, from) in left.enumerated() {
            for (column, to) in right.enumerated() {
                // A pair that is joined already goes before its equals, so that a good order is left alone.
                pairs.append((affinity.cost(from, to) * (row == column ? 0.999999 : 1), row, column))
            }
        }
        pairs.sort { ($0.cost, $0.row, $0.column) < ($1.cost, $1.row, $1.column) }
        var result = Array(repeating: -1, count: left.count)
        var isTaken = Array(repeating: false, count: right.count)
        for pair in pairs where result[pair.row] < 0 && !isTaken[pair.column] {
            result[pair.row] = pair.column
            isTaken[pair.column] = true
        }
        return result
    }

    private func position(_ generator: inout SeededGenerator) -> (pipeline: Int, stage: Int) {
        let pipeline = generator.index(below: pipelines.count)
        return (pipeline, generator.index(below: pipelines[pipeline].count))
    }

    private mutating func swapPeers(_ generator: inout SeededGenerator) -> [Int] {
        let first = position(&generator)
        let used = pipelines.reduce(0) { $0 + $1.count }
        if !spares.isEmpty, generator.index(below: used + spares.count) < spares.count {
            let spare = generator.index(below: spares.count)
            swap(&pipelines[first.pipeline][first.stage], &spares[spare])
            return [first.pipeline]
        }
        let second = position(&generator)
        guard first != second else { return [] }
        let peer = pipelines[first.pipeline][first.stage]
        pipelines[first.pipeline][first.stage] = pipelines[second.pipeline][second.stage]
        pipelines[second.pipeline][second.stage] = peer
        return first.pipeline == second.pipeline ? [first.pipeline] : [first.pipeline, second.pipeline]
    }

    private mutating func reverse(_ generator: inout SeededGenerator) -> [Int] {
        let first = position(&generator)
        let other = generator.index(below: pipelines[first.pipeline].count)
        guard other != first.stage else { return [] }
        pipelines[first.pipeline][min(first.stage, other)...max(first.stage, other)].reverse()
        return [first.pipeline]
    }

    private mutating func swapColumns(_ generator: inout SeededGenerator) -> [Int] {
        let shortest = pipelines.map(\.count).min() ?? 0
        guard shortest > 1 else { return [] }
        let left = generator.index(below: shortest)
        let right = generator.index(below: shortest)
        guard left != right else { return [] }
        if generator.index(below: 4) == 0 {
            for index in pipelines.indices { pipelines[index].reverse() }
        } else {
            for index in pipelines.indices { pipelines[index].swapAt(left, right) }
        }
        return Array(pipelines.indices)
    }

    private mutating func exchangeTails(_ generator: inout SeededGenerator) -> [Int] {
        let first = generator.index(below: pipelines.count)
        let second = generator.index(below: pipelines.count)
        let shortest = min(pipelines[first].count, pipelines[second].count)
        guard first != second, shortest > 1 else { return [] }
        let cut = 1 + generator.index(below: shortest - 1)
        for stage in cut..<shortest {
            let peer = pipelines[first][stage]
            pipelines[first][stage] = pipelines[second][stage]
            pipelines[second][stage] = peer
        }
        return [first, second]
    }

    /// Takes a peer out of a pipeline or the spares and puts it into another pipeline or the spares.
    private mutating func movePeer(_ generator: inout SeededGenerator, freedom: Freedom) -> [Int]? {
        guard freedom.stages == nil else { return [] }
        let target = generator.index(below: pipelines.count + 1)
        var changed: [Int] = []
        let peer: Int
        let source: Int
        if !spares.isEmpty, generator.index(below: 2) == 0 {
            peer = spares.remove(at: generator.index(below: spares.count))
            source = -1
        } else {
            let from = position(&generator)
            guard pipelines[from.pipeline].count > 1, target != from.pipeline else { return [] }
            peer = pipelines[from.pipeline].remove(at: from.stage)
            source = from.pipeline
            changed.append(source)
        }
        if target == pipelines.count {
            spares.append(peer)
            return changed
        }
        guard pipelines[target].count < freedom.layers else {
            spares.append(peer)
            return changed
        }
        pipelines[target].insert(peer, at: generator.index(below: pipelines[target].count + 1))
        changed.append(target)
        return changed
    }

    /// Splits, joins, dissolves or founds a pipeline.
    private mutating func changePipelines(_ generator: inout SeededGenerator, freedom: Freedom) -> [Int]? {
        guard freedom.replicas == nil else { return [] }
        switch generator.index(below: 3) {
        case 0 where freedom.stages == nil && pipelines.count < freedom.microBatches:
            let index = generator.index(below: pipelines.count)
            guard pipelines[index].count > 1 else { return [] }
            let cut = 1 + generator.index(below: pipelines[index].count - 1)
            pipelines.append(Array(pipelines[index][cut...]))
            pipelines[index].removeSubrange(cut...)
            return nil
        case 1 where freedom.stages == nil && pipelines.count > 1:
            let first = generator.index(below: pipelines.count)
            let second = generator.index(below: pipelines.count)
            guard first != second, pipelines[first].count + pipelines[second].count <= freedom.layers else {
                return []
            }
            pipelines[first] += pipelines[second]
            pipelines.remove(at: second)
            return nil
        default:
            let length = freedom.stages ?? (1 + generator.index(below: freedom.layers))
            if spares.count >= length, pipelines.count < freedom.microBatches, generator.index(below: 2) == 0 {
                generator.shuffle(&spares)
                pipelines.append(Array(spares.suffix(length)))
                spares.removeLast(length)
                return nil
            }
            guard pipelines.count > 1 else { return [] }
            spares += pipelines.remove(at: generator.index(below: pipelines.count))
            return nil
        }
    }
}
