package import Primitives

/// One direction of a finished handshake: a ChaCha20-Poly1305 key and its counter (Noise, section 5.1).
///
/// A class, because a copied cipher state would be a reused nonce; two references share one counter.
package final class CipherState {
    private let key: SecretBytes

    /// The nonce that the next message takes.
    package private(set) var counter: UInt64 = 0

    /// Takes a 32-byte key.
    package init(key: consuming SecretBytes) {
        precondition(key.count == ChaChaPoly.keyByteCount, "a cipher state's key has 32 bytes")
        self.key = key
    }

    /// Seals under the next counter; `nil` once the counter is used up.
    package func seal(_ plaintext: [UInt8], associatedData: [UInt8]) -> [UInt8]? {
        guard counter < UInt64.max else { return nil }
        defer { counter += 1 }
        return ChaChaPoly.seal(plaintext, key: key, nonce: NonceCounter(counter), associatedData: associatedData)
    }

    /// Opens the next message in order; `nil`, and no step forward, if it was altered.
    package func open(_ ciphertext: some Collection<UInt8>, associatedData: [UInt8]) -> [UInt8]? {
        guard counter < UInt64.max,
            let plaintext = open(ciphertext, counter: counter, associatedData: associatedData)
        else { return nil }
        counter += 1
        return plaintext
    }

    /// Opens a message whose counter came with it; the caller keeps the replay window.
    package func open(
        _ ciphertext: some Collection<UInt8>, counter: UInt64, associatedData: [UInt8]
    ) -> [UInt8]? {
        ChaChaPoly.open(ciphertext, key: key, nonce: NonceCounter(counter), associatedData: associatedData)
    }

    /// Lends the raw key, for a record cipher that takes the state's place; the state must not be used afterwards.
    func withKey<Result>(_ body: (borrowing SecretBytes) -> Result) -> Result { body(key) }
}
