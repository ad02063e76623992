import Pipeline
import Primitives
import Shards
import TestSupport
import Testing
import Wire

func peer(_ index: Int) -> PeerID {
    guard let peer = PeerID(bytes: Array(repeating: UInt8(index), count: 32)) else { preconditionFailure() }
    return peer
}

/// Signs by hashing, which is enough to see whether the right bytes are signed.
func testSigner(_ index: Int) -> Signer {
    @Sendable func sign(_ peer: PeerID, _ message: [UInt8], _ context: String) -> [UInt8] {
        let half = Digest.sha256(peer.bytes + Array(context.utf8) + message).bytes
        return half + half
    }
    return Signer(
        peer: peer(index), sign: { sign(peer(index), $0, $1) }, verify: { $1 == sign($0, $2, $3) })
}

enum Sample {
    static let run = RunID(job: 0x1122_3344_5566_7788, attempt: 1)
    static let shard = ShardID(root: Digest.sha256(Array("root".utf8)), byteCount: 1000)

    static let spec = JobSpec(
        name: "tiny", model: .init(layers: 4, width: 64, heads: 2, context: 32), data: .shard(shard), seed: 7,
        steps: 100, sequences: 8, microBatchSequences: 2,
        optimizer: .init(learningRate: 0.001, minimumLearningRate: 0.0001, warmupSteps: 10), stages: 2,
        checkpointEvery: 50, validation: .init(every: 25, batches: 4, fraction: 0.1))

    static let layout = PipelineLayout(pipelines: [
        .init(
            microBatches: 0..<3,
            stages: [.init(peer: peer(1), layers: 0..<1), .init(peer: peer(2), layers: 1..<4)]),
        .init(
            microBatches: 3..<4,
            stages: [.init(peer: peer(3), layers: 0..<3), .init(peer: peer(4), layers: 3..<4)]),
    ])

    static let parts: [CheckpointPart] = [
        .init(part: .tokenEmbedding, shard: shard, byteCount: 1000, holders: [peer(1), peer(2)]),
        .init(part: .layers(0..<1), shard: shard, byteCount: 1000, holders: [peer(1)]),
        .init(part: .layers(1..<4), shard: shard, byteCount: 1000, holders: [peer(2), peer(4)]),
    ]

    static func messages() throws -> [(String, JobMessage)] {
        let tensor = TensorMessage(
            phase: StepPhase(step: 5, pass: .training), microBatch: 2, rows: 1, columns: 2, codec: .f32,
            values: [1, -2] as [Float])
        let chunk = ReduceChunk(step: 5, node: 2..<4, offset: 300, values: [0.5, -1] as [Float], codec: .bf16)
        let checkpoint = try #require(CheckpointManifest(step: 50, spec: spec, parts: parts))
        return [
            (
                "prepare",
                .prepare(
                    JobPreparation(
                        run: run, spec: spec, data: shard, layout: layout, plan: [1, 2, 3], checkpoint: nil,
                        signer: testSigner(9)))
            ),
            ("progress", .progress(run, done: 1_048_576, total: 4_194_304)),
            ("ready", .ready(run)),
            ("begin", .begin(run, steps: 50..<100)),
            ("activation", .activation(run, tensor)),
            ("activationgradient", .activationGradient(run, tensor)),
            ("reducepart", .reducePart(run, segment: 3, chunk)),
            ("reducedpart", .reducedPart(run, segment: 3, chunk)),
            ("tiedgradient", .tiedGradient(run, segment: 0, chunk)),
            (
                "losses",
                .losses(
                    run, LossReport(phase: StepPhase(step: 5, pass: .training), firstMicroBatch: 3, losses: [2.5]))
            ),
            ("stepdone", .stepDone(run, step: 5, elapsed: .milliseconds(250), computing: .milliseconds(200))),
            ("checkpointpart", .checkpointPart(run, step: 50, parts[1])),
            ("checkpoint", .checkpoint(run, checkpoint)),
            ("finish", .finish(run)),
            ("abort", .abort(run, .peerLost, detail: "peer left")),
        ]
    }
}

