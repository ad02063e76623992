import Compute
import Foundation
import Pipeline
import Primitives
import Runtime
import Shards
import Testing

/// A job small enough for a debug build.
private let spec = JobSpec(
    name: "tiny", model: .init(layers: 3, width: 16, heads: 2, context: 12), data: .named("text"), seed: 5, steps: 6,
    sequences: 10, microBatchSequences: 2,
    optimizer: .init(learningRate: 3e-3, minimumLearningRate: 1e-3, warmupSteps: 2), checkpointEvery: 2,
    validation: .init(every: 3, batches: 3, fraction: 0.2))

private let text = Array(
    String(repeating: "the shuttle carries the weft through the warp, over and under, row after row. ", count: 12).utf8)

private func peer(_ index: Int) -> PeerID {
    guard let peer = PeerID(bytes: Array(repeating: UInt8(index), count: 32)) else { preconditionFailure() }
    return peer
}

/// Runs a layout with one `TrainingStage` and one `GradientExchange` for each of its peers, in memory.
private final class Swarm {
    let layout: PipelineLayout
    var stages: [PeerID: TrainingStage] = [:]
    var exchanges: [PeerID: GradientExchange] = [:]

    init(_ layout: PipelineLayout, resuming checkpoint: CheckpointDirectory.Loaded? = nil) throws {
        try layout.validate(layerCount: spec.model.layers, microBatchCount: spec.microBatchCount)
        self.layout = layout
        let batches = try spec.batches(of: text)
        for own in layout.peers {
            let position = try #require(layout.position(of: own))
            let isEnd = position.isFirst || position.isLast
            let stage = try TrainingStage(
                spec: spec, layers: position.layers, microBatches: position.microBatches, data: isEnd ? batches : nil)
            if let checkpoint { try stage.restore(checkpoint.files, step: checkpoint.manifest.step) }
            stages[own] = stage
            var configuration = GradientExchange.Configuration(
                run: RunID(job: 1, attempt: 0), layout: layout, peer: own, codec: spec.reduceCodec,
                firstStep: stage.step)
            configuration.chunkElements = 500
            let exchange = try #require(GradientExchange(configuration) { stage.gradientCount(of: $0) })
            exchanges[own] = exchange
        }
    }

