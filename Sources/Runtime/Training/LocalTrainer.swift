package import Compute
package import Pipeline

/// Trains a job in this process, with the same sums and the same losses as a swarm of any layout: `weft train JOB --local`.
///
/// It may cut the model into stages of its own; the bits do not change. Not Sendable: it lives on one compute thread.
package final class LocalTrainer {
    /// What a training run tells its watcher.
    package enum Event: Hashable, Sendable {
        /// A step is done: its loss over all micro-batches, the rate it used, and how long it took.
        case step(step: UInt64, loss: Float, learningRate: Double, elapsed: Duration)
        /// The loss on text held back, measured after the step.
        case validation(step: UInt64, loss: Float)
        /// A checkpoint of `step` steps lies at the path.
        case checkpoint(step: UInt64, path: String)
    }

    package let spec: JobSpec
    package let batches: TokenBatches
    private let stages: [TrainingStage]
    private let checkpoints: CheckpointDirectory?

    /// A trainer at the job's first step.
    ///
    /// - Parameters:
    ///   - text: the training text.
    ///   - cuts: the layers of each virtual stage; `nil` for one stage.
    ///   - checkpoints: where to write checkpoints; `nil` for nowhere.
    package init(spec: JobSpec, text: [UInt8], cuts: [Range<Int>]? = nil, checkpoints: CheckpointDirectory? = nil)
        throws
    {
        try spec.validate()
        self.spec = spec
        self.checkpoints = checkpoints
        let batches = try spec.batches(of: text)
        self.batches = batches
        stages = try (cuts ?? [0..<spec.model.layers]).map {
            try TrainingStage(spec: spec, layers: $0, microBatches: 0..<spec.microBatchCount, data: batches)
        }
        guard let first = stages.first, let last = stages.last, first.isFirst, last.isLast,
            zip(stages, stages.dropFirst()).allSatisfy({ $0.layers.upperBound == $1.layers.lowerBound })
        else { throw LayoutError.layers(pipeline: 0) }
    }

    /// Steps done.
    package var step: UInt64 { stages.first?.step ?? 0 }

    /// Mean cross entropy on the held-out text of a model that knows only how frequent each byte is; `nil` if nothing is
    /// held out.
    package var unigramLoss: Double? {
        ByteEntropy.crossEntropy(of: batches.validation, training: batches.training)
    }

    /// Goes on from a checkpoint of this job.
    package func resume(from checkpoint: CheckpointDirectory.Loaded) throws {
        guard checkpoint.manifest.spec.hasSameResult(as: spec) else {
            throw TrainingError.checkpoint("it is of another job; compare model, data, seed, batch and optimiser")
        }
        for stage in stages { try stage.restore(checkpoint.files, step: checkpoint.manifest.step) }
    }

    /// Trains to the job's last step, or until `shouldStop` says so between two steps.
    package func run(shouldStop: () -> Bool = { false }, onEvent: (Event) -> Void) throws {
        let clock = ContinuousClock()
        while step < spec.steps, !shouldStop() {
            let (done, rate, start) = (step, stages[0].learningRate, clock.now)
            let loss = try trainStep()
            onEvent(.step(step: done, loss: loss, learningRate: rate, elapsed: clock.now - start))
            if spec.validates(after: done), let loss = try validationLoss(after: done) {
                onEvent(.validation(step: done, loss: loss))
            }
            if spec.checkpoints(after: done), let path = try writeCheckpoint() {
                onEvent(.checkpoint(step: step, path: path))
            }
        }
    }

    /// One step; returns its loss.
    package func trainStep() throws -> Float {
        let phase = StepPhase(step: step, pass: .training)
        for microBatch in 0..<spec.microBatchCount {
            var activations: [Float]?
            for stage in stages { activations = try stage.forward(activations, microBatch: microBatch, in: phase) }
            var gradient: [Float]?
            for stage in stages.reversed() { gradient = try stage.backward(gradient, microBatch: microBatch) }
        }
        try applyGradients()
        return try loss(of: phase, count: spec.microBatchCount)
    }

    /// The loss on the held-out text; `nil` if the job holds nothing out.
    package func validationLoss(after step: UInt64) throws -> Float? {
        guard spec.validation.batches > 0, batches.validation.count > batches.length else { return nil }
        let phase = StepPhase(step: step, pass: .validation)
        for batch in 0..<spec.validation.batches {
            var activations: [Float]?
            for stage in stages { activations = try stage.forward(activations, microBatch: batch, in: phase) }
        }
        return try loss(of: phase, count: spec.validation.batches)
    }

    private func loss(of phase: StepPhase, count: Int) throws -> Float {
        var collector = LossCollector(phase: phase, count: count)
        guard let report = stages.last?.takeLosses(), collector.add(report), let loss = collector.loss else {
            throw TrainingError.wrongGradients("the losses of \(phase) are not complete")
        }
        return loss
    }

    private func applyGradients() throws {
        var sums: [[(part: ModelPart, values: [Float])]] = []
        for stage in stages {
            let parts = stage.parts
            sums.append(
                try zip(parts, stage.takePartials(of: parts)).map { part, partials in
                    let sum = GradientTree.combine(microBatchCount: spec.microBatchCount, partials)
                    guard let sum else { throw TrainingError.wrongGradients("the sums of \(part) are not complete") }
                    return (part, sum)
                })
        }
        let embedding = sums.first?.first { $0.part == .tokenEmbedding }?.values
        let head = sums.last?.first { $0.part == .outputHead }?.values
        for (stage, sums) in zip(stages, sums) {
            let isEnd = stage.isFirst != stage.isLast
            try stage.apply(sums, tied: isEnd ? (stage.isFirst ? head : embedding) : nil)
        }
    }

    /// Writes a checkpoint now and returns its directory; `nil` without a place for it.
    package func writeCheckpoint() throws -> String? {
        guard let checkpoints else { return nil }
        var parts: [(part: ModelPart, bytes: [UInt8])] = []
        for stage in stages {
            let own = stage.parts.filter { $0 != .outputHead }
            parts += zip(own, try stage.export(own)).map { (part: $0, bytes: $1) }
        }
        return try checkpoints.write(step: step, spec: spec, parts: parts)
    }
}

extension JobSpec {
    /// Whether two jobs compute the same numbers up to the shorter one's length, so that one can go on from the other's
    /// checkpoint: name, layout, schedule and the cadence of checkpoints do not matter.
    package func hasSameResult(as other: JobSpec) -> Bool {
        var same = other
        same.name = name
        same.stages = stages
        same.replicas = replicas
        same.schedule = schedule
        same.checkpointEvery = checkpointEvery
        same.data = data  // checked by its content where it is fetched
        return same == self
    }
}
