import Noise
import Primitives
import Wire

/// Two members of a swarm with fixed keys, so that a handshake between them always has the same bytes.
enum NoiseSamples {
    static let start = Instant(nanoseconds: 1_000_000_000)
    static let wallClockMilliseconds: UInt64 = 1_700_000_000_000
    static let alice = identity(10)
    static let bob = identity(20)
    static let secret: SwarmSecret = {
        guard let secret = SwarmSecret(SecretBytes(copying: FuzzSamples.bytes(SwarmSecret.byteCount, 30))) else {
            preconditionFailure("the sample has as many bytes as a secret")
        }
        return secret
    }()

    private static func identity(_ salt: UInt64) -> LocalIdentity {
        guard let identity = IdentityKey(seed: SecretBytes(copying: FuzzSamples.bytes(32, salt))) else {
            preconditionFailure("the sample has as many bytes as a seed")
        }
        return LocalIdentity(identity: identity, agreement: ephemeral(salt + 1))
    }

    /// A key pair that is always the same.
    static func ephemeral(_ salt: UInt64) -> AgreementKey {
        guard let key = AgreementKey(secret: SecretBytes(copying: FuzzSamples.bytes(32, salt))) else {
            preconditionFailure("the sample has as many bytes as a scalar")
        }
        return key
    }

    static func address(_ last: UInt8) -> NetworkAddress { NetworkAddress(ipv4: (192, 0, 2, last), port: 7600) }

    /// A table without sessions.
    static func table(_ identity: LocalIdentity, salt: UInt64) -> SessionTable {
        SessionTable(
            identity: identity, secret: secret, entropy: SeededEntropy(seed: salt),
            wallClockMilliseconds: wallClockMilliseconds, at: start)
    }

    /// Datagrams of the right shape from somebody who does not know the secret.
    static let strangersDatagrams: [[UInt8]] = [
        [1, SessionMessage.version, 0, 0] + FuzzSamples.bytes(SessionMessage.initiationByteCount - 4, 1),
        [2, SessionMessage.version, 0, 0] + FuzzSamples.bytes(SessionMessage.responseByteCount - 4, 2),
        [3, SessionMessage.version, 0, 0] + FuzzSamples.bytes(SessionMessage.cookieReplyByteCount - 4, 3),
        [4, SessionMessage.version, 0, 0] + FuzzSamples.bytes(100, 4),
    ]

    /// Alice, about to open a stream to Bob.
    static func dialler() throws(HandshakeError) -> StreamDialler {
        try StreamDialler(
            identity: alice, secret: secret, remote: bob.peer, remoteKey: bob.agreementPublicKey, channel: 1,
            offered: [.chaCha20Poly1305], timestamp: wallClockMilliseconds, ephemeral: ephemeral(4))
    }

    static let hello: [UInt8] = (try? dialler().hello) ?? []

    static let welcome: [UInt8] = {
        let answerer = StreamAnswerer(identity: bob, secret: secret)
        let answer = try? answerer.answer(hello, preferred: [.chaCha20Poly1305], ephemeral: ephemeral(5))
        return answer?.welcome ?? []
    }()
}

/// Entropy that is none: the same bytes in every run.
private struct SeededEntropy: EntropySource {
    private var generator: SeededGenerator

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func secretBytes(count: Int) -> SecretBytes {
        SecretBytes(copying: (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) })
    }
}

/// An established session of Alice and Bob, and somebody on the path who has every datagram of it.
final class NoiseConversation {
    private let alice = NoiseSamples.table(NoiseSamples.alice, salt: 3)
    private let bob = NoiseSamples.table(NoiseSamples.bob, salt: 4)
    private var toBob: [[UInt8]] = []
    private var now = NoiseSamples.start

    /// Alice says five things to Bob.
    init() {
        var effects: [SessionTable.Effect] = []
        alice.handle(
            .learn(
                Contact(
                    peer: NoiseSamples.bob.peer, agreementKey: NoiseSamples.bob.agreementPublicKey,
                    addresses: [NoiseSamples.address(2)])),
            at: now, into: &effects)
        for value in 0..<5 { say([UInt8](repeating: UInt8(value), count: value * 10)) }
    }

    /// Sends one payload and carries datagrams both ways until all is quiet; returns what Bob got.
    @discardableResult
    private func say(_ payload: [UInt8]) -> [[UInt8]] {
        var delivered: [[UInt8]] = []
        var effects: [SessionTable.Effect] = []
        now = now + .milliseconds(50)
        alice.handle(.send(payload, to: NoiseSamples.bob.peer), at: now, into: &effects)
        var rounds = 0
        while !effects.isEmpty, rounds < 8 {
            var atBob: [SessionTable.Effect] = []
            for case .transmit(let datagram, _) in effects {
                toBob.append(datagram)
                bob.handle(.datagram(datagram, from: NoiseSamples.address(1)), at: now, into: &atBob)
            }
            effects = []
            for effect in atBob {
                if case .deliver(let payload, _, _) = effect { delivered.append(payload) }
                if case .transmit(let datagram, _) = effect {
                    alice.handle(.datagram(datagram, from: NoiseSamples.address(2)), at: now, into: &effects)
                }
            }
            rounds += 1
        }
        return delivered
    }

    /// Sends Bob a recorded datagram again, one byte of it changed (or none): it must come to nothing.
    func disturb(datagram: UInt8, offset: Int, change: UInt8) throws(FuzzFinding) {
        guard !toBob.isEmpty else { throw FuzzFinding("the conversation has no datagrams") }
        var bytes = toBob[Int(datagram) % toBob.count]
        bytes[offset % bytes.count] ^= change
        now = now + .milliseconds(1)
        var effects: [SessionTable.Effect] = []
        bob.handle(.datagram(bytes, from: NoiseSamples.address(7)), at: now, into: &effects)
        guard effects.isEmpty else {
            throw FuzzFinding("datagram \(datagram) with byte \(offset) changed by \(change) caused \(effects)")
        }
    }

    /// Whatever happened on the path, Alice's next word arrives, once, and is answered where Alice is.
    func expectAlive() throws(FuzzFinding) {
        let word = Array("still here".utf8)
        let got = say(word)
        guard got == [word] else { throw FuzzFinding("the session broke: \(got) arrived") }
        guard bob.address(of: NoiseSamples.alice.peer) == NoiseSamples.address(1) else {
            throw FuzzFinding("a forged datagram moved the session to another address")
        }
    }
}
