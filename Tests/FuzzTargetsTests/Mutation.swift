import Primitives

/// The usual mutations of a fuzzer, without its feedback.
enum Mutation {
    /// Numbers at which counts and lengths go wrong.
    private static let interesting: [UInt64] = [
        0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF, .max,
    ]

    /// One input made from the corpus by up to four changes.
    static func mutate(
        _ corpus: [[UInt8]], maximumByteCount: Int, _ generator: inout SeededGenerator
    ) -> [UInt8] {
        var bytes = corpus.isEmpty ? [] : corpus[generator.index(below: corpus.count)]
        for _ in 0...generator.index(below: 4) {
            switch generator.index(below: 8) {
            case 0 where !bytes.isEmpty:  // flip a bit
                bytes[generator.index(below: bytes.count)] ^= 1 << UInt8(generator.index(below: 8))
            case 1 where !bytes.isEmpty:  // any byte
                bytes[generator.index(below: bytes.count)] = UInt8(truncatingIfNeeded: generator.next())
            case 2:  // cut
                bytes.removeLast(generator.index(below: bytes.count + 1))
            case 3:  // append
                bytes += (0..<generator.index(below: 16)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            case 4 where !bytes.isEmpty:  // a number over the bytes there
                let value = interesting[generator.index(below: interesting.count)]
                let start = generator.index(below: bytes.count)
                for offset in 0..<min(1 << generator.index(below: 4), bytes.count - start) {
                    bytes[start + offset] = UInt8(truncatingIfNeeded: value >> UInt64(offset * 8))
                }
            case 5 where !bytes.isEmpty:  // remove a run
                let start = generator.index(below: bytes.count)
                bytes.removeSubrange(start..<min(bytes.count, start + 1 + generator.index(below: 8)))
            case 6 where !bytes.isEmpty:  // repeat a run
                let start = generator.index(below: bytes.count)
                let run = bytes[start..<min(bytes.count, start + 1 + generator.index(below: 32))]
                bytes.insert(contentsOf: Array(run), at: start)
            default:  // an overlong varint
                let start = generator.index(below: bytes.count + 1)
                bytes.insert(contentsOf: [UInt8](repeating: 0xFF, count: 1 + generator.index(below: 10)), at: start)
            }
        }
        return Array(bytes.prefix(maximumByteCount))
    }
}
