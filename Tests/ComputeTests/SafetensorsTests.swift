import Compute
import Primitives
import Testing

@Suite("Safetensors")
struct SafetensorsTests {
    func file(_ json: String, data: Int = 0) -> [UInt8] {
        let header = Array(json.utf8)
        return withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header
            + [UInt8](repeating: 0, count: data)
    }

    @Test("what is written is read back")
    func roundTrip() throws {
        let tensors = [
            SafetensorsFile.Tensor("h.0.weight", shape: [2, 3], values: [1, -0.0, .pi, 0x1p-149, .infinity, -7]),
            SafetensorsFile.Tensor("empty", shape: [0, 5], values: []),
            SafetensorsFile.Tensor("quote\"\\\n\u{1}é", shape: [], values: [4]),
        ]
        let remarks = [SafetensorsHeader.Remark("step", "12"), SafetensorsHeader.Remark("name", "a\tb")]
        let bytes = SafetensorsFile.encode(tensors, metadata: remarks)
        #expect(bytes == SafetensorsFile.encode(tensors, metadata: remarks.reversed()), "the bytes are not canonical")
        let read = try SafetensorsFile(bytes)
        #expect(read.header.dataOffset % 8 == 0)
        #expect(read.header.entries.map(\.count).reduce(0, +) == 7)
        for tensor in tensors {
            #expect(try read.floats(tensor.name).map(\.bitPattern) == tensor.numbers.map(\.bitPattern))
            #expect(read.header[tensor.name]?.shape == tensor.shape)
        }
        #expect(read.header.remark("step") == "12")
        #expect(read.header.remark("name") == "a\tb")
        // The header alone is enough to find a tensor's bytes.
        let start = Array(bytes.prefix(try SafetensorsHeader.byteCount(start: Array(bytes.prefix(8)))))
        let header = try SafetensorsHeader(start: start, fileByteCount: bytes.count)
        let range = try #require(header["h.0.weight"]).range
        #expect(try SafetensorsFile.floats(bytes[range], type: .float32, name: "w").first == 1)
    }

    @Test("half precisions widen exactly")
    func halfPrecisions() throws {
        let json =
            #"{"h":{"dtype":"F16","shape":[4],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]}}"#
        var bytes = file(json)
        for half: UInt16 in [0x3C00, 0xC000, 0x0001, 0x7BFF, 0x3FC0] {
            bytes += [UInt8(half & 255), UInt8(half >> 8)]
        }
        let read = try SafetensorsFile(bytes)
        #expect(try read.floats("h") == [1, -2, 0x1p-24, 65504])
        #expect(try read.floats("b") == [1.5])
    }

    @Test(
        "hostile headers are refused",
        arguments: [
            "", "[]", "{", "{}x", #"{"a":1}"#, #"{"a":{}}"#,
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#,
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
            #"{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}"#,
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}}"#,
            #"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#,
            #"{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}"#,
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}}"#,
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#,
            #"{"a":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,8]}}"#,
            #"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}"#,
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            #"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}}"#,
            #"{"a\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
            #"{"a\u00g0":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
            #"{"__metadata__":{"a":1},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
        ])
    func hostile(json: String) {
        #expect(throws: SafetensorsError.self) { _ = try SafetensorsFile(file(json, data: 8)) }
    }

    @Test("a wrong length never allocates")
    func lengths() {
        #expect(throws: SafetensorsError.truncated(needed: 8, actual: 3)) { _ = try SafetensorsFile([1, 2, 3]) }
        #expect(throws: SafetensorsError.headerTooLong(.max)) {
            _ = try SafetensorsFile([UInt8](repeating: 0xFF, count: 16))
        }
        #expect(throws: SafetensorsError.self) { _ = try SafetensorsFile([255, 255, 0, 0, 0, 0, 0, 0, 0x7B]) }
    }

    @Test("no mutation of a file crashes the reader")
    func mutations() throws {
        let good = SafetensorsFile.encode(
            [
                SafetensorsFile.Tensor("a", shape: [2], values: [1, 2]),
                SafetensorsFile.Tensor("b", shape: [1], values: [3]),
            ], metadata: [SafetensorsHeader.Remark("k", "v")])
        var random = SeededGenerator(seed: 5)
        var accepted = 0
        for _ in 0..<3000 {
            var bytes = good
            for _ in 0...random.index(below: 3) {
                bytes[random.index(below: bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            if random.index(below: 4) == 0 { bytes.removeLast(random.index(below: bytes.count)) }
            if let file = try? SafetensorsFile(bytes) {
                accepted += 1
                for entry in file.header.entries { _ = try? file.floats(entry.name) }
            }
        }
        #expect(accepted > 0, "mutations of the data alone must still be readable")
    }

    @Test("a stage and its optimiser come back from a file")
    func checkpoint() throws {
        let run = try TinyRun(layers: 2)
        let straight = try LocalPipeline(run, cuts: [0..<2])
        let saved = try LocalPipeline(run, cuts: [0..<2])
        for step in 0..<2 {
            _ = try straight.step(step)
            _ = try saved.step(step)
        }
        let bytes = SafetensorsFile.encode(saved.stages[0].tensors() + saved.optimisers[0].tensors())
        let file = try SafetensorsFile(bytes)
        // Resumed on another cut.
        let resumed = try LocalPipeline(run, cuts: [0..<1, 1..<2])
        for (stage, optimiser) in zip(resumed.stages, resumed.optimisers) {
            try stage.load(file)
            try optimiser.load(file, steps: 2)
        }
        for step in 2..<4 {
            #expect(
                try straight.step(step).map(\.bitPattern) == resumed.step(step).map(\.bitPattern),
                "step \(step) differs after the resume")
        }
        let other = try GPTStage(
            configuration: GPTConfiguration(layers: 2, heads: 2, width: 18, context: 8, vocabulary: 29), layers: 0..<2,
            seed: 1)
        #expect(throws: SafetensorsError.self) { try other.load(file) }
    }
}
