internal import CSodium
internal import Crypto

/// A SHA-256 value.
package struct Digest: Hashable, Comparable, Sendable {
    private let identity: PeerID  // the same 32 bytes with the same fast hashing and ordering

    /// Bytes in a digest.
    package static let byteCount = 32

    /// Reads 32 bytes; `nil` if there are more or fewer.
    package init?(bytes: some Collection<UInt8>) {
        guard let identity = PeerID(bytes: bytes) else { return nil }
        self.identity = identity
    }

    /// The 32 bytes.
    package var bytes: [UInt8] { identity.bytes }

    package static func < (left: Digest, right: Digest) -> Bool { left.identity < right.identity }

    /// SHA-256 of the bytes (swift-crypto: uses the hardware instructions, five times faster than libsodium's).
    package static func sha256(_ bytes: some Collection<UInt8>) -> Digest {
        let fast: SHA256.Digest? = bytes.withContiguousStorageIfAvailable {
            SHA256.hash(data: UnsafeRawBufferPointer($0))
        }
        return Digest(fast ?? SHA256.hash(data: Array(bytes)))
    }

    /// SHA-256 of a region of memory.
    package static func sha256(_ bytes: UnsafeRawBufferPointer) -> Digest { Digest(SHA256.hash(data: bytes)) }

    private init(_ digest: SHA256.Digest) {
        guard let identity = digest.withUnsafeBytes({ PeerID(bytes: $0) }) else {
            preconditionFailure("SHA-256 always has 32 bytes")
        }
        self.identity = identity
    }
}

extension Digest: CustomStringConvertible {
    /// Lower-case base32 without padding, 52 characters.
    package var description: String { identity.description }

    /// The first ten characters, for people.
    package var short: String { identity.short }
}

/// SHA-256 over data that arrives in parts.
package struct DigestBuilder {
    private var hasher = SHA256()

    package init() {}

    package mutating func update(_ bytes: some Collection<UInt8>) {
        let done: Void? = bytes.withContiguousStorageIfAvailable {
            hasher.update(bufferPointer: UnsafeRawBufferPointer($0))
        }
        if done == nil { hasher.update(data: Array(bytes)) }
    }

    /// The digest of everything so far.
    package func finish() -> Digest {
        let value = hasher.finalize()
        guard let digest = value.withUnsafeBytes({ Digest(bytes: $0) }) else {
            preconditionFailure("SHA-256 always has 32 bytes")
        }
        return digest
    }
}

/// HMAC-SHA256 (RFC 2104) and HKDF (RFC 5869) as Noise uses them, from libsodium.
package enum KeyedHash {
    /// HMAC-SHA256 of the message under a key of any length.
    package static func hmac(key: UnsafeRawBufferPointer, _ messages: [UInt8]...) -> [UInt8] {
        Sodium.start()
        var state = crypto_auth_hmacsha256_state()
        let oneByte: [UInt8] = [0]  // an empty key has no address
        _ = oneByte.withUnsafeBytes {
            crypto_auth_hmacsha256_init(&state, key.isEmpty ? $0.octets : key.octets, key.count)
        }
        for message in messages { crypto_auth_hmacsha256_update(&state, message, UInt64(message.count)) }
        var output = [UInt8](repeating: 0, count: 32)
        crypto_auth_hmacsha256_final(&state, &output)
        withUnsafeMutableBytes(of: &state) { memory in
            if let base = memory.baseAddress { sodium_memzero(base, memory.count) }
        }
        return output
    }

    /// HMAC-SHA256 under a secret key.
    package static func hmac(key: borrowing SecretBytes, _ message: [UInt8]) -> [UInt8] {
        key.withUnsafeBytes { hmac(key: $0, message) }
    }

    /// HMAC-SHA256 under a key that is not a secret, or that the caller erases.
    package static func hmac(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        key.withUnsafeBytes { hmac(key: $0, message) }
    }

    /// A 32-byte subkey for one purpose: HMAC-SHA256(key, "weft " + purpose + context).
    package static func subkey(of key: borrowing SecretBytes, purpose: String, context: [UInt8] = []) -> SecretBytes {
        var bytes = key.withUnsafeBytes { hmac(key: $0, Array("weft ".utf8), Array(purpose.utf8), context) }
        defer { eraseBytes(&bytes) }
        return SecretBytes(copying: bytes)
    }
}
