/// The identity of a peer: its 32-byte Ed25519 public key.
///
/// Stored as four little-endian words because a dictionary look-up then costs a third of what it costs with an array
/// of bytes. Ordering is by the bytes of the key, so every peer sorts a member list the same way.
///
/// Not one SIMD4: its alignment of 32 bytes is more than the 16 that frames of async functions get, and the compiler then
/// frees and uses such frames at wrong addresses (seen with Swift 6.3.1: "freed pointer was not the last allocation").
package struct PeerID: Hashable, Comparable, Sendable {
    private var words: Words

    /// Four words with the alignment of one.
    private struct Words: Hashable, Sendable {
        var first: UInt64 = 0
        var second: UInt64 = 0
        var third: UInt64 = 0
        var fourth: UInt64 = 0

        subscript(index: Int) -> UInt64 {
            get {
                switch index {
                case 0: first
                case 1: second
                case 2: third
                default: fourth
                }
            }
            set {
                switch index {
                case 0: first = newValue
                case 1: second = newValue
                case 2: third = newValue
                default: fourth = newValue
                }
            }
        }
    }

    /// Bytes in an encoded identity.
    package static let byteCount = 32

    /// Reads 32 bytes; `nil` if there are more or fewer.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        let fast = bytes.withContiguousStorageIfAvailable { PeerID(memory: UnsafeRawBufferPointer($0)) }
        self = fast ?? Array(bytes).withUnsafeBytes { PeerID(memory: $0) }
    }

    /// Reads the 32 bytes at the beginning of a region that has at least so many. Identities are most of what the decoders
    /// of a swarm read, and a generic collection costs twenty times as much.
    package init(memory: UnsafeRawBufferPointer) {
        precondition(memory.count >= Self.byteCount, "an identity has 32 bytes")
        words = Words()
        for index in 0..<4 {
            words[index] = UInt64(littleEndian: memory.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
        }
    }

    /// The four little-endian words of the key, for encoders.
    package func forEachWord(_ body: (UInt64) -> Void) {
        for index in 0..<4 { body(words[index]) }
    }

    /// Parses the 52 characters that `description` prints; `nil` if the text is anything else.
    package init?(_ text: some StringProtocol) {
        guard let bytes = Base32.decode(text) else { return nil }
        self.init(bytes: bytes)
    }

    /// One word is enough to spread keys over a table, whose seed is random.
    package func hash(into hasher: inout Hasher) { hasher.combine(words[0]) }

    /// The 32 bytes of the public key.
    package var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.byteCount) { buffer, count in
            let memory = UnsafeMutableRawBufferPointer(buffer)
            for index in 0..<4 {
                memory.storeBytes(of: words[index].littleEndian, toByteOffset: 8 * index, as: UInt64.self)
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
