package import Wire

/// How a tensor's elements are written on the wire.
package enum TensorCodec: UInt8, CaseIterable, Sendable {
    /// IEEE 754 single precision, little-endian: exact.
    case f32 = 0
    /// The upper half of single precision, rounded to nearest, ties to even: 8 bits of precision at full range.
    case bf16 = 1
    /// Each row is a single-precision scale and one signed byte an element: value = scale × byte, where scale is the row's
    /// largest magnitude divided by 127. The byte -128 is not used. A row with an infinity or NaN has the canonical NaN as
    /// its scale and comes out as NaN everywhere, so that a diverged run shows itself.
    case int8 = 2

    /// Bytes of `elements` values in rows of `rowLength` (the last row may be shorter).
    package func byteCount(elements: Int, rowLength: Int) -> Int {
        switch self {
        case .f32: elements * 4
        case .bf16: elements * 2
        case .int8: elements + (elements + rowLength - 1) / rowLength * 4
        }
    }

    /// Encodes values in rows of `rowLength`, which must be positive.
    package func encode(_ values: some RandomAccessCollection<Float>, rowLength: Int) -> [UInt8] {
        let fast = values.withContiguousStorageIfAvailable { encode($0, rowLength: rowLength) }
        return fast ?? Array(values).withUnsafeBufferPointer { encode($0, rowLength: rowLength) }
    }

    private func encode(_ values: UnsafeBufferPointer<Float>, rowLength: Int) -> [UInt8] {
        precondition(rowLength > 0, "rows have elements")
        let size = byteCount(elements: values.count, rowLength: rowLength)
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            switch self {
            case .f32: Self.encodeSingle(values, raw)
            case .bf16: Self.encodeBrain(values, raw)
            case .int8: Self.encodeBytes(values, rowLength, raw)
            }
            count = size
        }
    }

    /// Decodes exactly `elements` values; throws if the bytes are not of exactly the right number or not canonical.
    /// The size is checked before anything is allocated.
    package func decode(_ bytes: [UInt8], elements: Int, rowLength: Int) throws(WireError) -> [Float] {
        guard elements >= 0, elements <= Limits.tensorElements, rowLength > 0 else { throw .outOfRange }
        let size = byteCount(elements: elements, rowLength: rowLength)
        guard bytes.count == size else { throw bytes.count < size ? .truncated : .trailingBytes }
        var isCanonical = true
        let values = [Float](unsafeUninitializedCapacity: elements) { buffer, count in
            bytes.withUnsafeBytes { raw in
                let output = UnsafeMutableBufferPointer(rebasing: buffer[..<elements])
                switch self {
                case .f32: Self.decodeSingle(raw, output)
                case .bf16: Self.decodeBrain(raw, output)
                case .int8: isCanonical = Self.decodeBytes(raw, rowLength, output)
                }
            }
            count = elements
        }
        guard isCanonical else { throw .notCanonical }
        return values
    }

    // MARK: Single precision

    private static func encodeSingle(_ values: UnsafeBufferPointer<Float>, _ raw: UnsafeMutableRawBufferPointer) {
        #if _endian(little)
            raw.copyMemory(from: UnsafeRawBufferPointer(values))
        #else
            for index in values.indices {
                raw.storeBytes(of: values[index].bitPattern.littleEndian, toByteOffset: index * 4, as: UInt32.self)
            }
        #endif
    }

    private static func decodeSingle(_ raw: UnsafeRawBufferPointer, _ output: UnsafeMutableBufferPointer<Float>) {
        #if _endian(little)
            UnsafeMutableRawBufferPointer(output).copyMemory(from: raw)
        #else
            for index in output.indices {
                let bits = raw.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)
                output.initializeElement(at: index, to: Float(bitPattern: UInt32(littleEndian: bits)))
            }
        #endif
    }

    // MARK: Brain floats

    private static func encodeBrain(_ values: UnsafeBufferPointer<Float>, _ raw: UnsafeMutableRawBufferPointer) {
        for index in values.indices {
            let bits = values[index].bitPattern
            // Adding just under half of the last kept place, or half if that place is odd, rounds ties to even. A NaN
            // keeps its upper half with the quiet bit, so that the addition cannot carry it into infinity.
            let rounded =
                values[index].isNaN ? bits | 0x0040_0000 : bits &+ 0x7FFF &+ ((bits >> 16) & 1)
            raw.storeBytes(
                of: UInt16(truncatingIfNeeded: rounded >> 16).littleEndian, toByteOffset: index * 2, as: UInt16.self)
        }
    }

    private static func decodeBrain(_ raw: UnsafeRawBufferPointer, _ output: UnsafeMutableBufferPointer<Float>) {
        for index in output.indices {
            let half = UInt16(littleEndian: raw.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
            output.initializeElement(at: index, to: Float(bitPattern: UInt32(half) << 16))
        }
    }

    // MARK: Scaled bytes

    private static func encodeBytes(
        _ values: UnsafeBufferPointer<Float>, _ rowLength: Int, _ raw: UnsafeMutableRawBufferPointer
    ) {
        var offset = 0
        for start in stride(from: 0, to: values.count, by: rowLength) {
            let row = start..<min(start + rowLength, values.count)
            var largest: Float = 0
            var isFinite = true
            for index in row {
                isFinite = isFinite && values[index].isFinite
                largest = max(largest, values[index].magnitude)
            }
            let scale = isFinite ? largest / 127 : .nan
            raw.storeBytes(of: scale.bitPattern.littleEndian, toByteOffset: offset, as: UInt32.self)
            offset += 4
            for index in row {
                // A row of numbers too small to scale is a row of zeros.
                let quotient = scale > 0 ? (values[index] / scale).rounded() : 0
                raw.storeBytes(of: Int8(max(-127, min(127, quotient))), toByteOffset: offset, as: Int8.self)
                offset += 1
            }
        }
    }

    private static func decodeBytes(
        _ raw: UnsafeRawBufferPointer, _ rowLength: Int, _ output: UnsafeMutableBufferPointer<Float>
    ) -> Bool {
        var offset = 0
        var isCanonical = true
        for start in stride(from: 0, to: output.count, by: rowLength) {
            let bits = UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            let scale = Float(bitPattern: bits)
            if !(scale.isFinite && scale.sign == .plus) && bits != Float.nan.bitPattern { isCanonical = false }
            offset += 4
            for index in start..<min(start + rowLength, output.count) {
                let byte = raw.loadUnaligned(fromByteOffset: offset, as: Int8.self)
                if byte == -128 { isCanonical = false }
                output.initializeElement(at: index, to: scale * Float(byte))
                offset += 1
            }
        }
        return isCanonical
    }
}

extension TensorCodec: WireCodable {
    package func encode(to writer: inout WireWriter) { writer.write(rawValue) }

    package init(from reader: inout WireReader) throws(WireError) {
        guard let value = TensorCodec(rawValue: try reader.read()) else { throw .outOfRange }
        self = value
    }
}
