import Compute
import Primitives
import Testing

/// Two micro-batches of random tokens.
struct TinyRun {
    let model: GPTConfiguration
    let sequences = 2
    let length = 7
    let microBatches = 3

    init(layers: Int) throws {
        model = try GPTConfiguration(layers: layers, heads: 2, width: 16, context: 8, vocabulary: 29)
    }

    func batch(step: Int, microBatch: Int) -> (tokens: [Int32], targets: [Int32]) {
        var generator = SeededGenerator(seed: UInt64(1000 * step + microBatch))
        func draw() -> [Int32] { (0..<sequences * length).map { _ in Int32(generator.index(below: model.vocabulary)) } }
        return (draw(), draw())
    }
}

/// The model cut into stages and trained in one process, micro-batch gradients added in order.
final class LocalPipeline {
    let run: TinyRun
    let stages: [GPTStage]
    let optimisers: [AdamW]

    init(_ run: TinyRun, cuts: [Range<Int>], kernels: Kernels = .best) throws {
        self.run = run
        stages = try cuts.map {
            try GPTStage(configuration: run.model, layers: $0, seed: 7, kernels: kernels)
        }
        optimisers = stages.map { AdamW(AdamW.Configuration(), for: $0) }
    }

    /// One training step; returns the losses of its micro-batches.
    func step(_ number: Int) throws -> [Float] {
        var losses: [Float] = []
        var sums = stages.map { [Float](repeating: 0, count: $0.gradientLayout.count) }
        // All forward passes first, so that several micro-batches wait in each stage at once.
        for microBatch in 0..<run.microBatches {
            let batch = run.batch(step: number, microBatch: microBatch)
            var input = StageInput.tokens(batch.tokens)
            for stage in stages {
                let output = try stage.forward(
                    input, targets: batch.targets, sequences: run.sequences, length: run.length, microBatch: microBatch)
                switch output {
                case .activations(let values): input = .activations(values)
                case .loss(let loss): losses.append(loss)
                }
            }
        }
        for microBatch in 0..<run.microBatches {
            var gradient: [Float]?
            for index in stages.indices.reversed() {
                let result = try stages[index].backward(gradient, microBatch: microBatch)
                gradient = result.input
                for i in sums[index].indices { sums[index][i] += result.parameters[i] }
            }
        }
        let embed = try slice(sums[0], stages[0], "wte.embed")
        let head = try slice(sums[sums.count - 1], stages[stages.count - 1], "wte.head")
        for (index, stage) in stages.enumerated() {
            let tied: [Float]? = stages.count == 1 ? nil : stage.isFirst ? head : stage.isLast ? embed : nil
            try optimisers[index].step(
                stage, gradients: sums[index], tied: tied, learningRate: 0.01, scale: 1 / Float(run.microBatches))
        }
        return losses
    }

    func slice(_ flat: [Float], _ stage: GPTStage, _ name: String) throws -> [Float] {
        Array(flat[try #require(stage.gradientLayout[name]).range])
    }

    /// All weights by name as bit patterns, whichever stage holds them.
    func weights() throws -> [String: [UInt32]] {
        var all: [String: [UInt32]] = [:]
        for stage in stages {
            for slot in stage.parameterLayout.slots {
                let bits = try stage.parameter(slot.name).map(\.bitPattern)
                if let seen = all[slot.name] { #expect(seen == bits, "the two copies of \(slot.name) drifted apart") }
                all[slot.name] = bits
            }
        }
        return all
    }
}

@Suite("A model cut into stages")
struct SplitTests {
    @Test(
        "any cut gives the same loss and weight bits as one stage",
        arguments: [
            [0..<1, 1..<4], [0..<2, 2..<4], [0..<1, 1..<2, 2..<4], [0..<1, 1..<2, 2..<3, 3..<4],
        ])
    func cutsAgree(cuts: [Range<Int>]) throws {
        let run = try TinyRun(layers: 4)
        let whole = try LocalPipeline(run, cuts: [0..<4])
        let split = try LocalPipeline(run, cuts: cuts)
        #expect(try whole.weights() == split.weights(), "the first weights depend on the cut")
        for step in 0..<3 {
            let expected = try whole.step(step).map(\.bitPattern)
            let actual = try split.step(step).map(\.bitPattern)
            #expect(expected == actual, "losses of step \(step) differ for \(cuts)")
        }
        #expect(try whole.weights() == split.weights(), "the weights after three steps depend on the cut")
    }

    @Test("every instruction set gives the same bits")
    func instructionSetsAgree() throws {
        let run = try TinyRun(layers: 2)
        let reference = try LocalPipeline(run, cuts: [0..<2], kernels: Kernels.available[0])
        let expected = try (0..<2).map { try reference.step($0).map(\.bitPattern) }
        for kernels in Kernels.available.dropFirst() {
            let other = try LocalPipeline(run, cuts: [0..<1, 1..<2], kernels: kernels)
            let actual = try (0..<2).map { try other.step($0).map(\.bitPattern) }
            #expect(expected == actual, "\(kernels.name) gives other losses than \(Kernels.available[0].name)")
            #expect(try reference.weights() == other.weights(), "\(kernels.name) gives other weights")
        }
    }

    @Test("training lowers the loss of a repeated batch")
    func learns() throws {
        let run = try TinyRun(layers: 2)
        let pipeline = try LocalPipeline(run, cuts: [0..<1, 1..<2])
        let first = try pipeline.step(0)[0]
        var last = first
        for _ in 0..<30 { last = try pipeline.step(0)[0] }
        #expect(last < first - 1, "the loss went from \(first) only to \(last)")
    }

    @Test("a stage refuses what does not fit it")
    func refusals() throws {
        let model = try GPTConfiguration(layers: 2, heads: 2, width: 16, context: 8, vocabulary: 29)
        let first = try GPTStage(configuration: model, layers: 0..<1, seed: 1)
        let last = try GPTStage(configuration: model, layers: 1..<2, seed: 1)
        #expect(throws: ComputeError.token(29, vocabulary: 29)) {
            _ = try first.forward(.tokens([0, 29]), sequences: 1, length: 2, microBatch: 0)
        }
        #expect(throws: ComputeError.shape(what: "The batch", expected: 2, actual: 3)) {
            _ = try first.forward(.tokens([0, 1, 2]), sequences: 1, length: 2, microBatch: 0)
        }
        #expect(throws: ComputeError.noForwardPass(microBatch: 5)) { _ = try last.backward(microBatch: 5) }
        #expect(throws: ComputeError.self) {
            _ = try last.forward(.tokens([0]), targets: [0], sequences: 1, length: 1, microBatch: 0)
        }
        #expect(throws: ComputeError.self) {
            _ = try first.forward(.tokens([Int32](repeating: 0, count: 9)), sequences: 1, length: 9, microBatch: 0)
        }
        #expect(throws: ComputeError.self) { _ = try GPTStage(configuration: model, layers: 1..<3, seed: 1) }
        #expect(throws: ComputeError.self) { _ = try GPTConfiguration(layers: 1, heads: 3, width: 16, context: 8) }
    }
}
