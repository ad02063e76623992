package import Primitives

/// A long-lived X25519 key that several handshakes share.
package final class StaticKey: Sendable {
    package let key: AgreementKey

    package init(_ key: consuming AgreementKey) { self.key = key }
}

/// A 32-byte secret that both sides hold before the handshake.
package final class PresharedKey: Sendable {
    package let secret: SecretBytes

    package init(_ secret: consuming SecretBytes) { self.secret = secret }
}

/// Why a handshake cannot go on.
package enum HandshakeError: Error, Hashable, Sendable {
    /// The message is shorter than the pattern's keys and tags.
    case truncated
    /// A tag does not fit: other keys, another pre-shared key, or altered bytes.
    case notAuthentic
    /// A public key of small order, with which there is no shared secret.
    case weakKey
    /// Written or read out of turn, or a key that the pattern needs was not given.
    case outOfTurn
}

/// The two directions of a finished handshake, as seen by one side.
package struct HandshakeResult {
    package let sending: CipherState
    package let receiving: CipherState
    /// Equal on both sides, and different for every handshake (section 11.2).
    package let handshakeHash: [UInt8]
}

/// A running handshake: the HandshakeState of the Noise specification (section 5.3) over X25519, ChaCha20-Poly1305 and
/// SHA-256.
///
/// The ephemeral key is given by the caller, because a pure room has no randomness. A message that cannot be read leaves
/// the state as it was, so that a forgery does not end a handshake.
package struct HandshakeState: ~Copyable {
    private let pattern: HandshakePattern
    private let role: HandshakePattern.Role
    private var symmetric: SymmetricState
    private let staticKey: StaticKey?
    private let ephemeral: AgreementKey
    private let presharedKey: PresharedKey?
    private var remoteEphemeral: AgreementPublicKey?
    private var nextMessage = 0

    /// The other side's static key, given beforehand or learnt from a message.
    package private(set) var remoteStatic: AgreementPublicKey?

    /// Starts a handshake; throws `outOfTurn` if a key that the pattern needs beforehand is missing.
    package init(
        pattern: HandshakePattern, role: HandshakePattern.Role, prologue: [UInt8], staticKey: StaticKey?,
        ephemeral: consuming AgreementKey, remoteStatic: AgreementPublicKey?, presharedKey: PresharedKey?
    ) throws(HandshakeError) {
        self.pattern = pattern
        self.role = role
        self.staticKey = staticKey
        self.ephemeral = ephemeral
        self.remoteStatic = remoteStatic
        self.presharedKey = presharedKey
        symmetric = SymmetricState(protocolName: "Noise_\(pattern.name)_25519_ChaChaPoly_SHA256")
        symmetric.mixHash(prologue)
        let local = staticKey?.key.publicKey.bytes
        let remote = remoteStatic?.bytes
        if pattern.initiatorIsKnown {
            guard let key = role == .initiator ? local : remote else { throw .outOfTurn }
            symmetric.mixHash(key)
        }
        if pattern.responderIsKnown {
            guard let key = role == .responder ? local : remote else { throw .outOfTurn }
            symmetric.mixHash(key)
        }
        if pattern.usesPresharedKey, presharedKey == nil { throw .outOfTurn }
    }

    /// Whether every message has been exchanged, so that `finish` may be called.
    package var isFinished: Bool { nextMessage == pattern.messages.count }

    /// The hash of everything so far; a channel binding once the handshake is finished.
    package var handshakeHash: [UInt8] { symmetric.hash }

    private var isOurTurn: Bool { !isFinished && nextMessage.isMultiple(of: 2) == (role == .initiator) }

    /// The next message of ours, with a payload under the best protection that the pattern offers at this point.
    package mutating func writeMessage(payload: [UInt8]) throws(HandshakeError) -> [UInt8] {
        guard isOurTurn else { throw .outOfTurn }
        var message: [UInt8] = []
        for token in pattern.messages[nextMessage] {
            switch token {
            case .e:
                let key = ephemeral.publicKey.bytes
                message += key
                symmetric.mixHash(key)
                if pattern.usesPresharedKey { symmetric.mixKey(key) }
            case .s:
                guard let staticKey else { throw .outOfTurn }
                message += symmetric.encryptAndHash(staticKey.key.publicKey.bytes)
            case .ee, .es, .se, .ss, .psk: try mix(token)
            }
        }
        message += symmetric.encryptAndHash(payload)
        nextMessage += 1
        return message
    }

    /// Reads the other side's next message and returns its payload. On an error nothing has changed.
    package mutating func readMessage(_ message: [UInt8]) throws(HandshakeError) -> [UInt8] {
        guard !isFinished, !isOurTurn else { throw .outOfTurn }
        let before = (symmetric, remoteEphemeral, remoteStatic)
        do throws(HandshakeError) {
            let payload = try read(message)
            nextMessage += 1
            return payload
        } catch {
            (symmetric, remoteEphemeral, remoteStatic) = before
            throw error
        }
    }

    private mutating func read(_ message: [UInt8]) throws(HandshakeError) -> [UInt8] {
        var rest = message[...]
        func take(_ count: Int) throws(HandshakeError) -> [UInt8] {
            guard rest.count >= count else { throw .truncated }
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        for token in pattern.messages[nextMessage] {
            switch token {
            case .e:
                let key = try take(AgreementPublicKey.byteCount)
                remoteEphemeral = AgreementPublicKey(bytes: key)
                symmetric.mixHash(key)
                if pattern.usesPresharedKey { symmetric.mixKey(key) }
            case .s:
                let tag = symmetric.hasKey ? ChaChaPoly.tagByteCount : 0
                let sealed = try take(AgreementPublicKey.byteCount + tag)
                remoteStatic = AgreementPublicKey(bytes: try symmetric.decryptAndHash(sealed))
            case .ee, .es, .se, .ss, .psk: try mix(token)
            }
        }
        return try symmetric.decryptAndHash(Array(rest))
    }

    private mutating func mix(_ token: HandshakePattern.Token) throws(HandshakeError) {
        if token == .psk {
            guard let presharedKey else { throw .outOfTurn }
            symmetric.mixKeyAndHash(presharedKey.secret)
            return
        }
        let isInitiator = role == .initiator
        let usesOurStatic = token == .ss || (token == .se && isInitiator) || (token == .es && !isInitiator)
        let usesTheirStatic = token == .ss || (token == .es && isInitiator) || (token == .se && !isInitiator)
        guard let theirs = usesTheirStatic ? remoteStatic : remoteEphemeral else { throw .outOfTurn }
        if usesOurStatic {
            guard let staticKey else { throw .outOfTurn }
            guard let shared = staticKey.key.sharedSecret(with: theirs) else { throw .weakKey }
            symmetric.mixKey(shared)
        } else {
            guard let shared = ephemeral.sharedSecret(with: theirs) else { throw .weakKey }
            symmetric.mixKey(shared)
        }
    }

    /// The transport keys; throws `outOfTurn` before the last message.
    package consuming func finish() throws(HandshakeError) -> HandshakeResult {
        guard isFinished else { throw .outOfTurn }
        let keys = symmetric.split()
        let (sending, receiving) = role == .initiator ? (keys[0], keys[1]) : (keys[1], keys[0])
        return HandshakeResult(
            sending: CipherState(key: SecretBytes(copying: sending.bytes)),
            receiving: CipherState(key: SecretBytes(copying: receiving.bytes)), handshakeHash: symmetric.hash)
    }
}
