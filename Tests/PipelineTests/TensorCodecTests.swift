import Pipeline
import Primitives
import Testing
import Wire

@Suite("Tensor codecs")
struct TensorCodecTests {
    private static let special: [Float] = [
        0, -0.0, 1, -1, .pi, .leastNonzeroMagnitude, -.leastNormalMagnitude, .greatestFiniteMagnitude, 65504, 1e-30,
    ]

    @Test("have the size they announce and read back at it only", arguments: TensorCodec.allCases)
    func sizes(codec: TensorCodec) throws {
        for (count, row) in [(0, 4), (1, 4), (7, 4), (8, 4), (300, 256), (5, 1)] {
            let values = gradients(count: 1, length: count, seed: 1)[0]
            let bytes = codec.encode(values, rowLength: row)
            #expect(bytes.count == codec.byteCount(elements: count, rowLength: row))
            #expect(try codec.decode(bytes, elements: count, rowLength: row).count == count)
            #expect(throws: WireError.trailingBytes) { try codec.decode(bytes + [0], elements: count, rowLength: row) }
            #expect(throws: WireError.truncated) { try codec.decode(bytes, elements: count + 1, rowLength: row) }
        }
        #expect(throws: WireError.outOfRange) { try codec.decode([], elements: .max / 8, rowLength: 1) }
        #expect(throws: WireError.outOfRange) { try codec.decode([], elements: -1, rowLength: 1) }
        #expect(throws: WireError.outOfRange) { try codec.decode([], elements: 0, rowLength: 0) }
    }

    @Test("f32 is exact to the bit")
    func exact() throws {
        let values = Self.special + [.nan, .infinity]
        let back = try TensorCodec.f32.decode(
            TensorCodec.f32.encode(values, rowLength: 3), elements: values.count, rowLength: 3)
        #expect(back.map(\.bitPattern) == values.map(\.bitPattern))
        #expect(TensorCodec.f32.encode([1 as Float], rowLength: 1) == [0, 0, 0x80, 0x3F])
    }

    @Test("bf16 rounds to the nearest, ties to even")
    func brainFloats() throws {
        func roundTrip(_ value: Float) throws -> Float {
            try TensorCodec.bf16.decode(TensorCodec.bf16.encode([value], rowLength: 1), elements: 1, rowLength: 1)[0]
        }
        #expect(try roundTrip(Float(bitPattern: 0x3F80_8000)).bitPattern == 0x3F80_0000, "tie, even below")
        #expect(try roundTrip(Float(bitPattern: 0x3F81_8000)).bitPattern == 0x3F82_0000, "tie, even above")
        #expect(try roundTrip(Float(bitPattern: 0x3F80_8001)).bitPattern == 0x3F81_0000, "above the tie")
        #expect(try roundTrip(.greatestFiniteMagnitude) == .infinity)
        #expect(try roundTrip(-.infinity) == -.infinity)
        #expect(try roundTrip(Float(bitPattern: 0x7FFF_FFFF)).isNaN)
        #expect(try roundTrip(Float(bitPattern: 0x7F80_0001)).isNaN, "a NaN only in the lower half")
        var generator = SeededGenerator(seed: 2)
        for _ in 0..<1000 {
            let value = Float(generator.unit() - 0.5) * 100
            #expect(abs(try roundTrip(value) - value) <= value.magnitude / 256)
        }
    }

    @Test("int8 errs by half a step of its row's scale at most")
    func scaledBytes() throws {
        for seed in 0..<20 as Range<UInt64> {
            let values = gradients(count: 1, length: 70, seed: seed)[0]
            let back = try TensorCodec.int8.decode(
                TensorCodec.int8.encode(values, rowLength: 16), elements: 70, rowLength: 16)
            for start in stride(from: 0, to: 70, by: 16) {
                let row = start..<min(start + 16, 70)
                let step = (row.map { values[$0].magnitude }.max() ?? 0) / 127
                for index in row { #expect(abs(back[index] - values[index]) <= step * 0.5001) }
            }
        }
        let tiny = try TensorCodec.int8.decode(
            TensorCodec.int8.encode([Float.leastNonzeroMagnitude, 0], rowLength: 2), elements: 2, rowLength: 2)
        #expect(tiny == [0, 0])
        let diverged = try TensorCodec.int8.decode(
            TensorCodec.int8.encode([1, .infinity, 3] as [Float], rowLength: 2), elements: 3, rowLength: 2)
        #expect(diverged[0].isNaN && diverged[1].isNaN && diverged[2] == 3)
    }

    @Test("int8 refuses bytes that no encoder writes")
    func hostileBytes() {
        func decode(_ scale: Float, _ byte: Int8) throws -> [Float] {
            let bits = scale.bitPattern
            let bytes = (0..<4).map { UInt8(truncatingIfNeeded: bits >> UInt32($0 * 8)) }
            return try TensorCodec.int8.decode(bytes + [UInt8(bitPattern: byte)], elements: 1, rowLength: 1)
        }
        #expect(throws: WireError.notCanonical) { try decode(1, -128) }
        #expect(throws: WireError.notCanonical) { try decode(-1, 1) }
        #expect(throws: WireError.notCanonical) { try decode(.infinity, 1) }
        #expect(throws: WireError.notCanonical) { try decode(Float(bitPattern: 0x7FC0_0001), 1) }
        #expect(throws: Never.self) { try decode(0.5, 127) }
    }
}
