package import Wire

/// Which pieces of a shard someone holds.
package struct PieceBitmap: Hashable, Sendable {
    /// Pieces of the shard, held or not.
    package let pieceCount: Int
    /// Pieces held.
    package private(set) var heldCount: Int
    private var words: [UInt64]

    /// A bitmap of none, or all, of `pieceCount` pieces.
    package init(pieceCount: Int, full: Bool = false) {
        self.pieceCount = pieceCount
        heldCount = 0
        words = Array(repeating: 0, count: (pieceCount + 63) / 64)
        if full {
            for index in 0..<pieceCount { insert(index) }
        }
    }

    package var isComplete: Bool { heldCount == pieceCount }

    /// Whether the piece is held; false for a piece that does not exist.
    package func contains(_ index: Int) -> Bool {
        guard index >= 0, index < pieceCount else { return false }
        return words[index >> 6] >> UInt64(index & 63) & 1 == 1
    }

    /// Marks a piece as held; does nothing for a piece that does not exist.
    package mutating func insert(_ index: Int) {
        guard index >= 0, index < pieceCount, !contains(index) else { return }
        words[index >> 6] |= 1 << UInt64(index & 63)
        heldCount += 1
    }

    /// Marks a piece as not held.
    package mutating func remove(_ index: Int) {
        guard contains(index) else { return }
        words[index >> 6] &= ~(1 << UInt64(index & 63))
        heldCount -= 1
    }

    /// The pieces not held, in order.
    package var missing: [Int] { (0..<pieceCount).filter { !contains($0) } }
}

extension PieceBitmap: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.writeVarint(UInt64(pieceCount))
        for byte in 0..<((pieceCount + 7) / 8) {
            writer.write(UInt8(truncatingIfNeeded: words[byte >> 3] >> UInt64((byte & 7) << 3)))
        }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        pieceCount = try reader.readCount(maximum: Limits.piecesPerShard)
        let bytes = try reader.readRaw((pieceCount + 7) / 8)
        words = Array(repeating: 0, count: (pieceCount + 63) / 64)
        heldCount = 0
        for (position, byte) in bytes.enumerated() {
            words[position >> 3] |= UInt64(byte) << UInt64((position & 7) << 3)
            heldCount += byte.nonzeroBitCount
        }
        // Bits beyond the last piece would be a second spelling of the same set.
        if let last = bytes.last, pieceCount & 7 != 0, last >> UInt8(pieceCount & 7) != 0 { throw .notCanonical }
    }
}
