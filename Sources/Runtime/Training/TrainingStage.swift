package import Compute
package import Pipeline

/// One stage of a job: its layers, their optimiser state, and the gradients of the step so far.
///
/// It is what a distributed worker and the local trainer share, so that both compute the same bits. Not Sendable: it lives
/// on one compute thread.
package final class TrainingStage {
    package let spec: JobSpec
    package let layers: Range<Int>
    /// The micro-batches of every step whose gradients are summed here.
    package let microBatches: Range<Int>
    package let stage: GPTStage
    package let optimizer: AdamW
    /// Optimiser steps done.
    package private(set) var step: UInt64 = 0

    private let data: TokenBatches?
    private let schedule: LearningRateSchedule
    private var gradients: GradientTree
    private var losses: [Float] = []
    private var firstLoss: (phase: StepPhase, microBatch: Int)?

    /// A stage with the initial weights of the job's seed.
    ///
    /// - Parameters:
    ///   - microBatches: this pipeline's share of the step.
    ///   - data: the training text; needed on the first and the last stage, unused elsewhere.
    package init(spec: JobSpec, layers: Range<Int>, microBatches: Range<Int>, data: TokenBatches?) throws {
        try spec.validate()
        self.spec = spec
        self.layers = layers
        self.microBatches = microBatches
        self.data = data
        stage = try GPTStage(configuration: try spec.model.configuration(), layers: layers, seed: spec.seed)
        guard data != nil || !(stage.isFirst || stage.isLast) else { throw TrainingError.needsData }
        optimizer = AdamW(spec.optimizer.adamW, for: stage)
        schedule = spec.learningRates
        gradients = GradientTree(microBatchCount: spec.microBatchCount, range: microBatches)
    }

    package var isFirst: Bool { stage.isFirst }
    package var isLast: Bool { stage.isLast }

    /// Rows of an activation, and of its gradient: sequences × tokens of a micro-batch. Columns are the model's width.
    package var activationRows: Int { spec.microBatchSequences * spec.model.context }

    /// The parts of the model that this stage has by itself, when no other stage cuts it further.
    package var parts: [ModelPart] {
        (isFirst ? [.tokenEmbedding] : []) + (isLast ? [.outputHead] : []) + [.layers(layers)]
    }

    /// The rate of the step being done.
    package var learningRate: Double { schedule.rate(at: Int(step)) }

    // MARK: Passes

    /// The forward pass of a micro-batch.
    ///
    /// - Parameter activations: what the previous stage sent; `nil` on the first stage, which takes its tokens from the data.
    /// - Returns: what the next stage needs; `nil` on the last stage, which keeps the loss for `takeLosses`.
    package func forward(_ activations: [Float]?, microBatch: Int, in phase: StepPhase) throws -> [Float]? {
        let batch = try batch(microBatch, in: phase)
        let input: StageInput
        if isFirst {
            input = .tokens(batch?.tokens ?? [])
        } else {
            input = .activations(activations ?? [])
        }
        let output = try stage.forward(
            input, targets: batch?.targets ?? [], sequences: spec.microBatchSequences, length: spec.model.context,
            microBatch: microBatch)
        if phase.pass == .validation { stage.discard(microBatch: microBatch) }
        switch output {
        case .activations(let values): return values
        case .loss(let loss):
            guard loss.isFinite else { throw TrainingError.diverged(step: phase.step) }
            if losses.isEmpty { firstLoss = (phase, microBatch) }
            losses.append(loss)
            return nil
        }
    }

    /// The backward pass of a micro-batch, whose parameter gradients join the step's sum. Micro-batches come in ascending
    /// order.
    ///
    /// - Parameter gradient: what the next stage sent; `nil` on the last stage.
    /// - Returns: what the previous stage needs; `nil` on the first stage.
    package func backward(_ gradient: [Float]?, microBatch: Int) throws -> [Float]? {
        guard !gradients.isComplete, gradients.next == microBatch else {
            throw TrainingError.outOfOrder(microBatch: microBatch, expected: gradients.next)
        }
        let result = try stage.backward(gradient, microBatch: microBatch)
        gradients.add(result.parameters)
        return result.input
    }

    /// The losses since the last call; `nil` on any but the last stage, or if there were none.
    package func takeLosses() -> LossReport? {
        guard let (phase, microBatch) = firstLoss else { return nil }
        defer {
            losses = []
            firstLoss = nil
        }
        return LossReport(phase: phase, firstMicroBatch: microBatch, losses: losses)
    }

    private func batch(_ microBatch: Int, in phase: StepPhase) throws -> TokenBatches.Batch? {
        guard isFirst || isLast else { return nil }
        let sequences = spec.microBatchSequences
        switch phase.pass {
        case .training:
            return data?.batch(step: Int(phase.step), microBatch: microBatch, sequences: sequences)
        case .validation:
            return data?.validationBatch(microBatch, of: spec.validation.batches, sequences: sequences)
        }
    }

    // MARK: Gradients

    /// Gives up the sums of the step's gradients, once all micro-batches have gone backward: for each part, its partial
    /// sums, as `AllReduce` takes them.
    package func takePartials(of parts: [ModelPart]) throws -> [[GradientPartial]] {
        guard gradients.isComplete else {
            throw TrainingError.wrongGradients("micro-batch \(gradients.next) has not gone backward")
        }
        let whole = gradients.takePartials()
        return try parts.map { part in
            guard let range = gradientRange(of: part) else {
                throw TrainingError.wrongGradients("\(part) is not on a stage of layers \(layers)")
            }
            return whole.map { GradientPartial(node: $0.node, values: Array($0.values[range])) }
        }
    }

    /// Numbers in a part's flat gradient; `nil` if the part is not on this stage.
    package func gradientCount(of part: ModelPart) -> Int? { gradientRange(of: part)?.count }

    /// Does the optimiser step.
    ///
    /// - Parameters:
    ///   - sums: each part's gradient summed over all micro-batches of the step; together they are all of the stage's.
    ///   - tied: on a first stage that is not the last, the sum of the output head, and the other way round.
    package func apply(_ sums: [(part: ModelPart, values: [Float])], tied: [Float]? = nil) throws {
        var flat = [Float](repeating: 0, count: stage.gradientLayout.count)
        var filled: [Range<Int>] = []
        for (part, values) in sums {
            guard let range = gradientRange(of: part), range.count == values.count,
                !filled.contains(where: { $0.overlaps(range) })
            else { throw TrainingError.wrongGradients("\(values.count) numbers for \(part)") }
            flat.replaceSubrange(range, with: values)
            filled.append(range)
        }
        guard filled.map(\.count).reduce(0, +) == flat.count else {
            throw TrainingError.wrongGradients("a part is missing")
        }
        try optimizer.step(
            stage, gradients: flat, tied: tied, learningRate: learningRate, scale: 1 / Float(spec.microBatchCount))
        step += 1
    }

    private func gradientRange(of part: ModelPart) -> Range<Int>? {
        stage.gradientLayout.range(of: part, layerCount: spec.model.layers, tokenTable: "wte.embed")
    }

    // MARK: Checkpoints

    /// The parts as safetensors files: the parameters under GPT-2's names and their moments as "adam.m.NAME" and
    /// "adam.v.NAME". Every holder of a part makes the same bytes.
    package func export(_ parts: [ModelPart]) throws -> [[UInt8]] {
        let (parameters, moments) = (stage.parameters, optimizer.moments)
        return try parts.map { part in
            guard let range = parameterRange(of: part) else {
                throw TrainingError.checkpoint("\(part) is not on a stage of layers \(layers)")
            }
            let slots = stage.parameterLayout.slots.filter { range.contains($0.offset) }
            let tensors = [("", parameters), ("adam.m.", moments.first), ("adam.v.", moments.second)].flatMap {
                (prefix, values) in
                slots.map { SafetensorsFile.Tensor(prefix + $0.name, shape: $0.shape, values: Array(values[$0.range])) }
            }
            return SafetensorsFile.encode(
                tensors,
                metadata: [
                    SafetensorsHeader.Remark("weft.part", part.description),
                    SafetensorsHeader.Remark("weft.step", String(step)),
                ])
        }
    }

    /// Goes on from checkpoint files that together hold this stage's tensors, after `step` steps. The files may hold more,
    /// so the checkpoint may have been cut at other layers. Nothing changes if something is missing.
    package func restore(_ files: [SafetensorsFile], step: UInt64) throws {
        func read(_ prefix: String) throws -> [Float] {
            var values: [Float] = []
            values.reserveCapacity(stage.parameterLayout.count)
            for slot in stage.parameterLayout.slots {
                let name = prefix + slot.name
                guard let file = files.first(where: { $0.header[name] != nil }) else {
                    throw TrainingError.checkpoint("it has no tensor \(name)")
                }
                guard file.header[name]?.shape == slot.shape else {
                    throw TrainingError.checkpoint("its tensor \(name) has another shape than the model's")
                }
                values += try file.floats(name)
            }
            return values
        }
        for file in files where file.header.remark("weft.step").map({ $0 != String(step) }) ?? false {
            throw TrainingError.checkpoint("a file is of step \(file.header.remark("weft.step") ?? ""), not of \(step)")
        }
        let (parameters, first, second) = (try read(""), try read("adam.m."), try read("adam.v."))
        try optimizer.restore(first: first, second: second, steps: Int(step))
        try stage.setParameters(parameters)
        self.step = step
    }

    private func parameterRange(of part: ModelPart) -> Range<Int>? {
        guard part != .outputHead else { return nil }
        return stage.parameterLayout.range(of: part, layerCount: spec.model.layers, tokenTable: "wte.weight")
    }
}

