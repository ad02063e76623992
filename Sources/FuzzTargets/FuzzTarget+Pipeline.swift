internal import Pipeline
internal import Primitives
internal import Shards
internal import Wire

extension FuzzTarget {
    /// What coordinator and workers of a job say to each other.
    static let pipeline: [FuzzTarget] = [
        codec("pipeline-job-message", maximumByteCount: 4096, seeds: { PipelineSamples.messages }),
        codec("pipeline-spec", seeds: { [PipelineSamples.spec] }),
        codec(
            "pipeline-checkpoint", maximumByteCount: 4096, seeds: { [PipelineSamples.checkpoint].compactMap(\.self) }),
        FuzzTarget(
            "pipeline-layout", maximumByteCount: 4096, seeds: { [PipelineSamples.layout.wireBytes] },
            check: { bytes throws(FuzzFinding) in
                let layout: PipelineLayout
                do { layout = try PipelineLayout(wireBytes: bytes) } catch { return false }
                try expectSame(layout.wireBytes, bytes)
                // A layout that passes its own check can be worked with.
                guard (try? layout.validate(layerCount: 4, microBatchCount: 4)) != nil else { return true }
                for segment in ReduceSegment.segments(of: layout) where segment.members.count != segment.shares.count {
                    throw FuzzFinding("segment \(segment.id) misses members")
                }
                return true
            }),
        FuzzTarget(
            "pipeline-tensor", maximumByteCount: 4096, seeds: { PipelineSamples.tensors.map(\.wireBytes) },
            check: { bytes throws(FuzzFinding) in
                let tensor: TensorMessage
                do { tensor = try TensorMessage(wireBytes: bytes) } catch { return false }
                try expectSame(tensor.wireBytes, bytes)
                guard
                    let values = try? tensor.values(rows: tensor.rows, columns: tensor.columns, codec: tensor.codec)
                else { return false }
                guard values.count == tensor.rows * tensor.columns else {
                    throw FuzzFinding("\(values.count) values for a shape of \(tensor.rows) x \(tensor.columns)")
                }
                return true
            }),
        FuzzTarget(
            "pipeline-reduce", maximumByteCount: 4096,
            seeds: { [PipelineSamples.chunk.wireBytes] },
            check: { bytes throws(FuzzFinding) in
                let chunk: ReduceChunk
                do { chunk = try ReduceChunk(wireBytes: bytes) } catch { return false }
                try expectSame(chunk.wireBytes, bytes)
                // A member that reduces with the sender survives whatever it says.
                var reduce = AllReduce(
                    AllReduce.Configuration(rank: 0, shares: [0..<2, 2..<4], elementCount: 600), firstStep: 5)
                var effects: [AllReduce.Effect] = []
                let now = Instant(nanoseconds: 0)
                reduce.handle(.part(chunk, rank: 1), at: now, into: &effects)
                reduce.handle(.reduced(chunk, rank: 1), at: now, into: &effects)
                reduce.handle(.part(chunk, rank: Int(bytes.count % 5)), at: now, into: &effects)
                return true
            }),
    ]
}

/// One of each message of a small job.
private enum PipelineSamples {
    static let run = RunID(job: 0x1122_3344_5566_7788, attempt: 1)
    static let shard = ShardID(digest: FuzzSamples.digest(1))
    static let phase = StepPhase(step: 5, pass: .training)

    static let spec = JobSpec(
        name: "tiny", model: .init(layers: 4, width: 64, heads: 2, context: 32), data: .shard(shard), seed: 7,
        steps: 100, sequences: 8, microBatchSequences: 2, optimizer: .init(warmupSteps: 10), stages: 2,
        checkpointEvery: 50, validation: .init(every: 25, batches: 4, fraction: 0.1))

    static let layout = PipelineLayout(pipelines: [
        .init(
            microBatches: 0..<3,
            stages: [
                .init(peer: FuzzSamples.peer(1), layers: 0..<1), .init(peer: FuzzSamples.peer(2), layers: 1..<4),
            ]),
        .init(microBatches: 3..<4, stages: [.init(peer: FuzzSamples.peer(3), layers: 0..<4)]),
    ])

    static let parts: [CheckpointPart] = [
        .init(part: .tokenEmbedding, shard: shard, byteCount: 1000, holders: [FuzzSamples.peer(1)]),
        .init(
            part: .layers(0..<4), shard: shard, byteCount: 1000, holders: [FuzzSamples.peer(1), FuzzSamples.peer(2)]),
    ]

    static let checkpoint = CheckpointManifest(step: 50, spec: spec, parts: parts)

    static let tensors: [TensorMessage] = TensorCodec.allCases.map { codec in
        TensorMessage(
            phase: phase, microBatch: 2, rows: 2, columns: 3, codec: codec,
            values: [1, -2, 0.5, 0, 100, -1e-3] as [Float])
    }

    static let chunk = ReduceChunk(
        step: 5, node: 2..<4, offset: 0, values: [Float](repeating: 0.5, count: 300), codec: .f32)

    static var messages: [JobMessage] {
        let preparation = JobPreparation(
            run: run, spec: spec, data: shard, layout: layout, plan: [1, 2, 3], checkpoint: checkpoint,
            signer: FuzzSamples.signer(1))
        return [
            .prepare(preparation), .progress(run, done: 1, total: 2), .ready(run), .begin(run, steps: 0..<100),
            .activation(run, tensors[0]), .activationGradient(run, tensors[1]), .reducePart(run, segment: 2, chunk),
            .reducedPart(run, segment: 2, chunk), .tiedGradient(run, segment: 0, chunk),
            .losses(run, LossReport(phase: phase, firstMicroBatch: 1, losses: [2.5, 2.25])),
            .stepDone(run, step: 5, elapsed: .milliseconds(20), computing: .milliseconds(15)),
            .checkpointPart(run, step: 50, parts[1]), .finish(run), .abort(run, .peerLost, detail: "peer 3 is gone"),
        ] + [checkpoint].compactMap { $0.map { .checkpoint(run, $0) } }
    }
}
