internal import CSodium

/// An Ed25519 signing key; its public half is the peer's identity.
package struct IdentityKey: ~Copyable, Sendable {
    /// Bytes in a seed and in a signature.
    package static let seedByteCount = 32
    package static let signatureByteCount = 64

    private let secretKey: SecretBytes  // libsodium's form: seed and public key

    /// The public half.
    package let peer: PeerID

    /// Derives the key pair from 32 random bytes; `nil` if the seed has another length.
    package init?(seed: borrowing SecretBytes) {
        guard seed.count == Self.seedByteCount else { return nil }
        var publicKey = [UInt8](repeating: 0, count: Int(crypto_sign_PUBLICKEYBYTES))
        secretKey = SecretBytes(count: Int(crypto_sign_SECRETKEYBYTES)) { secret in
            seed.withUnsafeBytes { seed in
                _ = crypto_sign_seed_keypair(
                    &publicKey, secret.octets, seed.octets)
            }
        }
        guard let peer = PeerID(bytes: publicKey) else { preconditionFailure("an Ed25519 public key has 32 bytes") }
        self.peer = peer
    }

    /// A 64-byte signature over `context`, a zero byte and the message. The context keeps a signature made for one
    /// purpose from being valid for another.
    package borrowing func sign(_ message: [UInt8], context: String) -> [UInt8] {
        signExactly(SignatureContext.frame(message, context))
    }

    /// The plain Ed25519 signature (RFC 8032) of exactly these bytes. Nothing in a protocol uses it, since it lacks a
    /// context; the published test vectors do.
    package borrowing func signExactly(_ bytes: [UInt8]) -> [UInt8] {
        var signature = [UInt8](repeating: 0, count: Self.signatureByteCount)
        secretKey.withUnsafeBytes { secret in
            _ = crypto_sign_detached(
                &signature, nil, bytes, UInt64(bytes.count), secret.octets)
        }
        return signature
    }
}

extension PeerID {
    /// Whether this peer signed the message for this context.
    package func verify(_ signature: [UInt8], of message: [UInt8], context: String) -> Bool {
        verifyExactly(signature, of: SignatureContext.frame(message, context))
    }

    /// Whether this is a plain Ed25519 signature (RFC 8032) of exactly these bytes; the twin of `signExactly`.
    package func verifyExactly(_ signature: [UInt8], of message: [UInt8]) -> Bool {
        guard signature.count == IdentityKey.signatureByteCount else { return false }
        Sodium.start()
        return crypto_sign_verify_detached(signature, message, UInt64(message.count), bytes) == 0
    }
}

private enum SignatureContext {
    static func frame(_ message: [UInt8], _ context: String) -> [UInt8] { Array(context.utf8) + [0] + message }
}