@Suite("Job messages")
struct JobMessageTests {
    @Test("are what the document says")
    func examples() throws {
        for (name, message) in try Sample.messages() {
            let expected = NetworkExamples.bytes("training/\(name)")
            #expect(expected == message.wireBytes, "training/\(name): \(message.wireBytes.hex)")
        }
    }

    @Test("come back from the wire, and not from less or more of it")
    func roundTrips() throws {
        for (name, message) in try Sample.messages() {
            let bytes = message.wireBytes
            #expect(try JobMessage(wireBytes: bytes) == message, "\(name)")
            #expect(message.run == Sample.run)
            for length in 0..<bytes.count {
                #expect(throws: WireError.self, "\(name) cut to \(length)") {
                    try JobMessage(wireBytes: Array(bytes.prefix(length)))
                }
            }
            #expect(throws: WireError.trailingBytes) { try JobMessage(wireBytes: bytes + [0]) }
        }
    }

    @Test("with any bytes changed decode to themselves or not at all")
    func mutations() throws {
        var generator = SeededGenerator(seed: 11)
        let samples = try Sample.messages().map(\.1.wireBytes)
        for _ in 0..<4000 {
            var bytes = samples[generator.index(below: samples.count)]
            for _ in 0...generator.index(below: 3) {
                bytes[generator.index(below: bytes.count)] = UInt8(truncatingIfNeeded: generator.next())
            }
            guard let message = try? JobMessage(wireBytes: bytes) else { continue }
            #expect(message.wireBytes == bytes, "two spellings of one message: \(bytes.hex)")
        }
    }

    @Test("a preparation is accepted only from its signer and for a layout that computes the job")
    func preparation() throws {
        func preparation(layout: PipelineLayout = Sample.layout, step: UInt64 = 50) throws -> JobPreparation {
            let checkpoint = try #require(CheckpointManifest(step: step, spec: Sample.spec, parts: Sample.parts))
            return JobPreparation(
                run: Sample.run, spec: Sample.spec, data: Sample.shard, layout: layout, plan: [],
                checkpoint: checkpoint,
                signer: testSigner(9))
        }
        #expect(try preparation().isAcceptable(from: peer(9), testSigner(1)))
        #expect(try preparation().firstStep == 50)
        #expect(try !preparation().isAcceptable(from: peer(8), testSigner(1)), "another sender")
        #expect(try !preparation(step: 101).isAcceptable(from: peer(9), testSigner(1)), "beyond the end")
        var gap = Sample.layout
        gap.pipelines[0].stages.removeLast()
        #expect(try !preparation(layout: gap).isAcceptable(from: peer(9), testSigner(1)), "a gap")
        var bytes = try preparation().wireBytes
        bytes[bytes.count - 1] ^= 1
        let forged = try JobPreparation(wireBytes: bytes)
        #expect(!forged.isAcceptable(from: peer(9), testSigner(1)), "forged")
    }

    @Test("a tensor of another shape or codec than the job's is refused")
    func tensorShapes() throws {
        let tensor = TensorMessage(
            phase: StepPhase(step: 0, pass: .training), microBatch: 0, rows: 2, columns: 3, codec: .f32,
            values: [1, 2, 3, 4, 5, 6] as [Float])
        #expect(try tensor.values(rows: 2, columns: 3, codec: .f32) == [1, 2, 3, 4, 5, 6])
        #expect(throws: WireError.outOfRange) { try tensor.values(rows: 3, columns: 2, codec: .f32) }
        #expect(throws: WireError.outOfRange) { try tensor.values(rows: 2, columns: 3, codec: .bf16) }
        // 2^26 rows of 2^26 columns: refused by the product, before anything is allocated.
        let huge: [UInt8] =
            StepPhase(step: 0, pass: .training).wireBytes + [0, 0x80, 0x80, 0x80, 0x20, 0x80, 0x80, 0x80, 0x20, 0]
        #expect(throws: WireError.outOfRange) { try TensorMessage(wireBytes: huge) }
    }
}
