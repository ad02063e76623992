internal import Compute

extension FuzzTarget {
    /// Weights from outside: the safetensors file that a person or a peer hands over.
    static let compute: [FuzzTarget] = [
        FuzzTarget(
            "compute-safetensors", maximumByteCount: 4096, seeds: { seedFiles },
            check: { bytes throws(FuzzFinding) in
                let file: SafetensorsFile
                do { file = try SafetensorsFile(bytes) } catch { return false }
                for entry in file.header.entries {
                    let (size, overflow) = entry.shape.reduce((entry.type.byteCount, false)) { size, extent in
                        let (product, overflow) = size.0.multipliedReportingOverflow(by: extent)
                        return (product, size.1 || overflow)
                    }
                    guard !overflow, size == entry.range.count, entry.range.upperBound <= bytes.count,
                        entry.range.lowerBound >= file.header.dataOffset
                    else { throw FuzzFinding("\(entry) does not describe bytes of the file") }
                    if let values = try? file.floats(entry.name), values.count != entry.count {
                        throw FuzzFinding("\(entry) has \(values.count) values")
                    }
                }
                return true
            })
    ]

    private static let seedFiles: [[UInt8]] = [
        SafetensorsFile.encode([]),
        SafetensorsFile.encode(
            [
                SafetensorsFile.Tensor("wte.weight", shape: [2, 3], values: [1, 2, 3, 4, 5, 6]),
                SafetensorsFile.Tensor("h.0.ln_1.bias", shape: [2], values: [0.5, -0.5]),
            ],
            metadata: [SafetensorsHeader.Remark("format", "pt"), SafetensorsHeader.Remark("weft.step", "10")]),
        file(
            #"{"x":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},"y":{"dtype":"I32","shape":[],"data_offsets":[4,8]}}"#,
            8),
        file(#"{ "caf\u00e9 \"q\" \ud83d\ude00" : {"shape":[0], "dtype":"BF16", "data_offsets":[0, 0]} }"#, 0),
    ]

    /// A file with this header and so many zero bytes of data.
    private static func file(_ header: String, _ dataBytes: Int) -> [UInt8] {
        let json = Array(header.utf8)
        let length = (0..<8).map { UInt8(truncatingIfNeeded: json.count >> ($0 * 8)) }
        return length + json + [UInt8](repeating: 0, count: dataBytes)
    }
}
