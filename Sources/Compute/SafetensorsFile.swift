/// A whole safetensors file in memory.
package struct SafetensorsFile: Sendable {
    package let header: SafetensorsHeader
    package let bytes: [UInt8]

    /// Reads and checks a file's bytes.
    package init(_ bytes: [UInt8]) throws(SafetensorsError) {
        header = try SafetensorsHeader(start: bytes, fileByteCount: bytes.count)
        self.bytes = bytes
    }

    /// A tensor as float32; F16, BF16 and F32 exactly, F64 rounded.
    package func floats(_ name: String) throws(SafetensorsError) -> [Float] {
        guard let entry = header[name] else { throw .missingTensor(name) }
        return try Self.floats(bytes[entry.range], type: entry.type, name: name)
    }

    /// An I32 tensor.
    package func integers(_ name: String) throws(SafetensorsError) -> [Int32] {
        guard let entry = header[name] else { throw .missingTensor(name) }
        guard entry.type == .int32 else { throw .unsuitableTensor(name, "its elements are \(entry.type.rawValue)") }
        return Self.littleEndian32(bytes[entry.range]).map { Int32(bitPattern: $0) }
    }

    /// The numbers in a tensor's bytes, as they lie in a file of this format (little-endian).
    package static func floats(
        _ bytes: ArraySlice<UInt8>, type: TensorType, name: String
    ) throws(SafetensorsError) -> [Float] {
        guard bytes.count % type.byteCount == 0 else {
            throw .unsuitableTensor(name, "\(bytes.count) bytes are no whole number of \(type.rawValue) elements")
        }
        switch type {
        case .float32: return littleEndian32(bytes).map { Float(bitPattern: $0) }
        case .bfloat16: return littleEndian16(bytes).map { Float(bitPattern: UInt32($0) << 16) }
        case .float16: return littleEndian16(bytes).map(float(half:))
        case .float64:
            let low = littleEndian32(bytes)
            return stride(from: 0, to: low.count, by: 2).map { index in
                Float(Double(bitPattern: UInt64(low[index + 1]) << 32 | UInt64(low[index])))
            }
        default: throw .unsuitableTensor(name, "its elements are \(type.rawValue), not floating-point numbers")
        }
    }

    private static func littleEndian32(_ bytes: ArraySlice<UInt8>) -> [UInt32] {
        bytes.withUnsafeBytes { raw in
            (0..<raw.count / 4).map { UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)) }
        }
    }

    private static func littleEndian16(_ bytes: ArraySlice<UInt8>) -> [UInt16] {
        bytes.withUnsafeBytes { raw in
            (0..<raw.count / 2).map { UInt16(littleEndian: raw.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)) }
        }
    }

    /// IEEE 754 binary16, by its definition (Swift's Float16 does not exist on every platform).
    static func float(half: UInt16) -> Float {
        let sign: FloatingPointSign = half >> 15 == 0 ? .plus : .minus
        let exponent = Int(half >> 10 & 31)
        let fraction = Float(half & 1023)
        switch exponent {
        case 0: return Float(signOf: sign == .plus ? 1 : -1, magnitudeOf: fraction * 0x1p-24)
        case 31: return fraction == 0 ? (sign == .plus ? .infinity : -.infinity) : .nan
        default: return Float(sign: sign, exponent: exponent - 15, significand: 1 + fraction * 0x1p-10)
        }
    }
}

// MARK: Writing

extension SafetensorsFile {
    /// A float32 tensor to be written.
    package struct Tensor: Sendable {
        package let name: String
        package let shape: [Int]
        package let numbers: [Float]

        /// `values` must have as many elements as the shape says, in row-major order.
        package init(_ name: String, shape: [Int], values numbers: [Float]) {
            precondition(shape.reduce(1, *) == numbers.count, "\(name) has \(numbers.count) numbers for \(shape)")
            self.name = name
            self.shape = shape
            self.numbers = numbers
        }
    }

    /// The bytes of a file with these tensors in this order. Names must differ. The same input gives the same bytes.
    package static func encode(_ tensors: [Tensor], metadata: [SafetensorsHeader.Remark] = []) -> [UInt8] {
        var file = header(of: tensors, metadata: metadata)
        file.reserveCapacity(file.count + tensors.reduce(0) { $0 + 4 * $1.numbers.count })
        for tensor in tensors { append(tensor.numbers, to: &file) }
        return file
    }

    /// Appends float32 values as little-endian bytes.
    static func append(_ values: [Float], to bytes: inout [UInt8]) {
        #if _endian(little)
            values.withUnsafeBytes { bytes.append(contentsOf: $0) }
        #else
            for value in values {
                withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
            }
        #endif
    }

    /// Length and JSON, padded with spaces so that the data starts at a multiple of eight bytes.
    private static func header(of tensors: [Tensor], metadata: [SafetensorsHeader.Remark]) -> [UInt8] {
        var members: [[UInt8]] = []
        if !metadata.isEmpty {
            let remarks = metadata.sorted { $0.key < $1.key }.map {
                SafetensorsJSON.quote($0.key) + [UInt8(ascii: ":")] + SafetensorsJSON.quote($0.value)
            }
            members.append(Array("\"__metadata__\":{".utf8) + remarks.joined(separator: [UInt8(ascii: ",")]) + [0x7D])
        }
        var offset = 0
        for tensor in tensors {
            let end = offset + 4 * tensor.numbers.count
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            let text = ":{\"dtype\":\"F32\",\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}"
            members.append(SafetensorsJSON.quote(tensor.name) + Array(text.utf8))
            offset = end
        }
        var json: [UInt8] = [UInt8(ascii: "{")] + members.joined(separator: [UInt8(ascii: ",")]) + [UInt8(ascii: "}")]
        while json.count % 8 != 0 { json.append(UInt8(ascii: " ")) }
        return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
    }
}
