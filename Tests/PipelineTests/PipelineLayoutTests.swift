import Pipeline
import Primitives
import Testing
import Wire

@Suite("Layouts and segments")
struct PipelineLayoutTests {
    @Test("a layout knows each peer's place")
    func positions() throws {
        let layout = Sample.layout
        try layout.validate(layerCount: 4, microBatchCount: 4)
        let last = try #require(layout.position(of: peer(4)))
        #expect(last.pipeline == 1 && last.stage == 1 && last.stageCount == 2)
        #expect(last.layers == 3..<4 && last.microBatches == 3..<4)
        #expect(last.previous == peer(3) && last.isLast && !last.isFirst)
        #expect(layout.position(of: peer(9)) == nil)
        #expect(layout.peers == (1...4).map(peer))
        #expect((0..<2).map { layout.validationShare(of: $0, batches: 5) } == [0..<2, 2..<5])
    }

    @Test("gaps, overlaps and repeated peers are refused")
    func validation() {
        func error(_ change: (inout PipelineLayout) -> Void) -> LayoutError? {
            var layout = Sample.layout
            change(&layout)
            do {
                try layout.validate(layerCount: 4, microBatchCount: 4)
                return nil
            } catch { return error }
        }
        #expect(error { _ in } == nil)
        #expect(error { $0.pipelines = [] } == .noPipelines)
        #expect(error { $0.pipelines[0].stages[1].layers = 2..<4 } == .layers(pipeline: 0))
        #expect(error { $0.pipelines[1].stages[1].layers = 3..<5 } == .layers(pipeline: 1))
        #expect(error { $0.pipelines[1].stages[0].layers = 0..<0 } == .layers(pipeline: 1))
        #expect(error { $0.pipelines[1].microBatches = 2..<4 } == .microBatches(pipeline: 1))
        #expect(error { $0.pipelines[1].microBatches = 3..<5 } == .microBatches(pipeline: 1))
        #expect(error { $0.pipelines[1].stages[0].peer = peer(2) } == .repeatedPeer(peer(2)))
    }

    @Test("segments cut every pipeline at all cuts")
    func segments() {
        let segments = ReduceSegment.segments(of: Sample.layout)
        #expect(segments.map(\.id) == [0, 1, 2, 3, 4])
        #expect(
            segments.map(\.part) == [
                .tokenEmbedding, .outputHead, .layers(0..<1), .layers(1..<3), .layers(3..<4),
            ])
        #expect(segments.map(\.members) == [[1, 3], [2, 4], [1, 3], [2, 3], [2, 4]].map { $0.map(peer) })
        #expect(segments.allSatisfy { $0.shares == [0..<3, 3..<4] })
        #expect(segments[3].rank(of: peer(3)) == 1)
        #expect(ReduceSegment.checkpointParts(of: Sample.layout).map(\.id) == [0, 2, 3, 4])
    }

    @Test("the segments of any layout are its layers once, with one holder in each pipeline")
    func anyLayout() throws {
        for seed in 0..<50 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let layers = 1 + generator.index(below: 12)
            let count = 4
            let shares = randomCuts(count, parts: 1 + generator.index(below: 4), &generator)
            var next = 0
            let layout = PipelineLayout(
                pipelines: shares.map { share in
                    let cuts = randomCuts(layers, parts: 1 + generator.index(below: layers), &generator)
                    return .init(
                        microBatches: share,
                        stages: cuts.map {
                            next += 1
                            return .init(peer: peer(next), layers: $0)
                        })
                })
            try layout.validate(layerCount: layers, microBatchCount: count)
            #expect(try PipelineLayout(wireBytes: layout.wireBytes) == layout)
            var covered = 0
            for segment in ReduceSegment.segments(of: layout) {
                #expect(segment.members.count == shares.count, "seed \(seed)")
                guard case .layers(let range) = segment.part else { continue }
                #expect(range.lowerBound == covered, "seed \(seed)")
                covered = range.upperBound
                for (rank, member) in segment.members.enumerated() {
                    let position = try #require(layout.position(of: member))
                    #expect(position.pipeline == rank)
                    #expect(position.layers.lowerBound <= range.lowerBound)
                    #expect(range.upperBound <= position.layers.upperBound)
                }
            }
            #expect(covered == layers, "seed \(seed)")
        }
    }

    @Test("a checkpoint is the whole model once, and gives a stage its parts")
    func checkpointParts() throws {
        let manifest = try #require(CheckpointManifest(step: 1, spec: Sample.spec, parts: Sample.parts))
        #expect(manifest.parts(forLayers: 0..<1).map(\.part) == [.tokenEmbedding, .layers(0..<1)])
        #expect(manifest.parts(forLayers: 1..<3).map(\.part) == [.layers(1..<4)])
        #expect(manifest.parts(forLayers: 2..<4).map(\.part) == [.tokenEmbedding, .layers(1..<4)])
        #expect(CheckpointManifest(step: 1, spec: Sample.spec, parts: Array(Sample.parts.dropFirst())) == nil)
        #expect(CheckpointManifest(step: 1, spec: Sample.spec, parts: Array(Sample.parts.dropLast())) == nil)
    }
}

@Suite("Job specifications and data")
struct JobSpecTests {
    @Test("what cannot be trained is refused with the field's name")
    func validation() {
        func field(_ change: (inout JobSpec) -> Void) -> String? {
            var spec = Sample.spec
            change(&spec)
            do {
                try spec.validate()
                return nil
            } catch { return error.field }
        }
        #expect(field { _ in } == nil)
        #expect(field { $0.name = "" } == "name")
        #expect(field { $0.model.heads = 3 } == "model.heads")
        #expect(field { $0.microBatchSequences = 3 } == "batch.sequences")
        #expect(field { $0.microBatchSequences = 0 } == "batch.microBatchSequences")
        #expect(field { $0.optimizer.learningRate = .nan } == "optimizer")
        #expect(field { $0.optimizer.beta2 = 1 } == "optimizer.beta1 and beta2")
        #expect(field { $0.stages = 5 } == "layout.stages")
        #expect(field { $0.replicas = 5 } == "layout.replicas")
        #expect(field { $0.validation.fraction = 0.9 } == "validation.fraction")
        #expect(
            JobSpecError(field: "steps", rule: "must be at least 1").description == "the job's steps must be at least 1"
        )
    }

    @Test("validations and checkpoints fall where the job says, and at the end")
    func cadence() {
        let steps = (0..<100 as Range<UInt64>)
        #expect(steps.filter(Sample.spec.validates) == [24, 49, 74, 99])
        #expect(steps.filter(Sample.spec.checkpoints) == [49, 99])
        var plain = Sample.spec
        plain.checkpointEvery = 0
        plain.validation.every = 0
        #expect(steps.filter(plain.checkpoints) == [99] && steps.filter(plain.validates).isEmpty)
    }
}
