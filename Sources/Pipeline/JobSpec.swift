package import Shards
package import Wire

/// What to train, on what, and how: everything that decides the bits of the result. The layout does not.
package struct JobSpec: Hashable, Sendable {
    /// Shape of the GPT-2-architecture model.
    package struct Model: Hashable, Sendable {
        package var layers: Int
        package var width: Int
        package var heads: Int
        /// Tokens a sequence.
        package var context: Int
        /// Token values; 256 with the byte tokeniser.
        package var vocabulary: Int

        package init(layers: Int, width: Int, heads: Int, context: Int, vocabulary: Int = 256) {
            self.layers = layers
            self.width = width
            self.heads = heads
            self.context = context
            self.vocabulary = vocabulary
        }
    }

    /// The text to train on.
    package enum DataReference: Hashable, Sendable {
        case shard(ShardID)
        /// A file or text that the submitting node turns into a shard before it offers the job.
        case named(String)
    }

    /// AdamW with linear warm-up and cosine decay.
    package struct Optimizer: Hashable, Sendable {
        package var learningRate: Double
        package var minimumLearningRate: Double
        package var warmupSteps: Int
        package var weightDecay: Double
        package var beta1: Double
        package var beta2: Double
        package var epsilon: Double

        package init(
            learningRate: Double = 1e-3, minimumLearningRate: Double = 1e-4, warmupSteps: Int = 0,
            weightDecay: Double = 0.1, beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8
        ) {
            self.learningRate = learningRate
            self.minimumLearningRate = minimumLearningRate
            self.warmupSteps = warmupSteps
            self.weightDecay = weightDecay
            self.beta1 = beta1
            self.beta2 = beta2
            self.epsilon = epsilon
        }
    }

    /// Held-out measurement on the last part of the data.
    package struct Validation: Hashable, Sendable {
        /// After every so many steps, and after the last; 0 for never.
        package var every: Int
        /// Batches of `microBatchSequences` sequences each.
        package var batches: Int
        /// The part of the data, at its end, that is never trained on.
        package var fraction: Double

        package init(every: Int = 0, batches: Int = 0, fraction: Double = 0) {
            self.every = every
            self.batches = batches
            self.fraction = fraction
        }
    }

    package var name: String
    package var model: Model
    package var data: DataReference
    /// Decides initial weights and the order of the data.
    package var seed: UInt64
    package var steps: UInt64
    /// Sequences of one step, and of one micro-batch; the first is a multiple of the second.
    package var sequences: Int
    package var microBatchSequences: Int
    package var optimizer: Optimizer
    package var schedule: Schedule
    /// Stages a pipeline and number of pipelines, if the planner is not free to choose.
    package var stages: Int?
    package var replicas: Int?
    /// Steps from one checkpoint to the next; 0 for only one at the end.
    package var checkpointEvery: Int
    /// What crosses the boundary between two stages; anything but `f32` makes the bits depend on the layout.
    package var compression: TensorCodec
    package var validation: Validation

    package init(
        name: String, model: Model, data: DataReference, seed: UInt64 = 0, steps: UInt64, sequences: Int,
        microBatchSequences: Int, optimizer: Optimizer = Optimizer(), schedule: Schedule = .oneForwardOneBackward,
        stages: Int? = nil, replicas: Int? = nil, checkpointEvery: Int = 0, compression: TensorCodec = .f32,
        validation: Validation = Validation()
    ) {
        self.name = name
        self.model = model
        self.data = data
        self.seed = seed
        self.steps = steps
        self.sequences = sequences
        self.microBatchSequences = microBatchSequences
        self.optimizer = optimizer
        self.schedule = schedule
        self.stages = stages
        self.replicas = replicas
        self.checkpointEvery = checkpointEvery
        self.compression = compression
        self.validation = validation
    }

    /// Micro-batches of one step.
    package var microBatchCount: Int { sequences / max(microBatchSequences, 1) }
    /// Tokens of one step.
    package var tokensPerStep: Int { sequences * model.context }
    /// How gradients are written in the exchange between replicas: exactly, or as brain floats where activations are
    /// compressed (scaled bytes would need error feedback to train well).
    package var reduceCodec: TensorCodec { compression == .f32 ? .f32 : .bf16 }

    /// Whether a validation follows step `step` (the first step is 0).
    package func validates(after step: UInt64) -> Bool {
        guard validation.every > 0, validation.batches > 0, validation.fraction > 0 else { return false }
        return (step + 1).isMultiple(of: UInt64(validation.every)) || step + 1 == steps
    }

    /// Whether a checkpoint follows step `step`.
    package func checkpoints(after step: UInt64) -> Bool {
        step + 1 == steps || (checkpointEvery > 0 && (step + 1).isMultiple(of: UInt64(checkpointEvery)))
    }

    /// Refuses what cannot be trained; decoding a spec from the wire does the same.
    package func validate() throws(JobSpecError) {
        func require(_ holds: Bool, _ field: String, _ rule: String) throws(JobSpecError) {
            guard holds else { throw JobSpecError(field: field, rule: rule) }
        }
        try require(
            (1...Limits.nameBytes).contains(name.utf8.count), "name", "must have 1 to \(Limits.nameBytes) bytes")
        try require(
            (1...Limits.modelLayers).contains(model.layers), "model.layers", "must be 1 to \(Limits.modelLayers)")
        try require((1...65_536).contains(model.width), "model.width", "must be 1 to 65536")
        try require(
            (1...1024).contains(model.heads) && model.width.isMultiple(of: model.heads), "model.heads",
            "must be 1 to 1024 and divide model.width")
        try require((1...65_536).contains(model.context), "model.context", "must be 1 to 65536")
        try require((1...1 << 20).contains(model.vocabulary), "model.vocabulary", "must be 1 to 1048576")
        if case .named(let text) = data {
            try require((1...4096).contains(text.utf8.count), "data", "must have 1 to 4096 bytes")
        }
        try require((1...1 << 40).contains(steps), "steps", "must be at least 1")
        try require(microBatchSequences >= 1, "batch.microBatchSequences", "must be at least 1")
        try require(
            sequences >= 1 && sequences.isMultiple(of: microBatchSequences)
                && microBatchCount <= Limits.microBatchesPerStep,
            "batch.sequences",
            "must be a multiple of batch.microBatchSequences, at most \(Limits.microBatchesPerStep) times as many")
        let elements = microBatchSequences.multipliedReportingOverflow(by: model.context * model.width)
        try require(
            !elements.overflow && elements.partialValue <= Limits.tensorBytes / 4, "batch.microBatchSequences",
            "makes one activation larger than a message; use fewer sequences a micro-batch")
        let rates = [
            optimizer.learningRate, optimizer.minimumLearningRate, optimizer.weightDecay, optimizer.epsilon,
        ]
        try require(rates.allSatisfy { $0.isFinite && $0 >= 0 }, "optimizer", "must have finite rates of at least 0")
        try require((0...1 << 30).contains(optimizer.warmupSteps), "optimizer.warmupSteps", "must be at least 0")
        try require(
            (0..<1).contains(optimizer.beta1) && (0..<1).contains(optimizer.beta2), "optimizer.beta1 and beta2",
            "must be at least 0 and below 1")
        try require((1...Limits.pipelinesPerJob).contains(stages ?? 1), "layout.stages", "must be at least 1")
        try require((1...Limits.pipelinesPerJob).contains(replicas ?? 1), "layout.replicas", "must be at least 1")
        try require((stages ?? 1) <= model.layers, "layout.stages", "must not exceed model.layers")
        try require(
            (replicas ?? 1) <= microBatchCount, "layout.replicas", "must not exceed the micro-batches of a step")
        try require((0...1 << 30).contains(checkpointEvery), "checkpointEvery", "must be at least 0")
        try require((0...1 << 30).contains(validation.every), "validation.every", "must be at least 0")
        try require(
            (0...Limits.microBatchesPerStep).contains(validation.batches), "validation.batches",
            "must be 0 to \(Limits.microBatchesPerStep)")
        try require((0...0.5).contains(validation.fraction), "validation.fraction", "must be 0 to 0.5")
    }
}

