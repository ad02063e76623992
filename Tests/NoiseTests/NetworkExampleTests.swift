import Noise
import Primitives
import TestSupport
import Testing
import Wire

/// Holds the worked examples of NETWORK.md to the code.
///
/// In all of them the swarm secret is 32 bytes 55, the initiator's identity seed 01…, its X25519 secret 81…, its ephemeral
/// secret 21…; the responder's are 02…, 82… and 22…; the initiator's wall clock shows 1,700,000,000,000 ms.
@Suite struct NetworkExampleTests {
    private struct FixedEntropy: EntropySource {
        let byte: UInt8

        mutating func secretBytes(count: Int) -> SecretBytes {
            SecretBytes(copying: [UInt8](repeating: byte, count: count))
        }
    }

    private func table(_ number: UInt8, configuration: SessionConfiguration = SessionConfiguration()) throws
        -> SessionTable
    {
        SessionTable(
            identity: try identity(number), secret: try swarmSecret(), configuration: configuration,
            entropy: FixedEntropy(byte: 0x20 + number), wallClockMilliseconds: 1_700_000_000_000,
            at: Instant(nanoseconds: 0))
    }

    private func transmitted(_ table: SessionTable, _ input: SessionTable.Input) -> [UInt8] {
        var effects: [SessionTable.Effect] = []
        table.handle(input, at: Instant(nanoseconds: 0), into: &effects)
        for effect in effects { if case .transmit(let bytes, _) = effect { return bytes } }
        return []
    }

    @Test func refusal() throws {
        let (one, two) = (try table(1), try table(2))
        let initiator = try identity(1)
        let responder = try identity(2)
        let contact = Contact(
            peer: responder.peer, agreementKey: responder.agreementPublicKey, addresses: [address(2)])
        _ = transmitted(one, .learn(contact))
        let initiation = transmitted(one, .send(Array("hello".utf8), to: responder.peer))
        _ = transmitted(two, .restrict(.closed([responder.peer])))
        check("noise/refusal", transmitted(two, .datagram(initiation, from: address(1))))
        #expect(initiator.peer != responder.peer)
    }

    @Test func outdated() throws {
        let (one, two) = (try table(1), try table(2))
        let responder = try identity(2)
        _ = transmitted(
            one,
            .learn(
                Contact(peer: responder.peer, agreementKey: responder.agreementPublicKey, addresses: [address(2)])))
        let initiation = transmitted(one, .send(Array("hello".utf8), to: responder.peer))
        // The same identity a second later.
        let later = SessionTable(
            identity: try identity(1), secret: try swarmSecret(), entropy: SeededEntropy(seed: 9),
            wallClockMilliseconds: 1_700_000_001_000, at: Instant(nanoseconds: 0))
        _ = transmitted(
            later,
            .learn(
                Contact(peer: responder.peer, agreementKey: responder.agreementPublicKey, addresses: [address(2)])))
        let newer = transmitted(later, .send(Array("hello".utf8), to: responder.peer))
        _ = transmitted(two, .datagram(newer, from: address(1)))
        check("noise/outdated", transmitted(two, .datagram(initiation, from: address(1))))
    }

    private func check(_ name: String, _ bytes: [UInt8]) {
        let documented = NetworkExamples.bytes(name)
        #expect(documented == bytes, "\(name) is now \(bytes.hex)")
    }

    @Test func sessions() throws {
        let initiator = try table(1)
        let responder = try table(2)
        let remote = try identity(2)
        var effects: [SessionTable.Effect] = []
        initiator.handle(
            .learn(
                Contact(peer: remote.peer, agreementKey: remote.agreementPublicKey, addresses: [address(2)])),
            at: Instant(nanoseconds: 0), into: &effects)
        let initiation = transmitted(initiator, .send(Array("hello".utf8), to: remote.peer))
        check("noise/initiation", initiation)
        let response = transmitted(responder, .datagram(initiation, from: address(1)))
        check("noise/response", response)
        check("noise/transport", transmitted(initiator, .datagram(response, from: address(2))))

        var loaded = SessionConfiguration()
        loaded.handshakesPerSecondBeforeLoad = 0
        check(
            "noise/cookie-reply",
            transmitted(try table(2, configuration: loaded), .datagram(initiation, from: address(1))))
    }

    @Test func paths() {
        let token: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
        check("noise/path-challenge", PathMessage.challenge(token).bytes)
        check("noise/path-response", PathMessage.response(token).bytes)
        #expect(PathMessage([0xF0] + token) == .challenge(token) && PathMessage([0xF1] + token) == .response(token))
        for other in [[], [0xF0], [0xF2] + token, [0xF0] + token + [0]] as [[UInt8]] {
            #expect(PathMessage(other) == nil, "\(other) belongs to the protocols above")
        }
    }

    @Test func streams() throws {
        func ephemeral(_ byte: UInt8) throws -> AgreementKey {
            try requireValue(AgreementKey(secret: SecretBytes(copying: [UInt8](repeating: byte, count: 32))))
        }
        let remote = try identity(2)
        let dialler = try StreamDialler(
            identity: identity(1), secret: swarmSecret(), remote: remote.peer, remoteKey: remote.agreementPublicKey,
            channel: 1, offered: BulkCipher.Suite.allCases, timestamp: 1_700_000_000_000, ephemeral: ephemeral(0x21))
        check("noise/hello", dialler.hello)
        let answer = try StreamAnswerer(identity: remote, secret: swarmSecret()).answer(
            dialler.hello, preferred: [.chaCha20Poly1305], ephemeral: ephemeral(0x22))
        check("noise/welcome", answer.welcome)
        let keys = try dialler.finish(welcome: answer.welcome)
        let pipe = RecordPipe(keys.sealer, answer.keys.opener)
        check("noise/record", try pipe.seal(Array("hello".utf8), kind: .last))
    }

    @Test func discovery() throws {
        let sender = try identity(1)
        let message = DiscoveryMessage(
            contact: Contact(peer: sender.peer, agreementKey: sender.agreementPublicKey, addresses: [address(1)]),
            timestamp: 1_700_000_000_000, isQuestion: true)
        let datagram = message.sealed(with: try swarmSecret())
        check("noise/discovery", datagram)
        #expect(DiscoveryMessage(datagram: datagram, secret: try swarmSecret()) == message)
        #expect(DiscoveryMessage(datagram: datagram, secret: try swarmSecret(0x66)) == nil, "another swarm's")
        for position in datagram.indices {
            var forged = datagram
            forged[position] ^= 1
            #expect(DiscoveryMessage(datagram: forged, secret: try swarmSecret()) == nil, "byte \(position)")
        }
    }
}
