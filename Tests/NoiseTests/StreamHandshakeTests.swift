import Noise
import Primitives
import TestSupport
import Testing
import Wire

@Suite struct StreamHandshakeTests {
    private func ephemeral(_ byte: UInt8) throws -> AgreementKey {
        try requireValue(AgreementKey(secret: SecretBytes(copying: [UInt8](repeating: byte, count: 32))))
    }

    private func dialler(
        offered: [BulkCipher.Suite] = BulkCipher.Suite.allCases, secret: UInt8 = 0x55, claims: UInt8 = 2
    ) throws -> StreamDialler {
        try StreamDialler(
            identity: identity(1), secret: swarmSecret(secret), remote: identity(claims).peer,
            remoteKey: identity(2).agreementPublicKey, channel: 3, offered: offered, timestamp: 1_700_000_000_123,
            ephemeral: ephemeral(0x21))
    }

    private func answer(
        _ hello: [UInt8], preferred: [BulkCipher.Suite] = [.aes256GCM, .chaCha20Poly1305]
    ) throws -> StreamAnswerer.Answer {
        try StreamAnswerer(identity: identity(2), secret: swarmSecret()).answer(
            hello, preferred: preferred, ephemeral: ephemeral(0x22))
    }

    @Test(arguments: BulkCipher.Suite.allCases) func recordsPassBothWays(suite: BulkCipher.Suite) throws {
        let dialler = try dialler(offered: [suite])
        let answer = try answer(dialler.hello)
        #expect(answer.opening == StreamOpening(peer: try identity(1).peer, channel: 3, timestamp: 1_700_000_000_123))
        #expect(answer.remoteKey == (try identity(1).agreementPublicKey))
        #expect(answer.welcome.count <= dialler.hello.count)
        let ours = try dialler.finish(welcome: answer.welcome)
        let theirs = answer.keys
        #expect(ours.suite == suite)
        #expect(theirs.suite == suite)
        let forth = RecordPipe(ours.sealer, theirs.opener)
        let back = RecordPipe(theirs.sealer, ours.opener)
        for size in [0, 1, 17, 4096, Limits.recordBytes] {
            let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let went = try forth.pass(payload)
            let came = try back.pass(payload)
            #expect(went == payload, "\(size) bytes")
            #expect(came == payload, "\(size) bytes back")
        }
    }

