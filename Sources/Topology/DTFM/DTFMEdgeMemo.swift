/// Bottlenecks of pairs of stages by what kinds of peers stand in them: annealing asks for the same pairs again and again.
///
/// A table without chains: a new pair takes the place of an old one. Two pairs of stages that share a 64-bit key would be
/// taken for each other; the planner therefore judges its result without the memo.
final class DTFMEdgeMemo {
    private struct Entry {
        var pair: UInt64
        var rank: Int32
    }

    private let entries: UnsafeMutablePointer<Entry>

    /// 1 MiB: larger ones leave the caches of a core.
    private static let count = 1 << 16

    init() {
        entries = .allocate(capacity: Self.count)
        entries.initialize(repeating: Entry(pair: 0, rank: 0), count: Self.count)
    }

    deinit { entries.deallocate() }

    /// The key of a stage whose peers' signatures have this sum. Keys of two stages are added to that of their pair.
    static func key(ofSum sum: UInt64) -> UInt64 {
        // SplitMix64's mixer: without it, a pair's key would not tell which peer stands in which stage.
        var value = (sum ^ (sum >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    /// The rank that is known for the pair, or else `compute`'s.
    func rank(_ pair: UInt64, compute: () -> Int32) -> Int32 {
        let entry = entries + (Int(truncatingIfNeeded: pair) & (Self.count - 1))
        if entry.pointee.pair == pair { return entry.pointee.rank }
        let rank = compute()
        entry.pointee = Entry(pair: pair, rank: rank)
        return rank
    }
}
