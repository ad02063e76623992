/// What a core needs of the identity key, so that cores never hold the key and a simulation can sign cheaply.
package struct Signer: Sendable {
    /// Who signs.
    package let peer: PeerID
    /// A 64-byte signature over the message for a context (`IdentityKey.sign`).
    package let sign: @Sendable (_ message: [UInt8], _ context: String) -> [UInt8]
    /// Whether a peer signed the message for a context (`PeerID.verify`).
    package let verify: @Sendable (_ peer: PeerID, _ signature: [UInt8], _ message: [UInt8], _ context: String) -> Bool

    package init(
        peer: PeerID, sign: @escaping @Sendable ([UInt8], String) -> [UInt8],
        verify: @escaping @Sendable (PeerID, [UInt8], [UInt8], String) -> Bool
    ) {
        self.peer = peer
        self.sign = sign
        self.verify = verify
    }

    /// Signs with a real key, which the signer then owns.
    package init(_ key: consuming IdentityKey) {
        let holder = KeyHolder(key)
        self.init(
            peer: holder.key.peer, sign: { holder.key.sign($0, context: $1) },
            verify: { $0.verify($1, of: $2, context: $3) })
    }

    private final class KeyHolder: Sendable {
        let key: IdentityKey

        init(_ key: consuming IdentityKey) { self.key = key }
    }
}

/// Where a core's secret randomness (ephemeral keys, cookie secrets) comes from: the system in production, a seed in a test.
package protocol EntropySource: Sendable {
    /// Fresh secret bytes.
    mutating func secretBytes(count: Int) -> SecretBytes
}
