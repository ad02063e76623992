internal import CSodium

/// The public half of an X25519 key.
package struct AgreementPublicKey: Hashable, Sendable {
    private let identity: PeerID  // 32 bytes with fast hashing

    package static let byteCount = 32

    /// Reads 32 bytes; `nil` if there are more or fewer.
    package init?(bytes: some Collection<UInt8>) {
        guard let identity = PeerID(bytes: bytes) else { return nil }
        self.identity = identity
    }

    /// A key from the 32 bytes of another number, without going through an array.
    package init(words identity: PeerID) { self.identity = identity }

    package var bytes: [UInt8] { identity.bytes }

    /// The 32 bytes as a number.
    package var words: PeerID { identity }
}

/// An X25519 key pair (RFC 7748) for handshakes.
package struct AgreementKey: ~Copyable, Sendable {
    private let secret: SecretBytes

    /// The public half.
    package let publicKey: AgreementPublicKey

    /// Takes 32 random bytes as the secret scalar; `nil` if there are more or fewer.
    package init?(secret: consuming SecretBytes) {
        guard secret.count == AgreementPublicKey.byteCount else { return nil }
        Sodium.start()
        var bytes = [UInt8](repeating: 0, count: AgreementPublicKey.byteCount)
        secret.withUnsafeBytes { scalar in
            _ = crypto_scalarmult_base(&bytes, scalar.octets)
        }
        guard let publicKey = AgreementPublicKey(bytes: bytes) else { return nil }
        self.secret = secret
        self.publicKey = publicKey
    }

    /// The shared secret, or `nil` if the other key is of small order (the result would be all zero).
    package borrowing func sharedSecret(with other: AgreementPublicKey) -> SecretBytes? {
        var succeeded = false
        let shared = SecretBytes(count: 32) { output in
            secret.withUnsafeBytes { scalar in
                succeeded =
                    crypto_scalarmult(
                        output.octets, scalar.octets, other.bytes) == 0
            }
        }
        guard succeeded else { return nil }
        return shared
    }

    /// A second, equal key pair, for an endpoint that owns its own.
    package borrowing func duplicate() -> AgreementKey {
        guard let copy = AgreementKey(secret: secret.duplicate()) else {
            preconditionFailure("a key of the right length stays one")
        }
        return copy
    }

    /// Lends the secret scalar, to be written to a key file.
    package borrowing func withUnsafeSecret<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows
        -> Result
    {
        try secret.withUnsafeBytes { (bytes) throws -> Result in try body(bytes) }
    }
}
