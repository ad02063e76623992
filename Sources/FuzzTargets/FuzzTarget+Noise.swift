internal import Noise
internal import Primitives
internal import Wire

extension FuzzTarget {
    /// What reaches a port before anything is authentic, and what somebody on the path may do to what is.
    static let noise: [FuzzTarget] = [
        FuzzTarget(
            "noise-stranger", maximumByteCount: Limits.datagramBytes + 64, seeds: { NoiseSamples.strangersDatagrams },
            check: { bytes throws(FuzzFinding) in
                let table = NoiseSamples.table(NoiseSamples.bob, salt: 2)
                var effects: [SessionTable.Effect] = []
                table.handle(.datagram(bytes, from: NoiseSamples.address(9)), at: NoiseSamples.start, into: &effects)
                guard effects.isEmpty else { throw FuzzFinding("a stranger caused \(effects)") }
                return SessionMessage.kind(of: bytes) != nil
            }),
        FuzzTarget(
            "noise-conversation", maximumByteCount: 64,
            seeds: { [[0, 0, 0, 0], [1, 5, 0, 1, 2, 0, 0, 0], [3, 20, 0, 0x80, 4, 0, 0, 0, 5, 2, 1, 1]] },
            check: { bytes throws(FuzzFinding) in
                let conversation = NoiseConversation()
                for start in stride(from: 0, to: bytes.count - 3, by: 4) {
                    try conversation.disturb(
                        datagram: bytes[start], offset: Int(bytes[start + 1]) | Int(bytes[start + 2]) << 8,
                        change: bytes[start + 3])
                }
                try conversation.expectAlive()
                return true
            }),
        FuzzTarget(
            "noise-path", maximumByteCount: 16,
            seeds: {
                let token = [UInt8](1...8)
                return [PathMessage.challenge(token).bytes, PathMessage.response(token).bytes]
            },
            check: { bytes throws(FuzzFinding) in
                guard let message = PathMessage(bytes) else { return false }
                guard message.bytes == bytes else { throw FuzzFinding("\(message) is not what was read") }
                return true
            }),
        FuzzTarget(
            "noise-stream-hello", maximumByteCount: 512, seeds: { [NoiseSamples.hello] },
            check: { bytes throws(FuzzFinding) in
                let answerer = StreamAnswerer(identity: NoiseSamples.bob, secret: NoiseSamples.secret)
                do {
                    let answer = try answerer.answer(
                        bytes, preferred: [.chaCha20Poly1305], ephemeral: NoiseSamples.ephemeral(5))
                    guard answer.welcome.count <= bytes.count else {
                        throw FuzzFinding("\(answer.welcome.count) bytes answer \(bytes.count)")
                    }
                    guard bytes == NoiseSamples.hello else { throw FuzzFinding("a forged hello was accepted") }
                    return true
                } catch let finding as FuzzFinding { throw finding } catch { return false }
            }),
        FuzzTarget(
            "noise-stream-welcome", maximumByteCount: 512, seeds: { [NoiseSamples.welcome] },
            check: { bytes throws(FuzzFinding) in
                do {
                    _ = try NoiseSamples.dialler().finish(welcome: bytes)
                } catch { return false }
                guard bytes == NoiseSamples.welcome else { throw FuzzFinding("a forged welcome was accepted") }
                return true
            }),
        FuzzTarget(
            "noise-discovery", maximumByteCount: Limits.datagramBytes,
            seeds: {
                (UInt64(0)..<3).map { index in
                    let message = DiscoveryMessage(
                        contact: FuzzSamples.contact(index), timestamp: NoiseSamples.wallClockMilliseconds,
                        isQuestion: index == 1)
                    return Array(message.sealed(with: NoiseSamples.secret).dropLast(Digest.byteCount))
                }
            },
            check: { bytes throws(FuzzFinding) in
                guard DiscoveryMessage(datagram: bytes, secret: NoiseSamples.secret) == nil else {
                    throw FuzzFinding("an announcement was forged")
                }
                // With its MAC, which a member gone bad can make.
                let datagram = bytes + NoiseSamples.secret.discoveryMAC(of: bytes)
                guard let message = DiscoveryMessage(datagram: datagram, secret: NoiseSamples.secret) else {
                    return false
                }
                try expectSame(message.sealed(with: NoiseSamples.secret), datagram)
                return true
            }),
        FuzzTarget(
            "noise-record-header", maximumByteCount: 8,
            seeds: { [[0, 0, 1, 0], [5, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 3]] },
            check: { bytes throws(FuzzFinding) in
                guard bytes.count == RecordHeader.byteCount else { return false }
                let word = bytes.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                guard let header = RecordHeader(word: word) else { return false }
                guard header.word == word, header.plaintextByteCount <= Limits.recordBytes else {
                    throw FuzzFinding("\(header) is not what \(word) said")
                }
                return true
            }),
    ]
}
