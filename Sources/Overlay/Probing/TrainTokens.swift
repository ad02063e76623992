package import Primitives

/// Unpredictable numbers at the ends of a session's train packets. Who receives a packet learns its token; whoever reports on a
/// train has to prove with them what it received, so that nobody can claim packets that did not arrive.
package struct TrainTokens: Sendable {
    /// Tokens in one hash.
    private static let perHash = 4

    private let key: [UInt8]

    /// - Parameters:
    ///   - secret: Known to this peer alone.
    ///   - serial: Number of this session among all of this peer's, so that no token ever comes again, whoever chose the
    ///     session's identifier.
    package init(secret: Digest, serial: UInt64) {
        key = Digest.sha256(secret.bytes + (0..<8).map { UInt8(truncatingIfNeeded: serial >> (8 * $0)) }).bytes
    }

    /// The tokens of all packets of a train.
    func tokens(ofTrain train: Int, count: Int) -> [UInt64] {
        var tokens: [UInt64] = []
        tokens.reserveCapacity(count + Self.perHash)
        var input = key + [UInt8(truncatingIfNeeded: train), 0, 0]
        for block in 0..<((count + Self.perHash - 1) / Self.perHash) {
            input[input.count - 2] = UInt8(truncatingIfNeeded: block)
            input[input.count - 1] = UInt8(truncatingIfNeeded: block >> 8)
            let bytes = Digest.sha256(input).bytes
            for word in 0..<Self.perHash {
                tokens.append(bytes[(word * 8)..<(word * 8 + 8)].reduce(0) { $0 << 8 | UInt64($1) })
            }
        }
        tokens.removeLast(tokens.count - count)
        return tokens
    }

    /// The proof that a receiver of these packets can give: the exclusive or of their tokens. Without one of the tokens it is
    /// as unknown as that token.
    static func proof(_ tokens: [UInt64], _ arrived: ArrivedPackets) -> UInt64 {
        tokens.indices.reduce(0) { arrived.contains($1) ? $0 ^ tokens[$1] : $0 }
    }
}

/// Which packets of a train arrived.
package struct ArrivedPackets: Hashable, Sendable {
    /// Bit i of byte i / 8 for packet i; empty if all arrived.
    package let bitmap: [UInt8]

    package init(bitmap: [UInt8]) { self.bitmap = bitmap }

    /// All of them.
    package static let all = ArrivedPackets(bitmap: [])

    init(_ seen: [Bool]) {
        guard seen.contains(false) else {
            self = .all
            return
        }
        var bitmap = [UInt8](repeating: 0, count: (seen.count + 7) / 8)
        for index in seen.indices where seen[index] { bitmap[index / 8] |= 1 << UInt8(index % 8) }
        self.bitmap = bitmap
    }

    func contains(_ index: Int) -> Bool {
        bitmap.isEmpty || index / 8 < bitmap.count && bitmap[index / 8] & (1 << UInt8(index % 8)) != 0
    }

    /// How many of a train's packets arrived.
    func count(of packets: Int) -> Int {
        bitmap.isEmpty ? packets : (0..<packets).count { contains($0) }
    }
}
