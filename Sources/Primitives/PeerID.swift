/// The identity of a peer: its 32-byte Ed25519 public key.
///
/// Stored as four little-endian words because a dictionary look-up then costs a third of what it costs with an array
/// of bytes. Ordering is by the bytes of the key, so every peer sorts a member list the same way.
package struct PeerID: Hashable, Comparable, Sendable {
    private var words: SIMD4<UInt64>

    /// Bytes in an encoded identity.
    package static let byteCount = 32

    /// Reads 32 bytes; `nil` if there are more or fewer.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        var words = SIMD4<UInt64>()
        for (position, byte) in bytes.enumerated() {
            words[position >> 3] |= UInt64(byte) << UInt64((position & 7) << 3)
        }
        self.words = words
    }

    /// Parses the 52 characters that `description` prints; `nil` if the text is anything else.
    package init?(_ text: some StringProtocol) {
        guard let bytes = Base32.decode(text) else { return nil }
        self.init(bytes: bytes)
    }

    /// The 32 bytes of the public key.
    package var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.byteCount) { buffer, count in
            for position in 0..<Self.byteCount {
                buffer[position] = UInt8(truncatingIfNeeded: words[position >> 3] >> UInt64((position & 7) << 3))
            }
            count = Self.byteCount
        }
    }

    /// The first eight bytes as a number that is ordered like the identities.
    package var prefix: UInt64 { words[0].byteSwapped }

    package static func < (left: PeerID, right: PeerID) -> Bool {
        for word in 0..<4 where left.words[word] != right.words[word] {
            return left.words[word].byteSwapped < right.words[word].byteSwapped
        }
        return false
    }

    /// The first ten characters, for people; not unique against someone who searches for a collision.
    package var short: String { String(description.prefix(10)) }
}

extension PeerID: CustomStringConvertible {
    /// Lower-case base32 without padding, 52 characters.
    package var description: String { Base32.encode(bytes) }
}
