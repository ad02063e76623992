internal import CSodium
internal import Crypto

/// The cipher of bulk stream records, under a key that comes out of the Noise handshake.
///
/// AES-256-GCM from swift-crypto is several times faster than libsodium's ChaCha20-Poly1305 where the processor has AES
/// instructions; which of the two a stream uses is negotiated inside the handshake hash.
package struct BulkCipher: Sendable {
    /// The suites a stream may use; raw values go over the wire.
    package enum Suite: UInt8, Sendable, CaseIterable {
        case chaCha20Poly1305 = 1
        case aes256GCM = 2
    }

    /// Bytes that sealing adds.
    package static let tagByteCount = 16

    package let suite: Suite
    private let key: SymmetricKey  // swift-crypto zeroes its storage when it is released

    /// Takes a 32-byte key.
    package init(suite: Suite, key: borrowing SecretBytes) {
        precondition(key.count == 32, "a record key has 32 bytes")
        self.suite = suite
        self.key = key.withUnsafeBytes { SymmetricKey(data: $0) }
    }

    /// Whether this machine has AES instructions, so that AES-256-GCM is the faster suite.
    package static var prefersAES: Bool {
        Sodium.start()
        return crypto_aead_aes256gcm_is_available() == 1 || Self.isARM
    }

    private static var isARM: Bool {
        #if arch(arm64)
            return true
        #else
            return false
        #endif
    }

    /// Seals one record and lends ciphertext and tag, one after the other. `counter` must never repeat under this key.
    package func seal(
        _ plaintext: UnsafeRawBufferPointer, counter: UInt64, associatedData: UnsafeRawBufferPointer,
        emit: (UnsafeRawBufferPointer) -> Void
    ) throws(BulkCipherError) {
        do {
            switch suite {
            case .aes256GCM:
                let box = try AES.GCM.seal(
                    plaintext, using: key, nonce: AES.GCM.Nonce(data: Self.nonce(counter)),
                    authenticating: associatedData)
                Self.lend(box.ciphertext, to: emit)
                Self.lend(box.tag, to: emit)
            case .chaCha20Poly1305:
                let box = try Crypto.ChaChaPoly.seal(
                    plaintext, using: key, nonce: Crypto.ChaChaPoly.Nonce(data: Self.nonce(counter)),
                    authenticating: associatedData)
                Self.lend(box.ciphertext, to: emit)
                Self.lend(box.tag, to: emit)
            }
        } catch { throw BulkCipherError.sealFailed }
    }

    /// Opens ciphertext followed by its tag and lends the plaintext; throws if anything was altered.
    package func open(
        _ sealed: UnsafeRawBufferPointer, counter: UInt64, associatedData: UnsafeRawBufferPointer,
        emit: (UnsafeRawBufferPointer) -> Void
    ) throws(BulkCipherError) {
        guard sealed.count >= Self.tagByteCount else { throw .notAuthentic }
        let ciphertext = UnsafeRawBufferPointer(rebasing: sealed[..<(sealed.count - Self.tagByteCount)])
        let tag = UnsafeRawBufferPointer(rebasing: sealed[(sealed.count - Self.tagByteCount)...])
        do {
            switch suite {
            case .aes256GCM:
                let box = try AES.GCM.SealedBox(
                    nonce: AES.GCM.Nonce(data: Self.nonce(counter)), ciphertext: ciphertext, tag: tag)
                Self.lend(try AES.GCM.open(box, using: key, authenticating: associatedData), to: emit)
            case .chaCha20Poly1305:
                let box = try Crypto.ChaChaPoly.SealedBox(
                    nonce: Crypto.ChaChaPoly.Nonce(data: Self.nonce(counter)), ciphertext: ciphertext, tag: tag)
                Self.lend(try Crypto.ChaChaPoly.open(box, using: key, authenticating: associatedData), to: emit)
            }
        } catch { throw BulkCipherError.notAuthentic }
    }

    /// swift-crypto hands out Foundation's `Data`, which is contiguous; this reads it without importing Foundation.
    private static func lend(_ bytes: some Sequence<UInt8>, to emit: (UnsafeRawBufferPointer) -> Void) {
        let lent: Void? = bytes.withContiguousStorageIfAvailable { emit(UnsafeRawBufferPointer($0)) }
        if lent == nil { Array(bytes).withUnsafeBytes(emit) }
    }

    /// Four zero bytes, then the counter in little-endian order, as for the Noise ciphers.
    private static func nonce(_ counter: UInt64) -> [UInt8] {
        [0, 0, 0, 0] + (0..<8).map { UInt8(truncatingIfNeeded: counter >> UInt64($0 * 8)) }
    }
}

/// Why a record could not be sealed or opened.
package enum BulkCipherError: Error, Equatable, Sendable {
    case sealFailed
    case notAuthentic
}
