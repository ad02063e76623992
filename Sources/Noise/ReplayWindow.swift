/// Which counters of a session have been seen: the sliding bitmap of RFC 6479, whose ring of words never shifts bits.
///
/// Order of use: `mayAccept`, then open the datagram, then `mark`; a forged counter must not move the window.
package struct ReplayWindow: Sendable {
    private static let wordCount = 32
    /// Counters behind the greatest one that are still told apart; one word of the ring is always being refilled.
    package static let size = UInt64((wordCount - 1) * 64)

    private var words = [UInt64](repeating: 0, count: wordCount)

    /// The greatest counter marked, and `nil` before the first.
    package private(set) var greatest: UInt64?

    package init() {}

    /// Whether the counter is new and not too old to know.
    package func mayAccept(_ counter: UInt64) -> Bool {
        guard let greatest, counter <= greatest else { return true }
        guard greatest - counter < Self.size else { return false }
        return words[Self.word(counter)] & Self.bit(counter) == 0
    }

    /// Remembers the counter of an authentic datagram; `false` if it was not acceptable.
    @discardableResult
    package mutating func mark(_ counter: UInt64) -> Bool {
        guard mayAccept(counter) else { return false }
        if counter > greatest ?? 0 {
            let first = (greatest ?? 0) >> 6
            let steps = min((counter >> 6) - first, UInt64(Self.wordCount))
            for step in 0..<steps { words[Int((first + 1 + step) % UInt64(Self.wordCount))] = 0 }
        }
        greatest = max(greatest ?? 0, counter)
        words[Self.word(counter)] |= Self.bit(counter)
        return true
    }

    private static func word(_ counter: UInt64) -> Int { Int((counter >> 6) % UInt64(wordCount)) }

    private static func bit(_ counter: UInt64) -> UInt64 { 1 << (counter & 63) }
}
