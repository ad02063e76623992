import Foundation
import Noise
import Primitives
import TestSupport
import Testing

/// The published vectors of the Noise community (cacophony format; the source is named in the fixture).
@Suite struct HandshakeVectorTests {
    struct File: Decodable {
        let vectors: [Vector]
    }

    struct Vector: Decodable, CustomTestStringConvertible {
        struct Message: Decodable {
            let payload: String
            let ciphertext: String
        }

        let protocolName: String
        let initPrologue: String
        let respPrologue: String
        let initPsks: [String]?
        let respPsks: [String]?
        let initStatic: String?
        let respStatic: String?
        let initEphemeral: String
        let respEphemeral: String
        let initRemoteStatic: String?
        let respRemoteStatic: String?
        let handshakeHash: String?
        let messages: [Message]

        var testDescription: String { protocolName }
    }

    static let vectors: [Vector] = {
        guard
            let file = Bundle.module.url(
                forResource: "vectors_25519_ChaChaPoly_SHA256", withExtension: "json", subdirectory: "Fixtures"),
            let data = try? Data(contentsOf: file)
        else { return [] }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard let parsed = try? decoder.decode(File.self, from: data) else { return [] }
        return parsed.vectors
    }()

    @Test func everyPatternHasVectors() {
        for pattern in HandshakePattern.all {
            let name = "Noise_\(pattern.name)_25519_ChaChaPoly_SHA256"
            #expect(Self.vectors.contains { $0.protocolName == name }, "no vector for \(name)")
        }
    }

    @Test(arguments: vectors) func vector(_ vector: Vector) throws {
        let pattern = try #require(
            HandshakePattern.all.first { vector.protocolName == "Noise_\($0.name)_25519_ChaChaPoly_SHA256" })
        var initiator = try HandshakeState(
            pattern: pattern, role: .initiator, prologue: bytes(vector.initPrologue),
            staticKey: try vector.initStatic.map { StaticKey(try key($0)) }, ephemeral: try key(vector.initEphemeral),
            remoteStatic: try vector.initRemoteStatic.map { try #require(AgreementPublicKey(bytes: bytes($0))) },
            presharedKey: vector.initPsks?.first.map { PresharedKey(SecretBytes(copying: bytes($0))) })
        var responder = try HandshakeState(
            pattern: pattern, role: .responder, prologue: bytes(vector.respPrologue),
            staticKey: try vector.respStatic.map { StaticKey(try key($0)) }, ephemeral: try key(vector.respEphemeral),
            remoteStatic: try vector.respRemoteStatic.map { try #require(AgreementPublicKey(bytes: bytes($0))) },
            presharedKey: vector.respPsks?.first.map { PresharedKey(SecretBytes(copying: bytes($0))) })
        for (index, message) in vector.messages.prefix(pattern.messages.count).enumerated() {
            let sent: [UInt8]
            let received: [UInt8]
            if index.isMultiple(of: 2) {
                sent = try initiator.writeMessage(payload: bytes(message.payload))
                received = try responder.readMessage(sent)
            } else {
                sent = try responder.writeMessage(payload: bytes(message.payload))
                received = try initiator.readMessage(sent)
            }
            #expect(sent.hex == message.ciphertext, "message \(index) of \(vector.protocolName)")
            #expect(received.hex == message.payload, "payload \(index) of \(vector.protocolName)")
        }
        if let hash = vector.handshakeHash { #expect(initiator.handshakeHash.hex == hash) }
        let one = try initiator.finish()
        let two = try responder.finish()
        #expect(one.handshakeHash == two.handshakeHash)
        let (oneSends, twoSends) = (Pipe(one.sending, two.receiving), Pipe(two.sending, one.receiving))
        for (index, message) in vector.messages.enumerated().dropFirst(pattern.messages.count) {
            let payload = bytes(message.payload)
            let (sealed, opened) = index.isMultiple(of: 2) ? oneSends.pass(payload) : twoSends.pass(payload)
            #expect(sealed?.hex == message.ciphertext, "transport message \(index) of \(vector.protocolName)")
            #expect(opened == payload)
        }
    }

    private final class Pipe {
        let sending: CipherState
        let receiving: CipherState

        init(_ sending: CipherState, _ receiving: CipherState) {
            self.sending = sending
            self.receiving = receiving
        }

        func pass(_ payload: [UInt8]) -> ([UInt8]?, [UInt8]?) {
            let sealed = sending.seal(payload, associatedData: [])
            return (sealed, receiving.open(sealed ?? [], associatedData: []))
        }
    }

    private func key(_ hex: String) throws -> AgreementKey {
        guard let key = AgreementKey(secret: SecretBytes(copying: bytes(hex))) else { throw HandshakeError.truncated }
        return key
    }

    private func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.compactMap { $0.hexDigitValue }
        return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
