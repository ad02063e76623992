package import Primitives
internal import Wire

/// What the dialler of a stream says about it.
package struct StreamOpening: Hashable, Sendable {
    /// Who dials.
    package let peer: PeerID
    /// What the stream is for; the shell gives the numbers a meaning (its traffic classes).
    package let channel: UInt8
    /// The dialler's wall clock in milliseconds, strictly growing, so that a recorded hello is refused.
    package let timestamp: UInt64

    package init(peer: PeerID, channel: UInt8, timestamp: UInt64) {
        self.peer = peer
        self.channel = channel
        self.timestamp = timestamp
    }
}

/// Why a stream could not be opened.
package enum StreamHandshakeError: Error, Hashable, Sendable {
    /// Not a hello for us: a stranger, or another protocol. Close without a byte.
    case stranger
    /// The handshake does not authenticate.
    case notAuthentic
    /// The X25519 key is not signed by the identity that it claims, or the answer is not from the peer that was dialled.
    case identityMismatch
    /// The two sides have no record cipher in common.
    case noCommonSuite
    /// The hello is older than one of the same dialler that was seen before; these bytes tell it so.
    case outdatedHello(reply: [UInt8])
    /// The answering side has seen a hello of ours with this timestamp: the next one has to exceed it.
    case outdated(newest: UInt64)
}

/// The layout of the messages that open a stream (NETWORK.md, "Streams").
package enum StreamMessage {
    package static let version: UInt8 = 1
    /// Mixed into the handshake, so that its messages mean nothing in a UDP session.
    package static let prologue = Array("weft stream 1".utf8)

    package static let helloKind: UInt8 = 0x10
    package static let welcomeKind: UInt8 = 0x11
    package static let outdatedKind: UInt8 = 0x12
    /// Header 4, ephemeral 32, sealed static key 48, sealed payload 122, mac1 16.
    package static let helloByteCount = 222
    /// Header 4, ephemeral 32, sealed payload 113: less than the hello.
    package static let welcomeByteCount = 149
    /// Header 4, ephemeral 32, sealed payload 120: less than the hello.
    package static let outdatedByteCount = 156

    /// The length of the answer that begins with this byte; everything that is not known is as short as a welcome.
    package static func answerByteCount(kind: UInt8) -> Int {
        kind == outdatedKind ? outdatedByteCount : welcomeByteCount
    }

    static let helloPayloadByteCount = IdentityBinding.byteCount + 10
    static let welcomePayloadByteCount = IdentityBinding.byteCount + 1
    static let outdatedPayloadByteCount = IdentityBinding.byteCount + 8
}

/// Both directions of an opened stream.
package struct StreamKeys {
    package let suite: BulkCipher.Suite
    package let sealer: RecordSealer
    package let opener: RecordOpener

    init(_ result: HandshakeResult, suite: BulkCipher.Suite) {
        self.suite = suite
        sealer = result.sending.withKey { RecordSealer(suite: suite, key: $0) }
        opener = result.receiving.withKey { RecordOpener(suite: suite, key: $0) }
    }
}

/// The dialling side of a stream's handshake: `Noise_IKpsk2`, with the record ciphers on offer inside its first message
/// and the choice inside the second, so that nobody on the path can lower it.
package struct StreamDialler: ~Copyable {
    private let remote: PeerID
    private let remoteKey: AgreementPublicKey
    private let offered: [BulkCipher.Suite]
    private var state: HandshakeState

    /// The bytes to send first.
    package let hello: [UInt8]

    /// Begins a stream to a peer. `offered` is in no order: the answering side chooses.
    package init(
        identity: LocalIdentity, secret: SwarmSecret, remote: PeerID, remoteKey: AgreementPublicKey, channel: UInt8,
        offered: [BulkCipher.Suite], timestamp: UInt64, ephemeral: consuming AgreementKey
    ) throws(HandshakeError) {
        self.remote = remote
        self.remoteKey = remoteKey
        self.offered = offered
        var state = try HandshakeState(
            pattern: .ikpsk2, role: .initiator, prologue: StreamMessage.prologue, staticKey: identity.staticKey,
            ephemeral: ephemeral, remoteStatic: remoteKey, presharedKey: secret.psk)
        var payload = WireWriter(reservingCapacity: StreamMessage.helloPayloadByteCount)
        payload.writeRaw(identity.binding.bytes)
        payload.write(timestamp)
        payload.write(channel)
        payload.write(offered.reduce(UInt8(0)) { $0 | (1 << $1.rawValue) })
        var bytes = [StreamMessage.helloKind, StreamMessage.version, 0, 0]
        bytes += try state.writeMessage(payload: payload.bytes)
        bytes += HandshakeMAC(secret: secret, receiver: remoteKey).mac1(of: bytes)
        hello = bytes
        self.state = state
    }

    /// Reads the answer, as many bytes as `StreamMessage.answerByteCount` says, and yields the record ciphers.
    package consuming func finish(welcome: [UInt8]) throws(StreamHandshakeError) -> StreamKeys {
        guard let kind = welcome.first, welcome.count == StreamMessage.answerByteCount(kind: kind),
            kind == StreamMessage.welcomeKind || kind == StreamMessage.outdatedKind,
            welcome[1..<4] == [StreamMessage.version, 0, 0]
        else { throw .stranger }
        let isOutdated = kind == StreamMessage.outdatedKind
        guard let payload = try? state.readMessage(Array(welcome[4...])),
            payload.count
                == (isOutdated ? StreamMessage.outdatedPayloadByteCount : StreamMessage.welcomePayloadByteCount),
            let binding = IdentityBinding(bytes: payload.prefix(IdentityBinding.byteCount))
        else { throw .notAuthentic }
        guard binding.peer == remote, binding.binds(remoteKey) else { throw .identityMismatch }
        if isOutdated { throw .outdated(newest: SessionMessage.integer(payload, at: IdentityBinding.byteCount)) }
        guard let suite = BulkCipher.Suite(rawValue: payload[IdentityBinding.byteCount]), offered.contains(suite)
        else { throw .noCommonSuite }
        guard let result = try? state.finish() else { throw .notAuthentic }
        return StreamKeys(result, suite: suite)
    }
}