extension TensorLayout {
    /// Where a part's numbers lie, in parameters or gradients; `nil` if the layout does not have all of it.
    fileprivate func range(of part: ModelPart, layerCount: Int, tokenTable: String) -> Range<Int>? {
        switch part {
        case .tokenEmbedding: return self[tokenTable]?.range
        case .outputHead: return self["wte.head"]?.range
        case .layers(let layers):
            guard let last = layers.last, let first = range(ofLayer: layers.lowerBound), let end = range(ofLayer: last)
            else { return nil }
            let start = layers.lowerBound == 0 ? self["wpe.weight"]?.offset : first.lowerBound
            let stop = layers.upperBound == layerCount ? self["ln_f.bias"]?.range.upperBound : end.upperBound
            guard let start, let stop else { return nil }
            return start..<stop
        }
    }
}

// MARK: A job in the engine's terms

extension JobSpec.Model {
    /// The engine's configuration of this model.
    package func configuration() throws(ComputeError) -> GPTConfiguration {
        try GPTConfiguration(layers: layers, heads: heads, width: width, context: context, vocabulary: vocabulary)
    }
}

extension JobSpec.Optimizer {
    /// The engine's constants.
    package var adamW: AdamW.Configuration {
        AdamW.Configuration(beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: weightDecay)
    }
}

extension JobSpec {
    /// The rate of every step.
    package var learningRates: LearningRateSchedule {
        LearningRateSchedule(
            peak: optimizer.learningRate, minimum: optimizer.minimumLearningRate, warmupSteps: optimizer.warmupSteps,
            totalSteps: Int(steps))
    }

    /// The job's windows of a text; a job that never validates keeps nothing back.
    package func batches(of text: [UInt8]) throws(ComputeError) -> TokenBatches {
        let validates = validation.every > 0 && validation.batches > 0
        return try TokenBatches(
            text: text, length: model.context, validationFraction: validates ? validation.fraction : 0, seed: seed)
    }
}
