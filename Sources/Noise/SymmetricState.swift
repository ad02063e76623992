internal import Primitives

/// Key material of a handshake, zeroed when the last reference goes.
///
/// Not in guarded memory like `SecretBytes`: a handshake makes a dozen of these, and mapping pages for each would cost
/// as much as its Diffie-Hellman operations. Keys that outlive the handshake are `SecretBytes`.
final class KeyBytes {
    private var storage: [UInt8]

    init(_ bytes: [UInt8]) { storage = bytes }

    deinit { eraseBytes(&storage) }

    var bytes: [UInt8] { storage }

    func hmac(_ messages: [UInt8]...) -> [UInt8] {
        storage.withUnsafeBytes { key in
            switch messages.count {
            case 1: KeyedHash.hmac(key: key, messages[0])
            default: KeyedHash.hmac(key: key, Array(messages.joined()))
            }
        }
    }
}

/// The SymmetricState and handshake CipherState of the Noise specification (sections 5.1 and 5.2) for SHA-256 and
/// ChaCha20-Poly1305.
///
/// Copyable inside this module only so that reading a forged message can be undone; a nonce cannot repeat by that,
/// because a failed read seals nothing.
struct SymmetricState {
    private var chainingKey: KeyBytes
    private(set) var hash: [UInt8]
    private var key: KeyBytes?
    private var nonce = NonceCounter(0)

    init(protocolName: String) {
        let name = Array(protocolName.utf8)
        hash =
            name.count <= Digest.byteCount
            ? name + Array(repeating: 0, count: Digest.byteCount - name.count) : Digest.sha256(name).bytes
        chainingKey = KeyBytes(hash)
    }

    mutating func mixHash(_ data: [UInt8]) { hash = Digest.sha256(hash + data).bytes }

    mutating func mixKey(_ input: [UInt8]) {
        let outputs = expand(input, count: 2)
        chainingKey = outputs[0]
        setKey(outputs[1])
    }

    mutating func mixKey(_ secret: borrowing SecretBytes) {
        var copy = secret.withUnsafeBytes { Array($0) }
        mixKey(copy)
        eraseBytes(&copy)
    }

    mutating func mixKeyAndHash(_ secret: borrowing SecretBytes) {
        var copy = secret.withUnsafeBytes { Array($0) }
        let outputs = expand(copy, count: 3)
        eraseBytes(&copy)
        chainingKey = outputs[0]
        mixHash(outputs[1].bytes)
        setKey(outputs[2])
    }

    mutating func encryptAndHash(_ plaintext: [UInt8]) -> [UInt8] {
        guard let key else {
            mixHash(plaintext)
            return plaintext
        }
        let ciphertext = ChaChaPoly.seal(
            plaintext, key: SecretBytes(copying: key.bytes), nonce: nonce, associatedData: hash)
        nonce.value += 1
        mixHash(ciphertext)
        return ciphertext
    }

    mutating func decryptAndHash(_ ciphertext: [UInt8]) throws(HandshakeError) -> [UInt8] {
        guard let key else {
            mixHash(ciphertext)
            return ciphertext
        }
        guard
            let plaintext = ChaChaPoly.open(
                ciphertext, key: SecretBytes(copying: key.bytes), nonce: nonce, associatedData: hash)
        else { throw .notAuthentic }
        nonce.value += 1
        mixHash(ciphertext)
        return plaintext
    }

    /// Whether what is sent now is encrypted, and therefore has a tag.
    var hasKey: Bool { key != nil }

    /// The two transport keys, the initiator's sending key first (section 5.2, Split).
    func split() -> [KeyBytes] { expand([], count: 2) }

    private mutating func setKey(_ key: KeyBytes) {
        self.key = key
        nonce = NonceCounter(0)
    }

    /// HKDF with the chaining key as salt (section 4.3).
    private func expand(_ input: [UInt8], count: Int) -> [KeyBytes] {
        let temporary = KeyBytes(chainingKey.hmac(input))
        var outputs: [KeyBytes] = []
        for index in 1...count {
            let previous = outputs.last?.bytes ?? []
            outputs.append(KeyBytes(temporary.hmac(previous, [UInt8(index)])))
        }
        return outputs
    }
}