/// The answering side of a stream's handshake.
package struct StreamAnswerer: Sendable {
    private let identity: LocalIdentity
    private let secret: SwarmSecret
    private let mac: HandshakeMAC

    package init(identity: LocalIdentity, secret: SwarmSecret) {
        self.identity = identity
        self.secret = secret
        mac = HandshakeMAC(secret: secret, receiver: identity.agreementPublicKey)
    }

    /// What an authentic hello leads to.
    package struct Answer {
        package let opening: StreamOpening
        /// The dialler's X25519 key, signed by its identity.
        package let remoteKey: AgreementPublicKey
        /// The bytes to send back, once the caller has found that the timestamp is not a copy.
        package let welcome: [UInt8]
        package let keys: StreamKeys
    }

    /// Whether the bytes are a hello from somebody who knows the swarm secret and our key: one hash, to turn strangers
    /// away before anything dear is computed.
    package func isFromSwarm(_ hello: [UInt8]) -> Bool {
        let split = StreamMessage.helloByteCount - SessionMessage.macByteCount
        return hello.count == StreamMessage.helloByteCount
            && hello[..<4] == [StreamMessage.helloKind, StreamMessage.version, 0, 0]
            && equalInConstantTime(mac.mac1(of: hello[..<split]), Array(hello[split...]))
    }

    /// Answers a hello. Of the ciphers on offer it takes the first of `preferred`. `newest` returns the timestamp of a newer
    /// hello of that dialler and channel if one is known.
    package func answer(
        _ hello: [UInt8], preferred: [BulkCipher.Suite], ephemeral: consuming AgreementKey,
        newest: (StreamOpening) -> UInt64? = { _ in nil }
    ) throws(StreamHandshakeError) -> Answer {
        guard isFromSwarm(hello) else { throw .stranger }
        let message = Array(hello[4..<(StreamMessage.helloByteCount - SessionMessage.macByteCount)])
        guard
            var state = try? HandshakeState(
                pattern: .ikpsk2, role: .responder, prologue: StreamMessage.prologue, staticKey: identity.staticKey,
                ephemeral: ephemeral, remoteStatic: nil, presharedKey: secret.psk),
            let payload = try? state.readMessage(message), payload.count == StreamMessage.helloPayloadByteCount,
            let binding = IdentityBinding(bytes: payload.prefix(IdentityBinding.byteCount)),
            let remoteKey = state.remoteStatic
        else { throw .notAuthentic }
        guard binding.peer != identity.peer, binding.binds(remoteKey) else { throw .identityMismatch }
        let offered = payload[IdentityBinding.byteCount + 9]
        guard let suite = preferred.first(where: { offered & (1 << $0.rawValue) != 0 }) else { throw .noCommonSuite }
        let opening = StreamOpening(
            peer: binding.peer, channel: payload[IdentityBinding.byteCount + 8],
            timestamp: SessionMessage.integer(payload, at: IdentityBinding.byteCount))
        if let newest = newest(opening) {
            var payload = WireWriter(reservingCapacity: StreamMessage.outdatedPayloadByteCount)
            payload.writeRaw(identity.binding.bytes)
            payload.write(newest)
            guard let sealed = try? state.writeMessage(payload: payload.bytes) else { throw .notAuthentic }
            throw .outdatedHello(reply: [StreamMessage.outdatedKind, StreamMessage.version, 0, 0] + sealed)
        }
        guard let sealed = try? state.writeMessage(payload: identity.binding.bytes + [suite.rawValue]),
            let result = try? state.finish()
        else { throw .notAuthentic }
        return Answer(
            opening: opening, remoteKey: remoteKey,
            welcome: [StreamMessage.welcomeKind, StreamMessage.version, 0, 0] + sealed,
            keys: StreamKeys(result, suite: suite))
    }
}
