package import Primitives

/// The 32-byte secret that all peers of a swarm share, and the subkeys made of it.
///
/// The secret itself keys nothing: each use has its own subkey, so that no use can be turned against another.
package final class SwarmSecret: Sendable {
    package static let byteCount = 32

    /// Whom this peer answers until it knows who is admitted: everybody with the secret in an open swarm, in a closed one its
    /// founder only. A session table or stream hub begins with it, so that there is no time at which a closed swarm is open.
    package let initialPolicy: AdmissionPolicy
    private let root: SecretBytes
    /// The pre-shared key of every handshake.
    package let psk: PresharedKey
    private let macRoot: SecretBytes
    private let discoveryRoot: SecretBytes

    /// Takes 32 random bytes; `nil` if there are more or fewer.
    package convenience init?(_ secret: consuming SecretBytes) { self.init(secret, initialPolicy: .open) }

    private init?(_ secret: consuming SecretBytes, initialPolicy: AdmissionPolicy) {
        guard secret.count == Self.byteCount else { return nil }
        self.initialPolicy = initialPolicy
        psk = PresharedKey(KeyedHash.subkey(of: secret, purpose: "session psk 1"))
        macRoot = KeyedHash.subkey(of: secret, purpose: "session mac 1")
        discoveryRoot = KeyedHash.subkey(of: secret, purpose: "discovery 1")
        root = secret
    }

    /// The secret of a ticket: of an open swarm as it is, of a closed one bound to its founder, so that nobody can strip
    /// the founder off a ticket and still be understood.
    package convenience init?(_ secret: consuming SecretBytes, founder: PeerID?) {
        guard let founder else {
            self.init(secret)
            return
        }
        guard secret.count == Self.byteCount else { return nil }
        self.init(
            KeyedHash.subkey(of: secret, purpose: "closed swarm 1", context: founder.bytes),
            initialPolicy: .asking(founder: founder))
    }

    /// The key of `mac1` on messages to the owner of a static key.
    package func macKey(for receiver: AgreementPublicKey) -> SecretBytes {
        KeyedHash.subkey(of: macRoot, purpose: "mac1", context: receiver.bytes)
    }

    /// The key of cookies that the owner of a static key gives out.
    package func cookieKey(of responder: AgreementPublicKey) -> SecretBytes {
        KeyedHash.subkey(of: macRoot, purpose: "cookie", context: responder.bytes)
    }

    /// The full-length MAC of a LAN discovery datagram.
    package func discoveryMAC(of message: [UInt8]) -> [UInt8] { KeyedHash.hmac(key: discoveryRoot, message) }

    /// Lends the secret, to be written to a file or a ticket.
    package func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try root.withUnsafeBytes { (bytes) throws -> Result in try body(bytes) }
    }
}
