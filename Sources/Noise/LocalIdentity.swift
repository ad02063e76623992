package import Primitives

/// Who this process is: its identity key, its X25519 key, and the identity's signature over the latter.
package final class LocalIdentity: Sendable {
    package let peer: PeerID
    package let agreementPublicKey: AgreementPublicKey
    /// Signs with the identity key.
    package let signer: Signer
    /// The X25519 key of all handshakes.
    package let staticKey: StaticKey
    /// What binds the two keys together; travels encrypted in every handshake.
    package let binding: IdentityBinding

    package init(identity: consuming IdentityKey, agreement: consuming AgreementKey) {
        peer = identity.peer
        agreementPublicKey = agreement.publicKey
        staticKey = StaticKey(agreement)
        signer = Signer(identity)
        binding = IdentityBinding(agreementKey: agreementPublicKey, signer: signer)
    }
}

/// A peer's identity with its signature over an X25519 key: 96 bytes.
package struct IdentityBinding: Hashable, Sendable {
    package static let signatureContext = "agreement key 1"
    package static let byteCount = PeerID.byteCount + IdentityKey.signatureByteCount

    package let peer: PeerID
    package let signature: [UInt8]

    /// Signs the key for the signer's own peer.
    package init(agreementKey: AgreementPublicKey, signer: Signer) {
        peer = signer.peer
        signature = signer.sign(agreementKey.bytes, Self.signatureContext)
    }

    /// Reads 96 bytes; `nil` if there are fewer.
    package init?(bytes: ArraySlice<UInt8>) {
        guard bytes.count == Self.byteCount, let peer = PeerID(bytes: bytes.prefix(PeerID.byteCount)) else {
            return nil
        }
        self.peer = peer
        signature = Array(bytes.dropFirst(PeerID.byteCount))
    }

    package var bytes: [UInt8] { peer.bytes + signature }

    /// Whether the peer really signed this X25519 key.
    package func binds(_ key: AgreementPublicKey) -> Bool {
        peer.verify(signature, of: key.bytes, context: Self.signatureContext)
    }
}
