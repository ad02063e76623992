import Primitives
import Wire

/// Values to make seeds from. All of them are fixed, so that the corpora can be made again byte for byte.
enum FuzzSamples {
    /// Bytes that differ from salt to salt.
    static func bytes(_ count: Int, _ salt: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: salt)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    }

    /// An identity that nobody holds the key of.
    static func peer(_ index: UInt64) -> PeerID {
        guard let peer = PeerID(bytes: bytes(PeerID.byteCount, 100 + index)) else {
            preconditionFailure("the sample has as many bytes as an identity")
        }
        return peer
    }

    /// A public key that nobody holds the secret of.
    static func agreementKey(_ index: UInt64) -> AgreementPublicKey {
        guard let key = AgreementPublicKey(bytes: bytes(AgreementPublicKey.byteCount, 200 + index)) else {
            preconditionFailure("the sample has as many bytes as a key")
        }
        return key
    }

    /// A digest of nothing in particular.
    static func digest(_ index: UInt64) -> Digest {
        guard let digest = Digest(bytes: bytes(Digest.byteCount, 300 + index)) else {
            preconditionFailure("the sample has as many bytes as a digest")
        }
        return digest
    }

    static let addresses: [NetworkAddress] =
        ["192.0.2.1:7600", "[2001:db8::1]:7600", "127.0.0.1:65535"].compactMap { NetworkAddress($0) }

    static func contact(_ index: UInt64) -> Contact {
        Contact(
            peer: peer(index), agreementKey: agreementKey(index),
            addresses: Array(addresses.prefix(Int(index % 4))))
    }

    /// Signs with zeroes and believes everything: parsers do not look at signatures.
    static func signer(_ index: UInt64) -> Signer {
        Signer(
            peer: peer(index), sign: { _, _ in [UInt8](repeating: 0, count: IdentityKey.signatureByteCount) },
            verify: { _, _, _, _ in true })
    }
}
