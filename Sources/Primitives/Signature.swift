/// An Ed25519 signature (RFC 8032), 64 bytes.
///
/// Held in place as eight little-endian words and not as an array: a member of a swarm keeps thousands of them, and each
/// array would be an allocation of its own.
package struct Signature: Hashable, Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)

    /// Bytes in an encoded signature.
    package static let byteCount = IdentityKey.signatureByteCount

    /// Reads 64 bytes; `nil` if there are more or fewer.
    package init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self = bytes.withUnsafeBytes { Signature(memory: $0) }
    }

    /// Reads the 64 bytes at the beginning of a region that has at least so many.
    package init(memory: UnsafeRawBufferPointer) {
        precondition(memory.count >= Self.byteCount, "a signature has 64 bytes")
        withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory.prefix(64))) }
    }

    /// Signs, as the signer's own peer.
    package init(of message: [UInt8], context: String, by signer: Signer) {
        let bytes = signer.sign(message, context)
        self = bytes.withUnsafeBytes { Signature(memory: $0) }
    }

    /// The 64 bytes.
    package var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }

    /// The eight words of the encoding, for encoders.
    package func forEachWord(_ body: (UInt64) -> Void) {
        withUnsafeBytes(of: words) { memory in
            for offset in stride(from: 0, to: Self.byteCount, by: 8) {
                body(UInt64(littleEndian: memory.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            }
        }
    }

    package static func == (left: Signature, right: Signature) -> Bool {
        let (a, b) = (left.words, right.words)
        return a.0 == b.0 && a.1 == b.1 && a.2 == b.2 && a.3 == b.3 && a.4 == b.4 && a.5 == b.5 && a.6 == b.6
            && a.7 == b.7
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.7)
    }
}
