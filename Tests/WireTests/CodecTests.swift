import Primitives
import TestSupport
import Testing
import Wire

/// The canonical encoding: what is written is read, and nothing else is.
@Suite struct CodecTests {
    @Test func primitivesAreAsDocumented() throws {
        var writer = WireWriter()
        writer.write(UInt16(7600))
        writer.writeVarint(300)
        writer.write("weft")
        writer.writeOptional(UInt8?.none) { $0.write($1) }
        writer.writeOptional(UInt8(5)) { $0.write($1) }
        writer.write(1.5)
        writer.write(Duration.nanoseconds(-1))
        writer.write(true)
        writer.write(try #require(NetworkAddress("192.0.2.1:7600")))
        #expect(writer.bytes.hex == NetworkExamples.bytes("wire/primitives")?.hex)

        var reader = WireReader(writer.bytes)
        #expect(try reader.read(UInt16.self) == 7600)
        #expect(try reader.readVarint(maximum: 300) == 300)
        #expect(try reader.readString(maximum: 4) == "weft")
        #expect(try reader.readOptional { reader throws(WireError) in try reader.read(UInt8.self) } == nil)
        #expect(try reader.readOptional { reader throws(WireError) in try reader.read(UInt8.self) } == 5)
        #expect(try reader.readDouble() == 1.5)
        #expect(try reader.readDuration() == .nanoseconds(-1))
        #expect(try reader.readBool())
        #expect(try reader.readAddress().description == "192.0.2.1:7600")
        try reader.finish()
    }

    @Test func varintsComeBackAtEveryWidth() throws {
        for shift in 0..<64 {
            for value in [UInt64(1) << UInt64(shift), (UInt64(1) << UInt64(shift)) - 1, UInt64.max >> UInt64(shift)] {
                var writer = WireWriter()
                writer.writeVarint(value)
                #expect(writer.bytes.count == max(1, (64 - value.leadingZeroBitCount + 6) / 7))
                var reader = WireReader(writer.bytes)
                #expect(try reader.readVarint(maximum: .max) == value)
                try reader.finish()
                guard value > 0 else { continue }
                var bounded = WireReader(writer.bytes)
                #expect(throws: WireError.outOfRange) { try bounded.readVarint(maximum: value - 1) }
            }
        }
    }

    @Test(arguments: [
        ([0x80, 0x00], WireError.notCanonical),
        ([0xAC, 0x82, 0x00], .notCanonical),
        ([0x80], .truncated),
        ([], .truncated),
        ([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02], .outOfRange),
        ([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x81, 0x00], .outOfRange),
    ]) func otherVarintsAreRefused(bytes: [UInt8], error: WireError) {
        #expect(throws: error) {
            var reader = WireReader(bytes)
            _ = try reader.readVarint(maximum: .max)
        }
    }

    @Test func secondSpellingsAreRefused() {
        func refusal(_ bytes: [UInt8], _ body: (inout WireReader) throws(WireError) -> Void) -> WireError? {
            var reader = WireReader(bytes)
            do throws(WireError) {
                try body(&reader)
                return nil
            } catch { return error }
        }
        #expect(refusal([2]) { r throws(WireError) in _ = try r.readBool() } == .notCanonical)
        #expect(
            refusal([1, 0, 0, 0, 0, 0, 0xF0, 0x7F]) { r throws(WireError) in _ = try r.readDouble() } == .notCanonical)
        #expect(
            refusal([0, 0, 0, 0, 0, 0, 0xF0, 0x7F]) { r throws(WireError) in _ = try r.readFiniteDouble() }
                == .outOfRange)
        #expect(refusal([0, 0, 0xC0, 0xFF]) { r throws(WireError) in _ = try r.readFloat() } == .notCanonical)
        #expect(refusal([2, 0xC3, 0x28]) { r throws(WireError) in _ = try r.readString(maximum: 9) } == .notCanonical)
        #expect(refusal([5, 1]) { r throws(WireError) in _ = try r.readBytes(maximum: 9) } == .truncated)
        #expect(refusal([10]) { r throws(WireError) in _ = try r.readBytes(maximum: 9) } == .outOfRange)
        #expect(
            refusal([0, 0, 0, 0, 0, 0, 0, 0x80]) { r throws(WireError) in _ = try r.readBandwidth() } == .outOfRange)
        #expect(
            refusal([200, 1]) { r throws(WireError) in _ = try r.readArray(of: NetworkAddress.self, maximum: 1000) }
                == .truncated)
        #expect(refusal([1]) { r throws(WireError) in try r.finish() } == .trailingBytes)
    }

    /// The canonical NaN is written for every NaN, so that equal meaning has equal bytes.
    @Test func everyNaNIsWrittenAlike() throws {
        var writer = WireWriter()
        writer.write(Double(nan: 12, signaling: false))
        writer.write(Float(nan: 12, signaling: false))
        #expect(writer.bytes.hex == "000000000000f87f0000c07f")
        var reader = WireReader(writer.bytes)
        #expect(try reader.readDouble().isNaN)
        #expect(try reader.readFloat().isNaN)
    }

    /// A reader never crashes, whatever it is asked to read of whatever bytes.
    @Test func randomBytesNeverTrap() {
        for seed in 0..<400 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let bytes = (0..<generator.index(below: 200)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            _ = try? PeerRecord(wireBytes: bytes)
            _ = try? Contact(wireBytes: bytes)
            _ = try? Ticket(Ticket.prefix + Base32.encode(bytes))
            var reader = WireReader(bytes)
            while reader.remaining > 0 {
                let before = reader.remaining
                switch generator.index(below: 7) {
                case 0: _ = try? reader.readVarint(maximum: .max)
                case 1: _ = try? reader.readString(maximum: 50)
                case 2: _ = try? reader.readBytes(maximum: 50)
                case 3: _ = try? reader.readDouble()
                case 4: _ = try? reader.readArray(of: NetworkAddress.self, maximum: 1 << 40)
                case 5: _ = try? reader.readPeer()
                default: _ = try? reader.read(UInt64.self)
                }
                if reader.remaining == before { _ = reader.readRest() }
            }
        }
    }
}
