internal import CSodium

/// ChaCha20-Poly1305 with a 96-bit nonce (RFC 8439), from libsodium: handshakes and datagrams.
package enum ChaChaPoly {
    package static let keyByteCount = 32
    package static let tagByteCount = 16

    /// Ciphertext followed by its tag. The key must have 32 bytes.
    package static func seal(
        _ plaintext: [UInt8], key: borrowing SecretBytes, nonce: NonceCounter, associatedData: [UInt8]
    ) -> [UInt8] {
        precondition(key.count == keyByteCount, "a ChaCha20 key has 32 bytes")
        return [UInt8](unsafeUninitializedCapacity: plaintext.count + tagByteCount) { output, count in
            let output = UnsafeMutableRawBufferPointer(output)
            var written: UInt64 = 0
            key.withUnsafeBytes { key in
                nonce.withBytes { nonce in
                    _ = crypto_aead_chacha20poly1305_ietf_encrypt(
                        output.octets, &written, plaintext, UInt64(plaintext.count), associatedData,
                        UInt64(associatedData.count), nil, nonce, key.octets)
                }
            }
            count = Int(written)
        }
    }

    /// The plaintext, or `nil` if anything was altered. The key must have 32 bytes.
    package static func open(
        _ ciphertext: some Collection<UInt8>, key: borrowing SecretBytes, nonce: NonceCounter, associatedData: [UInt8]
    ) -> [UInt8]? {
        precondition(key.count == keyByteCount, "a ChaCha20 key has 32 bytes")
        guard ciphertext.count >= tagByteCount else { return nil }
        func open(_ input: UnsafeRawBufferPointer, _ key: UnsafeRawBufferPointer) -> [UInt8]? {
            var succeeded = false
            let plaintext = [UInt8](unsafeUninitializedCapacity: input.count) { output, count in
                let output = UnsafeMutableRawBufferPointer(output)
                var written: UInt64 = 0
                nonce.withBytes { nonce in
                    succeeded =
                        crypto_aead_chacha20poly1305_ietf_decrypt(
                            output.octets, &written, nil, input.octets, UInt64(input.count), associatedData,
                            UInt64(associatedData.count), nonce, key.octets) == 0
                }
                count = succeeded ? Int(written) : 0
            }
            return succeeded ? plaintext : nil
        }
        return key.withUnsafeBytes { key in
            if let result = ciphertext.withContiguousStorageIfAvailable({ open(UnsafeRawBufferPointer($0), key) }) {
                return result
            }
            return Array(ciphertext).withUnsafeBytes { open($0, key) }
        }
    }

    /// XChaCha20-Poly1305 with a random 24-byte nonce, for cookies. The key must have 32 bytes, the nonce 24.
    package static func sealExtended(
        _ plaintext: [UInt8], key: [UInt8], nonce: [UInt8], associatedData: [UInt8]
    ) -> [UInt8] {
        precondition(
            key.count == keyByteCount && nonce.count == 24, "XChaCha20 wants a 32-byte key and a 24-byte nonce")
        Sodium.start()
        var output = [UInt8](repeating: 0, count: plaintext.count + tagByteCount)
        crypto_aead_xchacha20poly1305_ietf_encrypt(
            &output, nil, plaintext, UInt64(plaintext.count), associatedData, UInt64(associatedData.count), nil, nonce,
            key)
        return output
    }

    /// Opens what `sealExtended` made; `nil` if anything was altered or a length is wrong.
    package static func openExtended(
        _ ciphertext: [UInt8], key: [UInt8], nonce: [UInt8], associatedData: [UInt8]
    ) -> [UInt8]? {
        guard ciphertext.count >= tagByteCount, key.count == keyByteCount, nonce.count == 24 else { return nil }
        Sodium.start()
        var output = [UInt8](repeating: 0, count: ciphertext.count - tagByteCount)
        let opened = crypto_aead_xchacha20poly1305_ietf_decrypt(
            &output, nil, nil, ciphertext, UInt64(ciphertext.count), associatedData, UInt64(associatedData.count),
            nonce, key)
        return opened == 0 ? output : nil
    }
}

/// The nonce of the Noise ciphers and of our records: a 64-bit counter that never repeats under one key.
package struct NonceCounter: Hashable, Sendable {
    package var value: UInt64

    package init(_ value: UInt64) { self.value = value }

    /// Four zero bytes, then the counter in little-endian order (Noise, section 12.3).
    fileprivate func withBytes<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
        let parts: (UInt32, UInt32, UInt32) = (
            0, UInt32(truncatingIfNeeded: value).littleEndian, UInt32(truncatingIfNeeded: value >> 32).littleEndian
        )
        return withUnsafeBytes(of: parts) { body($0.octets) }
    }
}
