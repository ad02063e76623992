/// Element types of the safetensors format.
package enum TensorType: String, Hashable, Sendable {
    case float64 = "F64"
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int64 = "I64"
    case int32 = "I32"
    case int16 = "I16"
    case int8 = "I8"
    case uint64 = "U64"
    case uint32 = "U32"
    case uint16 = "U16"
    case uint8 = "U8"
    case bool = "BOOL"

    /// Bytes of one element.
    package var byteCount: Int {
        switch self {
        case .float64, .int64, .uint64: 8
        case .float32, .int32, .uint32: 4
        case .float16, .bfloat16, .int16, .uint16: 2
        case .int8, .uint8, .bool: 1
        }
    }
}

/// The table of contents of a safetensors file (Hugging Face's format: 8 bytes of little-endian header length, a JSON
/// header, then the tensors' bytes without gaps).
///
/// Reading it needs only the file's first bytes, so a stage can fetch the byte ranges of its own tensors alone. Every
/// length and offset is checked against the file's size, and no allocation exceeds the header that is there.
package struct SafetensorsHeader: Hashable, Sendable {
    /// Longest accepted header; GPT-2's largest model needs 70 kB.
    package static let maximumBytes = 16 << 20
    /// Most tensors in a file.
    package static let maximumTensors = 1 << 16
    /// Most dimensions of a tensor.
    package static let maximumRank = 8

    /// One tensor.
    package struct Entry: Hashable, Sendable {
        package let name: String
        package let type: TensorType
        package let shape: [Int]
        /// Its bytes, counted from the start of the file.
        package let range: Range<Int>

        /// Numbers in the tensor.
        package var count: Int { range.count / type.byteCount }
    }

    /// In the order of their bytes.
    package let entries: [Entry]
    /// The file's free-form remarks, sorted by key.
    package let metadata: [Remark]
    /// Where the tensors' bytes start.
    package let dataOffset: Int
    private let indices: [String: Int]

    /// One key and value of "__metadata__".
    package struct Remark: Hashable, Sendable {
        package let key: String
        package let value: String

        package init(_ key: String, _ value: String) {
            self.key = key
            self.value = value
        }
    }

    /// Bytes from the start of the file that hold the whole header; `start` needs the first eight.
    package static func byteCount(start: [UInt8]) throws(SafetensorsError) -> Int {
        guard start.count >= 8 else { throw .truncated(needed: 8, actual: start.count) }
        let length = start[0..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= UInt64(maximumBytes) else { throw .headerTooLong(length) }
        return 8 + Int(length)
    }

    /// Reads the header of a file of `fileByteCount` bytes; `start` must reach to the header's end.
    package init(start: [UInt8], fileByteCount: Int) throws(SafetensorsError) {
        let end = try Self.byteCount(start: start)
        guard start.count >= end, fileByteCount >= end else {
            throw .truncated(needed: UInt64(end), actual: min(start.count, fileByteCount))
        }
        var found: [Entry] = []
        var remarks: [Remark] = []
        var seen: Set<String> = []
        var json = SafetensorsJSON(start[8..<end])
        try json.object { (json, name) throws(SafetensorsError) in
            guard seen.insert(name).inserted else { throw json.failure("\(name) twice") }
            if name == "__metadata__" {
                remarks = try Self.remarks(&json)
            } else {
                guard found.count < Self.maximumTensors else {
                    throw json.failure("more than \(Self.maximumTensors) tensors")
                }
                found.append(try Self.entry(&json, name, dataOffset: end, dataBytes: fileByteCount - end))
            }
        }
        try json.end()
        // An empty tensor shares its offset with its neighbour: the end decides.
        found.sort {
            ($0.range.lowerBound, $0.range.upperBound, $0.name) < ($1.range.lowerBound, $1.range.upperBound, $1.name)
        }
        var next = end
        for entry in found {
            guard entry.range.lowerBound == next else {
                throw .badTensor(entry.name, "its bytes do not follow the previous tensor's")
            }
            next = entry.range.upperBound
        }
        guard next == fileByteCount else {
            throw .malformedHeader(
                "the tensors cover \(next - end) of \(fileByteCount - end) data bytes", offset: end - 8)
        }
        entries = found
        metadata = remarks.sorted { $0.key < $1.key }
        dataOffset = end
        indices = Dictionary(uniqueKeysWithValues: found.enumerated().map { ($1.name, $0) })
    }

    package subscript(name: String) -> Entry? { indices[name].map { entries[$0] } }

    /// The value of a remark.
    package func remark(_ key: String) -> String? { metadata.first { $0.key == key }?.value }

    private static func remarks(_ json: inout SafetensorsJSON) throws(SafetensorsError) -> [Remark] {
        var remarks: [Remark] = []
        var seen: Set<String> = []
        try json.object { (json, key) throws(SafetensorsError) in
            guard remarks.count < 4096 else { throw json.failure("more than 4096 remarks") }
            guard seen.insert(key).inserted else { throw json.failure("\(key) twice") }
            remarks.append(Remark(key, try json.string()))
        }
        return remarks
    }

    private static func entry(
        _ json: inout SafetensorsJSON, _ name: String, dataOffset: Int, dataBytes: Int
    ) throws(SafetensorsError) -> Entry {
        var type: TensorType?
        var shape: [Int]?
        var offsets: [Int]?
        try json.object { (json, key) throws(SafetensorsError) in
            switch key {
            case "dtype" where type == nil:
                let text = try json.string()
                guard let known = TensorType(rawValue: text) else {
                    throw .badTensor(name, "its element type \(text) is unknown")
                }
                type = known
            case "shape" where shape == nil: shape = try json.numbers(limit: maximumRank)
            case "data_offsets" where offsets == nil: offsets = try json.numbers(limit: 2)
            default: throw .badTensor(name, "its description has an unknown or repeated key \(key)")
            }
        }
        guard let type, let shape, let offsets, offsets.count == 2 else {
            throw .badTensor(name, "its description lacks dtype, shape or two data_offsets")
        }
        guard offsets[0] <= offsets[1], offsets[1] <= dataBytes else {
            throw .badTensor(name, "its offsets \(offsets[0])...\(offsets[1]) leave the file's \(dataBytes) data bytes")
        }
        var bytes = type.byteCount
        for extent in shape {
            let (product, overflowed) = bytes.multipliedReportingOverflow(by: extent)
            guard !overflowed else { throw .badTensor(name, "its shape \(shape) is too large") }
            bytes = product
        }
        guard bytes == offsets[1] - offsets[0] else {
            throw .badTensor(name, "its shape \(shape) needs \(bytes) bytes, not \(offsets[1] - offsets[0])")
        }
        return Entry(name: name, type: type, shape: shape, range: dataOffset + offsets[0]..<dataOffset + offsets[1])
    }
}
