package import Primitives
package import Wire

/// The name of a shard by its content: SHA-256 over "weft shard 1", the byte count and the root of its Merkle tree.
///
/// The byte count is bound in (as BitTorrent v2 binds a file's length beside its pieces root) because the root alone does
/// not say at which level of the tree the pieces lie: a manifest that lied about it could only be found out by failing.
package struct ShardID: Hashable, Comparable, Sendable {
    package let digest: Digest

    package init(digest: Digest) { self.digest = digest }

    /// The id of a file of `byteCount` bytes whose tree has this root.
    package init(root: Digest, byteCount: UInt64) {
        var writer = WireWriter()
        writer.writeRaw(Array("weft shard 1".utf8))
        writer.write(byteCount)
        writer.write(root)
        digest = Digest.sha256(writer.bytes)
    }

    /// Parses the 52 characters that `description` prints; `nil` if the text is anything else.
    package init?(_ text: some StringProtocol) {
        guard let bytes = Base32.decode(text), let digest = Digest(bytes: bytes) else { return nil }
        self.digest = digest
    }

    /// The first ten characters, for people.
    package var short: String { digest.short }

    package static func < (left: ShardID, right: ShardID) -> Bool { left.digest < right.digest }
}

extension ShardID: CustomStringConvertible {
    /// Lower-case base32 without padding, 52 characters.
    package var description: String { digest.description }
}

extension ShardID: WireCodable {
    package func encode(to writer: inout WireWriter) { writer.write(digest) }

    package init(from reader: inout WireReader) throws(WireError) { digest = try reader.readDigest() }
}
