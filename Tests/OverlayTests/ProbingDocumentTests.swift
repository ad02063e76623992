import Primitives
import TestSupport
import Testing
import Wire

@testable import Overlay

/// NETWORK.md and the code hold each other to the same bytes.
@Suite struct ProbingDocumentTests {
    private static let report = TrainReport(
        session: 0x0102_0304, train: 1, received: 15, arrived: ArrivedPackets(bitmap: [0xFF, 0xF7]),
        proof: 0x1122_3344_5566_7788, tail: Bandwidth(bytesPerSecond: 12_500_000),
        head: Bandwidth(bytesPerSecond: 25_000_000), span: .microseconds(1440))

    static let messages: [(name: String, message: ProbingMessage)] = [
        ("probing/echo", .echo(token: 0xDDCC_BBAA)),
        ("probing/echo-reply", .echoReply(token: 0xDDCC_BBAA, held: .microseconds(80))),
        ("probing/reserve", .reserve(session: 0x0102_0304, .requested, allowanceBytes: 0x000A_0000)),
        ("probing/grant", .grant(session: 0x0102_0304, allowanceBytes: 0x000B_0000)),
        ("probing/busy", .busy(session: 0x0102_0304, retryAfterMilliseconds: 250)),
        ("probing/report", .report(report)), ("probing/finish", .finish(session: 0x0102_0304)),
        ("probing/ask", .ask(target: 0x0102_0304_0506_0708)), ("probing/site", .site(.taken)),
    ]

    @Test("Each message has the documented bytes, and they are read back")
    func messages() throws {
        for (name, message) in Self.messages {
            let documented = try #require(NetworkExamples.bytes(name), "no example \(name)")
            #expect(message.wireBytes == documented, "\(name): the code writes \(message.wireBytes.hex)")
            #expect(try ProbingMessage(wireBytes: documented) == message, "\(name)")
        }
    }

    @Test("A train packet has the documented header, filler, and the documented token")
    func train() throws {
        let packet = TrainPacket(
            session: 0x0102_0304, train: 1, index: 3, count: 64, pace: 96_000, token: 0x1122_3344_5566_7788)
        let bytes = ProbingMessage.train(packet).wireBytes
        let documented = try #require(NetworkExamples.bytes("probing/train"))
        let (header, token) = (bytes.prefix(TrainPacket.headerBytes), bytes.suffix(TrainPacket.tokenBytes))
        #expect(Array(header + token) == documented, "the code writes \((header + token).hex)")
        #expect(bytes.count == documented.count + TrainPacket.fillerBytes)
        #expect(bytes.dropFirst(header.count).dropLast(token.count).allSatisfy { $0 == 0 })
        #expect(try ProbingMessage(wireBytes: bytes) == .train(packet))
    }

    @Test("A page of links has the documented bytes")
    func links() throws {
        let peer = try #require(PeerID(bytes: [UInt8](repeating: 0x11, count: 32)))
        let page = LinksPage(reports: [
            LinkReport(
                peer: peer, minimumRoundTrip: .milliseconds(20), jitter: .microseconds(500), loss: 0.0125,
                receiveBandwidth: Bandwidth(bitsPerSecond: 100e6), sendBandwidth: Bandwidth(bitsPerSecond: 20e6),
                confidence: .fine, samples: 6)
        ])
        let documented = try #require(NetworkExamples.bytes("probing/links"))
        #expect(page.wireBytes == documented, "the code writes \(page.wireBytes.hex)")
        let read = try LinksPage(wireBytes: documented).reports[0]
        #expect(abs(read.receiveBandwidth.megabitsPerSecond - 100) < 0.2)
        #expect(abs(read.minimumRoundTrip.milliseconds - 20) < 0.04)
        #expect(read.loss == 0.0125)
    }

    @Test("Malformed messages are refused", arguments: 1...50)
    func malformed(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        for (_, message) in Self.messages {
            let bytes = message.wireBytes
            let cut = Array(bytes.prefix(generator.index(below: bytes.count)))
            #expect(throws: WireError.self) { try ProbingMessage(wireBytes: cut) }
            #expect(throws: WireError.trailingBytes) { try ProbingMessage(wireBytes: bytes + [0]) }
        }
        var train = ProbingMessage.train(TrainPacket(session: 1, train: 0, index: 0, count: 16)).wireBytes
        train[6] = 16  // index 16 of 16
        #expect(throws: WireError.outOfRange) { try ProbingMessage(wireBytes: train) }
        #expect(throws: WireError.unknownType(0x5F)) { try ProbingMessage(wireBytes: [0x5F]) }
    }
}
