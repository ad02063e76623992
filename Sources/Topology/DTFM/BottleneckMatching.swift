/// The perfect matching of two stages whose longest pair is shortest, by augmenting paths under a rising threshold.
///
/// A pair is as long as its rank says. The class owns its scratch memory.
final class BottleneckMatching {
    private let replicas: Int
    /// The ranks of the pairs, row-major.
    private let ranks: UnsafeMutablePointer<Int32>
    /// The columns that a row may take under the threshold.
    private let open: UnsafeMutablePointer<UInt64>
    private let rowOfColumn: UnsafeMutablePointer<Int>
    private let best: UnsafeMutablePointer<Int32>

    /// - Parameter replicas: peers of a stage, at most 64.
    init(replicas: Int) {
        self.replicas = replicas
        ranks = .allocate(capacity: replicas * replicas)
        ranks.initialize(repeating: 0, count: replicas * replicas)
        open = .allocate(capacity: replicas)
        open.initialize(repeating: 0, count: replicas)
        rowOfColumn = .allocate(capacity: replicas)
        rowOfColumn.initialize(repeating: -1, count: replicas)
        best = .allocate(capacity: replicas)
        best.initialize(repeating: 0, count: replicas)
    }

    deinit {
        ranks.deallocate()
        open.deallocate()
        rowOfColumn.deallocate()
        best.deallocate()
    }

    /// The column of each row in the matching found last.
    var columns: [Int] {
        var result = Array(repeating: 0, count: replicas)
        for column in 0..<replicas { result[rowOfColumn[column]] = column }
        return result
    }

    /// The rank of the longest pair of the best matching.
    ///
    /// No matching beats the dearest of the cheapest partners, so the search starts there and goes up.
    ///
    /// - Parameters:
    ///   - all: the ranks of all pairs of peers, row-major, with rows of `peers`.
    func bottleneck(
        _ left: UnsafePointer<Int>, _ right: UnsafePointer<Int>, ranks all: UnsafePointer<Int32>, peers: Int
    ) -> Int32 {
        let replicas = replicas
        let ranks = ranks
        let best = best
        let open = open
        let rowOfColumn = rowOfColumn
        var threshold: Int32 = 0
        for column in 0..<replicas { best[column] = .max }
        for row in 0..<replicas {
            let source = all + left[row] * peers
            let target = ranks + row * replicas
            var nearest = Int32.max
            for column in 0..<replicas {
                let rank = source[right[column]]
                target[column] = rank
                nearest = min(nearest, rank)
                best[column] = min(best[column], rank)
            }
            threshold = max(threshold, nearest)
        }
        for column in 0..<replicas {
            threshold = max(threshold, best[column])
            rowOfColumn[column] = -1
        }
        openPairs(threshold)
        for row in 0..<replicas {
            while true {
                var visited: UInt64 = 0
                if Self.augment(row, open, rowOfColumn, &visited) { break }
                // What is matched stays matched: the next longer pairs only add to what is open.
                var next = Int32.max
                for pair in 0..<(replicas * replicas) {
                    let rank = ranks[pair]
                    next = min(next, rank > threshold ? rank : .max)
                }
                threshold = next
                openPairs(threshold)
            }
        }
        return threshold
    }

    private func openPairs(_ threshold: Int32) {
        for row in 0..<replicas {
            let source = ranks + row * replicas
            var mask: UInt64 = 0
            for column in 0..<replicas { mask |= (source[column] <= threshold ? 1 : 0) &<< UInt64(column) }
            open[row] = mask
        }
    }

    /// Kuhn's augmenting path.
    private static func augment(
        _ row: Int, _ open: UnsafePointer<UInt64>, _ rowOfColumn: UnsafeMutablePointer<Int>, _ visited: inout UInt64
    ) -> Bool {
        var columns = open[row]
        while columns != 0 {
            let column = columns.trailingZeroBitCount
            columns &= columns &- 1
            if rowOfColumn[column] < 0 {
                rowOfColumn[column] = row
                return true
            }
        }
        while true {
            let rest = open[row] & ~visited
            guard rest != 0 else { return false }
            let column = rest.trailingZeroBitCount
            visited |= 1 &<< UInt64(column)
            if augment(rowOfColumn[column], open, rowOfColumn, &visited) {
                rowOfColumn[column] = row
                return true
            }
        }
    }
}
