package import Primitives
package import Wire

/// A small value that its owner signed, spread to every peer; of two with the same owner and key the higher version wins.
///
/// An empty value says that the owner has withdrawn the entry.
package struct SignedEntry: Hashable, WireCodable {
    package static let signatureContext = "entry 1"

    package let owner: PeerID
    package let key: EntryKey
    package let version: UInt64
    /// At most `Limits.entryDatagramValueBytes`.
    package let value: [UInt8]
    /// Ed25519 signature over the encoding of everything before it.
    package let signature: Signature

    /// Signs an entry of the signer's own peer.
    package init(key: EntryKey, version: UInt64, value: [UInt8], signer: Signer) {
        owner = signer.peer
        self.key = key
        self.version = version
        self.value = value
        signature = Signature(
            of: Self.signedBytes(owner: signer.peer, key: key, version: version, value: value),
            context: Self.signatureContext, by: signer)
    }

    /// Whether the owner signed it.
    package func isAuthentic(_ signer: Signer) -> Bool {
        signer.verify(owner, signature.bytes, signedBytes, Self.signatureContext)
    }

    /// SHA-256 of what the owner signed; without the signature, because one text may have several.
    package var contentDigest: Digest { Digest.sha256(signedBytes) }

    private var signedBytes: [UInt8] { Self.signedBytes(owner: owner, key: key, version: version, value: value) }

    private static func signedBytes(owner: PeerID, key: EntryKey, version: UInt64, value: [UInt8]) -> [UInt8] {
        var writer = WireWriter(reservingCapacity: 48 + value.count)
        encodeSigned(owner: owner, key: key, version: version, value: value, to: &writer)
        return writer.bytes
    }

    private static func encodeSigned(
        owner: PeerID, key: EntryKey, version: UInt64, value: [UInt8], to writer: inout WireWriter
    ) {
        writer.write(owner)
        writer.write(key)
        writer.write(version)
        writer.write(value)
    }

    package func encode(to writer: inout WireWriter) {
        Self.encodeSigned(owner: owner, key: key, version: version, value: value, to: &writer)
        writer.write(signature)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        owner = try reader.readPeer()
        key = try reader.read(EntryKey.self)
        version = try reader.read()
        value = try reader.readBytes(maximum: Limits.entryDatagramValueBytes)
        signature = try reader.readSignature()
    }
}
