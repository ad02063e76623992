/// Whether pipelines of given peers can do all micro-batches and still exchange their gradients: the last test of
/// `PartitionBound`.
///
/// Nothing leaves a pipeline before its first stage to have gradients has them (`SetCapacity`), a window before the end. In
/// these windows the links between the pipelines carry what all must know of each other (`CrossingLinks`), and each stage's
/// links its own gradients. A pipeline does fewer micro-batches the longer its window is (`SetAllowance`). Which windows leave
/// time for all is sought on a grid: a window between two of its lines carries no more than the longer and leaves no more time
/// than the shorter; what the others could do at best narrows each pipeline's, and halves of the widest range are looked at if
/// that leaves a choice.
struct DivisionExchange {
    private let capacity: SetCapacity
    private let tables: CostTables
    private let sets: PeerSets
    /// Seconds between two lines of the grid.
    private let line: Double
    /// By set: seconds in which its gradients can leave it.
    private let leaving: [Double]
    private var allowance: SetAllowance
    /// By set and lines: the most micro-batches of a pipeline with such a window.
    private var known: [Int: Int] = [:]

    /// Lines of the grid, over the whole time.
    private static let lines = 256

    init(_ capacity: SetCapacity, leaving: [Double], allowance: SetAllowance, time: Double) {
        self.capacity = capacity
        self.leaving = leaving
        self.allowance = allowance
        tables = capacity.tables
        sets = capacity.sets
        line = time / Double(Self.lines)
    }

    /// Whether the pipelines could do all micro-batches and exchange their gradients.
    ///
    /// - Parameter nodes: what is left to spend, in parts of divisions; without any the answer is yes.
    mutating func suffices(_ chosen: [Int], nodes: inout Int) -> Bool {
        let low = chosen.map { Int(min(leaving[$0] / line * (1 - 1e-9), Double(Self.lines))) }
        guard low.allSatisfy({ $0 < Self.lines }) else { return false }
        let crossing = CrossingLinks(capacity, chosen: chosen)
        return suffices(chosen, crossing, low: low, high: chosen.map { _ in Self.lines - 1 }, nodes: &nodes)
    }

    private mutating func suffices(
        _ chosen: [Int], _ crossing: CrossingLinks, low: [Int], high: [Int], nodes: inout Int
    ) -> Bool {
        guard nodes > 0 else { return true }
        var (low, high) = (low, high)
        while true {
            let before = (low, high)
            let most = chosen.indices.map { self.most(chosen[$0], low[$0]...high[$0], nodes: &nodes) }
            let sum = most.reduce(0, +)
            guard sum >= tables.microBatches else { return false }
            guard nodes > 0 else { return true }
            for index in chosen.indices {
                let least = tables.microBatches - (sum - most[index])
                let (narrow, wide) = (low[index], high[index])
                high[index] = last(narrow...wide) { self.most(chosen[index], $0...wide, nodes: &nodes) >= least }
                low[index] = first(narrow...high[index]) {
                    self.most(chosen[index], narrow...$0, nodes: &nodes) >= least
                }
            }
            guard isEnough(crossing, high, nodes: &nodes) else { return false }
            for index in chosen.indices {
                var lines = high
                low[index] = first(low[index]...high[index]) {
                    lines[index] = $0
                    return isEnough(crossing, lines, nodes: &nodes)
                }
            }
            if (low, high) == before { break }
        }
        guard let widest = chosen.indices.max(by: { high[$0] - low[$0] < high[$1] - low[$1] }),
            high[widest] > low[widest]
        else { return true }
        let middle = (low[widest] + high[widest]) / 2
        var (lowest, highest) = (low, high)
        highest[widest] = middle
        lowest[widest] = middle + 1
        return suffices(chosen, crossing, low: low, high: highest, nodes: &nodes)
            || suffices(chosen, crossing, low: lowest, high: high, nodes: &nodes)
    }

    /// Whether windows that end before the lines after these carry all gradients.
    ///
    /// An iteration in so many has an exchange, but none ends before its window would begin, so that on average one over the
    /// number of steps of a window is added to that.
    private func isEnough(_ crossing: CrossingLinks, _ lines: [Int], nodes: inout Int) -> Bool {
        nodes -= crossing.cost
        return crossing.part(windows: lines.map { Double($0 + 1) * line * Double(tables.localSteps) }) >= 1 - 1e-9
    }

    private mutating func most(_ set: Int, _ range: ClosedRange<Int>, nodes: inout Int) -> Int {
        let position = (set * Self.lines + range.lowerBound) * Self.lines + range.upperBound
        if let most = known[position] { return most }
        let window = Double(range.lowerBound) * line...Double(range.upperBound + 1) * line
        let most = allowance.of(set, window: window, nodes: &nodes)
        known[position] = most
        return most
    }

    /// The last of a range for which something holds that holds for the first, and for all before one for which it does.
    private func last(_ range: ClosedRange<Int>, holds: (Int) -> Bool) -> Int {
        var (low, high) = (range.lowerBound, range.upperBound)
        while low < high {
            let middle = (low + high + 1) / 2
            if holds(middle) { low = middle } else { high = middle - 1 }
        }
        return low
    }

    /// The first of a range for which something holds that holds for the last, and for all after one for which it does.
    private func first(_ range: ClosedRange<Int>, holds: (Int) -> Bool) -> Int {
        var (low, high) = (range.lowerBound, range.upperBound)
        while low < high {
            let middle = (low + high) / 2
            if holds(middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