    /// One step; its loss.
    func step(_ step: UInt64) throws -> Float {
        let phase = StepPhase(step: step, pass: .training)
        var losses = LossCollector(phase: phase, count: spec.microBatchCount)
        for pipeline in layout.pipelines {
            let line = try pipeline.stages.map { try #require(stages[$0.peer]) }
            for microBatch in pipeline.microBatches {
                var values: [Float]?
                for stage in line { values = try stage.forward(values, microBatch: microBatch, in: phase) }
                for stage in line.reversed() { values = try stage.backward(values, microBatch: microBatch) }
            }
            let report = try #require(line.last?.takeLosses())
            let isNew = losses.add(report)
            #expect(isNew)
        }
        try exchange(step)
        return try #require(losses.loss)
    }

    private func exchange(_ step: UInt64) throws {
        var queue: [(to: PeerID, input: GradientExchange.Input)] = []
        for own in layout.peers {
            let parts = try #require(exchanges[own]).parts
            queue.append((own, .begin(step: step, try #require(stages[own]).takePartials(of: parts))))
        }
        while !queue.isEmpty {
            let (own, input) = queue.removeFirst()
            var effects: [GradientExchange.Effect] = []
            exchanges[own]?.handle(input, at: Instant(nanoseconds: 0), into: &effects)
            for effect in effects {
                switch effect {
                case .send(let message, let to): queue.append((to, .message(message, from: own)))
                case .finished(_, let sums, let tied): try stages[own]?.apply(sums, tied: tied)
                case .refused(_, let why): Issue.record("refused: \(why)")
                }
            }
        }
    }
}

@Suite("Training stages")
struct TrainingStageTests {
    private static func layout(_ pipelines: [(Range<Int>, [Range<Int>])]) -> PipelineLayout {
        var next = 0
        return PipelineLayout(
            pipelines: pipelines.map { share, cuts in
                .init(
                    microBatches: share,
                    stages: cuts.map {
                        next += 1
                        return .init(peer: peer(next), layers: $0)
                    })
            })
    }

    private static let layouts = [
        layout([(0..<5, [0..<3])]),
        layout([(0..<5, [0..<1, 1..<2, 2..<3])]),
        layout([(0..<3, [0..<2, 2..<3]), (3..<5, [0..<1, 1..<3])]),
        layout([(0..<1, [0..<3]), (1..<4, [0..<1, 1..<3]), (4..<5, [0..<2, 2..<3])]),
    ]

    private func localLosses(cuts: [Range<Int>]? = nil) throws -> [UInt32] {
        let trainer = try LocalTrainer(spec: spec, text: text, cuts: cuts)
        var losses: [UInt32] = []
        try trainer.run { event in
            switch event {
            case .step(_, let loss, _, _), .validation(_, let loss): losses.append(loss.bitPattern)
            case .checkpoint: Issue.record("no place was given for checkpoints")
            }
        }
        return losses
    }

    @Test("any layout gives the losses of one process, to the bit", arguments: layouts)
    func anyLayout(layout: PipelineLayout) throws {
        let trainer = try LocalTrainer(spec: spec, text: text)
        let swarm = try Swarm(layout)
        for step in 0..<3 as Range<UInt64> {
            #expect(try swarm.step(step).bitPattern == trainer.trainStep().bitPattern, "step \(step)")
        }
    }

    @Test("virtual stages change nothing, and the model learns")
    func virtualStages() throws {
        let whole = try localLosses()
        #expect(whole.count == 8, "six steps and two validations")
        #expect(try localLosses(cuts: [0..<1, 1..<3]) == whole)
        let (first, last) = (Float(bitPattern: whole[0]), Float(bitPattern: whole[6]))
        #expect(first > 5 && last < first - 0.3, "from \(first) to \(last)")
    }

    @Test("a checkpoint goes on to the bit, on any layout")
    func resume() throws {
        let directory = try TemporaryDirectory()
        let checkpoints = CheckpointDirectory(path: directory.path)
        #expect(try checkpoints.latest()?.path == nil)
        let trainer = try LocalTrainer(spec: spec, text: text, cuts: [0..<2, 2..<3], checkpoints: checkpoints)
        var losses: [Float] = []
        var saved: [UInt64] = []
        try trainer.run { event in
            if case .step(_, let loss, _, _) = event { losses.append(loss) }
            if case .checkpoint(let step, _) = event { saved.append(step) }
        }
        #expect(saved == [2, 4, 6])
        #expect(try checkpoints.latest()?.manifest.step == 6)
        let second = try CheckpointDirectory.open(directory.path + "/step-00000002")
        let resumed = try LocalTrainer(spec: spec, text: text, cuts: [0..<1, 1..<3])
        try resumed.resume(from: second)
        #expect(resumed.step == 2)
        let swarm = try Swarm(Self.layouts[2], resuming: second)
        for step in 2..<5 {
            #expect(try resumed.trainStep().bitPattern == losses[step].bitPattern, "step \(step)")
            #expect(try swarm.step(UInt64(step)).bitPattern == losses[step].bitPattern, "step \(step), swarm")
        }
        let model = try second.model()
        #expect(model.isFirst && model.isLast)
        var other = spec
        other.seed = 6
        let stranger = try LocalTrainer(spec: other, text: text)
        #expect(throws: TrainingError.self) { try stranger.resume(from: second) }
    }

    @Test("all holders of a part export the same bytes")
    func sameParts() throws {
        let swarm = try Swarm(Self.layouts[2])
        _ = try swarm.step(0)
        var shards: [ShardID: Int] = [:]
        for segment in ReduceSegment.checkpointParts(of: swarm.layout) {
            for member in segment.members {
                let bytes = try #require(swarm.stages[member]).export([segment.part])[0]
                let id = try #require(ShardBuilder.manifest(name: "part", bytes: bytes)?.id)
                shards[id, default: 0] += 1
            }
        }
        #expect(shards.values.allSatisfy { $0 == 2 } && shards.count == 4)
        let embedding = try swarm.stages.values.filter { $0.isFirst || $0.isLast }.map {
            try $0.export([.tokenEmbedding])[0]
        }
        #expect(embedding.count == 4 && Set(embedding).count == 1, "the tied weight is one on all four ends")
    }

    @Test("what does not fit is refused with a reason")
    func refusals() throws {
        #expect(throws: TrainingError.needsData) {
            try TrainingStage(spec: spec, layers: 0..<1, microBatches: 0..<5, data: nil)
        }
        let batches = try spec.batches(of: text)
        let stage = try TrainingStage(spec: spec, layers: 0..<3, microBatches: 0..<5, data: batches)
        let phase = StepPhase(step: 0, pass: .training)
        _ = try stage.forward(nil, microBatch: 1, in: phase)
        #expect(throws: TrainingError.outOfOrder(microBatch: 1, expected: 0)) {
            try stage.backward(nil, microBatch: 1)
        }
        #expect(throws: TrainingError.self) { try stage.takePartials(of: stage.parts) }
        #expect(throws: TrainingError.self) { try stage.apply([]) }
        #expect(throws: TrainingError.self) { try stage.export([.outputHead]) }
        #expect(throws: TrainingError.self) { try stage.restore([], step: 1) }
        #expect(throws: TrainingError.self) { try CheckpointDirectory.open("/nonexistent") }
    }
}