/// A field of a job that cannot be.
package struct JobSpecError: Error, Hashable, Sendable, CustomStringConvertible {
    package let field: String
    package let rule: String

    package init(field: String, rule: String) {
        self.field = field
        self.rule = rule
    }

    package var description: String { "the job's \(field) \(rule)" }
}

extension JobSpec: WireCodable {
    private static let version: UInt8 = 1

    package func encode(to writer: inout WireWriter) {
        writer.write(Self.version)
        writer.write(name)
        for value in [model.layers, model.width, model.heads, model.context, model.vocabulary] {
            writer.writeVarint(UInt64(value))
        }
        switch data {
        case .shard(let id):
            writer.write(UInt8(0))
            writer.write(id)
        case .named(let text):
            writer.write(UInt8(1))
            writer.write(text)
        }
        writer.write(seed)
        writer.write(steps)
        writer.writeVarint(UInt64(sequences))
        writer.writeVarint(UInt64(microBatchSequences))
        writer.write(optimizer.learningRate)
        writer.write(optimizer.minimumLearningRate)
        writer.writeVarint(UInt64(optimizer.warmupSteps))
        for value in [optimizer.weightDecay, optimizer.beta1, optimizer.beta2, optimizer.epsilon] {
            writer.write(value)
        }
        writer.write(schedule)
        writer.writeOptional(stages) { $0.writeVarint(UInt64($1)) }
        writer.writeOptional(replicas) { $0.writeVarint(UInt64($1)) }
        writer.writeVarint(UInt64(checkpointEvery))
        writer.write(compression)
        writer.writeVarint(UInt64(validation.every))
        writer.writeVarint(UInt64(validation.batches))
        writer.write(validation.fraction)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let version: UInt8 = try reader.read()
        guard version == Self.version else { throw .unknownVersion(version) }
        name = try reader.readString(maximum: Limits.nameBytes)
        model = Model(
            layers: try reader.readCount(maximum: Limits.modelLayers), width: try reader.readCount(maximum: 65_536),
            heads: try reader.readCount(maximum: 1024), context: try reader.readCount(maximum: 65_536),
            vocabulary: try reader.readCount(maximum: 1 << 20))
        let type: UInt8 = try reader.read()
        switch type {
        case 0: data = .shard(try reader.read(ShardID.self))
        case 1: data = .named(try reader.readString(maximum: 4096))
        default: throw .unknownType(type)
        }
        seed = try reader.read()
        steps = try reader.read()
        sequences = try reader.readCount(maximum: 1 << 32)
        microBatchSequences = try reader.readCount(maximum: 1 << 32)
        optimizer = Optimizer(
            learningRate: try reader.readFiniteDouble(), minimumLearningRate: try reader.readFiniteDouble(),
            warmupSteps: try reader.readCount(maximum: 1 << 30), weightDecay: try reader.readFiniteDouble(),
            beta1: try reader.readFiniteDouble(), beta2: try reader.readFiniteDouble(),
            epsilon: try reader.readFiniteDouble())
        schedule = try reader.read(Schedule.self)
        stages = try reader.readOptionalCount(maximum: Limits.pipelinesPerJob)
        replicas = try reader.readOptionalCount(maximum: Limits.pipelinesPerJob)
        checkpointEvery = try reader.readCount(maximum: 1 << 30)
        compression = try reader.read(TensorCodec.self)
        validation = Validation(
            every: try reader.readCount(maximum: 1 << 30),
            batches: try reader.readCount(maximum: Limits.microBatchesPerStep), fraction: try reader.readFiniteDouble())
        do { try validate() } catch { throw .outOfRange }
    }
}

extension WireReader {
    fileprivate mutating func readOptionalCount(maximum: Int) throws(WireError) -> Int? {
        try readOptional { (reader: inout WireReader) throws(WireError) in try reader.readCount(maximum: maximum) }
    }
}