    @Test func eachSideChoosesAmongWhatIsOffered() throws {
        let dialler = try dialler()
        let answer = try answer(dialler.hello, preferred: [.chaCha20Poly1305])
        let keys = try dialler.finish(welcome: answer.welcome)
        #expect(keys.suite == .chaCha20Poly1305)
        let other = try self.dialler(offered: [.aes256GCM])
        #expect(throws: StreamHandshakeError.noCommonSuite) {
            _ = try self.answer(other.hello, preferred: [.chaCha20Poly1305])
        }
    }

    @Test func strangersAndTamperingAreRefused() throws {
        let stranger = try dialler(secret: 0x66).hello
        #expect(throws: StreamHandshakeError.stranger) { _ = try answer(stranger) }
        let hello = try dialler().hello
        for position in hello.indices {
            var forged = hello
            forged[position] ^= 1
            #expect(throws: StreamHandshakeError.stranger, "byte \(position) of the hello") { _ = try answer(forged) }
        }
        #expect(throws: StreamHandshakeError.stranger) { _ = try answer(Array(hello.dropLast())) }
        let welcome = try answer(hello).welcome
        for position in welcome.indices {
            var forged = welcome
            forged[position] ^= 1
            let dialler = try dialler()
            let keys = try? dialler.finish(welcome: forged)
            #expect(keys == nil, "byte \(position) of the welcome")
        }
    }

    @Test func theAnswererMustBeWhoWasDialled() throws {
        let dialler = try dialler(claims: 3)
        let welcome = try answer(dialler.hello).welcome
        do {
            _ = try dialler.finish(welcome: welcome)
            Issue.record("another peer's answer was accepted")
        } catch { #expect(error == .identityMismatch) }
    }

    @Test func anOutdatedHelloIsToldWhatToExceed() throws {
        let dialler = try dialler()
        let newest: UInt64 = 1_700_000_000_124
        var reply: [UInt8] = []
        do {
            _ = try StreamAnswerer(identity: identity(2), secret: swarmSecret()).answer(
                dialler.hello, preferred: [.chaCha20Poly1305], ephemeral: ephemeral(0x22), newest: { _ in newest })
            Issue.record("an outdated hello was answered")
        } catch StreamHandshakeError.outdatedHello(let bytes) { reply = bytes }
        #expect(reply.count == StreamMessage.outdatedByteCount && reply.count < dialler.hello.count)
        for position in [0, 5, 50, 155] {
            var forged = reply
            forged[position] ^= 1
            #expect(throws: (position == 0 ? StreamHandshakeError.stranger : .notAuthentic)) {
                _ = try self.dialler().finish(welcome: forged)
            }
        }
        do {
            _ = try dialler.finish(welcome: reply)
            Issue.record("a refusal was taken for a welcome")
        } catch { #expect(error == .outdated(newest: newest)) }
    }

    @Test func recordedHellosAreOld() throws {
        var memory = HelloGuard(capacity: 2)
        let peer = try identity(1).peer
        func admit(_ channel: UInt8, _ timestamp: UInt64) -> Bool {
            memory.admit(StreamOpening(peer: peer, channel: channel, timestamp: timestamp))
        }
        #expect(admit(1, 10))
        #expect(!admit(1, 10))
        #expect(!admit(1, 9))
        #expect(admit(2, 9), "channels are told apart")
        #expect(admit(1, 11))
        let old = StreamOpening(peer: peer, channel: 1, timestamp: 5)
        #expect(memory.newest(beyond: old) == 11)
        #expect(memory.newest(beyond: StreamOpening(peer: peer, channel: 1, timestamp: 11)) == nil, "a copy")
        #expect(memory.newest(beyond: StreamOpening(peer: peer, channel: 3, timestamp: 5)) == nil)
    }

    @Test func alteredReorderedAndForeignRecordsAreRefused() throws {
        let dialler = try dialler()
        let answer = try answer(dialler.hello)
        let ours = try dialler.finish(welcome: answer.welcome)
        let theirs = answer.keys
        let pipe = RecordPipe(ours.sealer, theirs.opener)
        let first = try pipe.seal([1, 2, 3], kind: .last)
        let second = try pipe.seal([4, 5, 6], kind: .last)
        #expect(pipe.opening(second) == nil, "out of order")
        for position in first.indices {
            var forged = first
            forged[position] ^= 1
            #expect(pipe.opening(forged) == nil, "byte \(position)")
        }
        #expect(pipe.opening(first) == [1, 2, 3])
        #expect(pipe.opening(first) == nil, "a second time")
        #expect(pipe.opening(second) == [4, 5, 6])
    }

    @Test func headersAreBounded() {
        #expect(RecordHeader(word: UInt32(Limits.recordBytes))?.plaintextByteCount == Limits.recordBytes)
        #expect(RecordHeader(word: UInt32(Limits.recordBytes) + 1) == nil)
        #expect(RecordHeader(word: 0x0400_0000) == nil)
        #expect(RecordHeader(word: 0x0200_0001) == nil, "a keepalive is empty")
        #expect(RecordHeader(word: 0x0300_0000)?.kind == .close)
    }
}

/// One direction of a stream, for tests.
final class RecordPipe {
    let sealer: RecordSealer
    let opener: RecordOpener

    init(_ sealer: RecordSealer, _ opener: RecordOpener) {
        self.sealer = sealer
        self.opener = opener
    }

    func seal(_ payload: [UInt8], kind: RecordKind) throws -> [UInt8] {
        var record: [UInt8] = []
        try payload.withUnsafeBytes { bytes in
            try sealer.seal(bytes, kind: kind) { record += $0 }
        }
        return record
    }

    func open(_ record: [UInt8]) throws -> [UInt8] {
        let word = (0..<4).reduce(UInt32(0)) { $0 | UInt32(record[$1]) << UInt32($1 * 8) }
        guard let header = RecordHeader(word: word), record.count == 4 + header.sealedByteCount else {
            throw RecordError.notAuthentic
        }
        var payload: [UInt8] = []
        try record.withUnsafeBytes { bytes in
            try opener.open(UnsafeRawBufferPointer(rebasing: bytes[4...]), header: header) { payload += $0 }
        }
        return payload
    }

    func opening(_ record: [UInt8]) -> [UInt8]? { try? open(record) }

    func pass(_ payload: [UInt8]) throws -> [UInt8] { try open(try seal(payload, kind: .last)) }
}
