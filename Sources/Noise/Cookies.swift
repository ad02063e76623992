package import Primitives

/// The MACs of handshake messages, after WireGuard (section 5.4.4): `mac1` shows that the sender knows the swarm secret
/// and the receiver's key, `mac2` that it can receive at its address.
package struct HandshakeMAC: Sendable {
    private let macKey: [UInt8]

    /// The MACs of messages sent to the owner of `receiver`.
    package init(secret: SwarmSecret, receiver: AgreementPublicKey) {
        macKey = secret.macKey(for: receiver).withUnsafeBytes { Array($0) }
    }

    /// The MAC of everything before it.
    package func mac1(of message: some Collection<UInt8>) -> [UInt8] {
        Array(KeyedHash.hmac(key: macKey, Array(message)).prefix(SessionMessage.macByteCount))
    }

    /// The MAC of everything before it, `mac1` included, under a cookie.
    package static func mac2(of message: some Collection<UInt8>, cookie: [UInt8]) -> [UInt8] {
        Array(KeyedHash.hmac(key: cookie, Array(message)).prefix(SessionMessage.macByteCount))
    }
}

/// Makes and checks the cookies that prove a return path while this peer is under load, without remembering anyone.
struct CookieJar {
    /// How long a cookie is good (WireGuard, section 6.6: two minutes).
    static let lifetime: Duration = .seconds(120)

    private let sealingKey: [UInt8]
    private var secret: [UInt8] = []
    private var secretExpires: Instant?

    init(secret: SwarmSecret, own: AgreementPublicKey) {
        sealingKey = secret.cookieKey(of: own).withUnsafeBytes { Array($0) }
    }

    /// The cookie of an address: a MAC under a secret that changes every two minutes.
    mutating func cookie(for address: NetworkAddress, at now: Instant, entropy: inout any EntropySource) -> [UInt8] {
        if secretExpires.map({ $0 <= now }) ?? true {
            secret = entropy.secretBytes(count: 32).withUnsafeBytes { Array($0) }
            secretExpires = now + Self.lifetime
        }
        let port = [UInt8(address.port & 0xFF), UInt8(address.port >> 8)]
        return Array(
            KeyedHash.hmac(key: secret, address.addressBytes + port).prefix(SessionMessage.macByteCount))
    }

    /// A cookie reply to the sender of `initiation`, bound to its `mac1`.
    mutating func reply(
        to initiation: [UInt8], from address: NetworkAddress, at now: Instant, entropy: inout any EntropySource
    ) -> [UInt8] {
        let cookie = cookie(for: address, at: now, entropy: &entropy)
        let nonce = entropy.secretBytes(count: 24).withUnsafeBytes { Array($0) }
        let sealed = ChaChaPoly.sealExtended(
            cookie, key: sealingKey, nonce: nonce, associatedData: Self.mac1(inInitiation: initiation))
        return SessionMessage.header(.cookieReply) + initiation[4..<8] + nonce + sealed
    }

    /// Opens a cookie reply to a message of ours that carried `mac1`; `nil` if it was not made for it.
    static func open(
        _ reply: [UInt8], mac1: [UInt8], secret: SwarmSecret, responder: AgreementPublicKey
    ) -> [UInt8]? {
        let key = secret.cookieKey(of: responder).withUnsafeBytes { Array($0) }
        return ChaChaPoly.openExtended(
            Array(reply[32...]), key: key, nonce: Array(reply[8..<32]), associatedData: mac1)
    }

    static func mac1(inInitiation initiation: [UInt8]) -> [UInt8] {
        let end = initiation.count - SessionMessage.macByteCount
        return Array(initiation[(end - SessionMessage.macByteCount)..<end])
    }
}
