/// `weft train`: a job for the swarm.
package struct TrainRequest: Codable, Hashable, Sendable {
    /// The `weft.job/1` document as text.
    package var document: String
    /// Where relative paths in the document start.
    package var workingDirectory: String
    /// Where the node writes checkpoint and loss curve; `nil` for a place in its state directory.
    package var outputDirectory: String?
    /// A checkpoint (directory or shard) to go on from.
    package var resumeFrom: String?

    package init(
        document: String, workingDirectory: String, outputDirectory: String? = nil, resumeFrom: String? = nil
    ) {
        self.document = document
        self.workingDirectory = workingDirectory
        self.outputDirectory = outputDirectory
        self.resumeFrom = resumeFrom
    }
}

/// What happens while a job runs. In JSON each event is one object whose key `event` names its kind.
package enum TrainEvent: Codable, Hashable, Sendable {
    /// The coordinator took the job.
    case accepted(Accepted)
    /// The plan that will be used, first or after a change.
    case planned(PlanView)
    /// Bytes that a peer fetched before it can start.
    case fetching(Fetching)
    /// All stages are loaded; steps follow.
    case ready(Ready)
    /// An optimiser step was taken everywhere.
    case step(Step)
    /// The loss on text held back from training.
    case validation(Validation)
    /// Parameters were saved.
    case checkpoint(Checkpoint)
    /// Something a person should know, such as a peer that was lost.
    case notice(Notice)
    /// The end.
    case finished(Finished)

    package struct Accepted: Codable, Hashable, Sendable {
        package var job: String
        package var coordinator: String
        package var coordinatorName: String
        package var steps: Int
        package var parameterCount: Int
        package var trainingBytes: Int
        package var validationBytes: Int

        package init(
            job: String, coordinator: String, coordinatorName: String, steps: Int, parameterCount: Int,
            trainingBytes: Int, validationBytes: Int
        ) {
            self.job = job
            self.coordinator = coordinator
            self.coordinatorName = coordinatorName
            self.steps = steps
            self.parameterCount = parameterCount
            self.trainingBytes = trainingBytes
            self.validationBytes = validationBytes
        }
    }

    package struct Fetching: Codable, Hashable, Sendable {
        package var peer: String
        package var peerName: String
        /// The shard's identity and file name.
        package var shard: String
        package var shardName: String
        package var doneBytes: UInt64
        package var totalBytes: UInt64
        /// Peers from which it comes.
        package var sources: Int

        package init(
            peer: String, peerName: String, shard: String, shardName: String, doneBytes: UInt64, totalBytes: UInt64,
            sources: Int
        ) {
            self.peer = peer
            self.peerName = peerName
            self.shard = shard
            self.shardName = shardName
            self.doneBytes = doneBytes
            self.totalBytes = totalBytes
            self.sources = sources
        }
    }

    package struct Ready: Codable, Hashable, Sendable {
        package var stages: Int
        package var replicas: Int
        /// The step that comes next: 1, or more after a resume.
        package var firstStep: Int

        package init(stages: Int, replicas: Int, firstStep: Int) {
            self.stages = stages
            self.replicas = replicas
            self.firstStep = firstStep
        }
    }

    package struct Step: Codable, Hashable, Sendable {
        /// From 1.
        package var step: Int
        package var steps: Int
        package var loss: Float
        /// The loss as its 32 bits in hex, since decimal text could hide a difference.
        package var lossBits: String
        package var learningRate: Double
        package var tokensPerSecond: Double
        package var iterationSeconds: Double
        /// What the plan said an iteration takes; `nil` without a plan (`--local`).
        package var predictedIterationSeconds: Double?

        package init(
            step: Int, steps: Int, loss: Float, learningRate: Double, tokensPerSecond: Double, iterationSeconds: Double,
            predictedIterationSeconds: Double?
        ) {
            self.step = step
            self.steps = steps
            self.loss = loss
            let digits = String(loss.bitPattern, radix: 16)
            lossBits = String(repeating: "0", count: 8 - digits.count) + digits
            self.learningRate = learningRate
            self.tokensPerSecond = tokensPerSecond
            self.iterationSeconds = iterationSeconds
            self.predictedIterationSeconds = predictedIterationSeconds
        }
    }

    package struct Validation: Codable, Hashable, Sendable {
        package var step: Int
        /// Mean cross entropy in nats a byte.
        package var loss: Double
        /// The same for a model that knows only how frequent each byte is in the training text.
        package var unigramLoss: Double

        package init(step: Int, loss: Double, unigramLoss: Double) {
            self.step = step
            self.loss = loss
            self.unigramLoss = unigramLoss
        }
    }

    package struct Checkpoint: Codable, Hashable, Sendable {
        package var step: Int
        /// Where it lies on the coordinator's machine; `nil` if only in the shard store.
        package var path: String?
        package var shard: String?
        package var bytes: UInt64
        /// Names of the peers that hold a copy.
        package var holders: [String]

        package init(step: Int, path: String?, shard: String?, bytes: UInt64, holders: [String]) {
            self.step = step
            self.path = path
            self.shard = shard
            self.bytes = bytes
            self.holders = holders
        }
    }

    package struct Notice: Codable, Hashable, Sendable {
        package var message: String

        package init(message: String) { self.message = message }
    }

    package struct Finished: Codable, Hashable, Sendable {
        package var steps: Int
        package var loss: Float
        package var elapsedSeconds: Double
        package var validationLoss: Double?
        package var unigramLoss: Double?
        package var checkpointPath: String?
        package var checkpointShard: String?

        package init(
            steps: Int, loss: Float, elapsedSeconds: Double, validationLoss: Double?, unigramLoss: Double?,
            checkpointPath: String?, checkpointShard: String?
        ) {
            self.steps = steps
            self.loss = loss
            self.elapsedSeconds = elapsedSeconds
            self.validationLoss = validationLoss
            self.unigramLoss = unigramLoss
            self.checkpointPath = checkpointPath
            self.checkpointShard = checkpointShard
        }
    }

    private enum Kind: String, Codable {
        case accepted, planned, fetching, ready, step, validation, checkpoint, notice, finished
    }

    private enum CodingKeys: String, CodingKey {
        case event
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        func write(_ kind: Kind, _ body: some Encodable) throws {
            try container.encode(kind, forKey: .event)
            try body.encode(to: encoder)
        }
        switch self {
        case .accepted(let body): try write(.accepted, body)
        case .planned(let body): try write(.planned, body)
        case .fetching(let body): try write(.fetching, body)
        case .ready(let body): try write(.ready, body)
        case .step(let body): try write(.step, body)
        case .validation(let body): try write(.validation, body)
        case .checkpoint(let body): try write(.checkpoint, body)
        case .notice(let body): try write(.notice, body)
        case .finished(let body): try write(.finished, body)
        }
    }

    package init(from decoder: any Decoder) throws {
        switch try decoder.container(keyedBy: CodingKeys.self).decode(Kind.self, forKey: .event) {
        case .accepted: self = .accepted(try Accepted(from: decoder))
        case .planned: self = .planned(try PlanView(from: decoder))
        case .fetching: self = .fetching(try Fetching(from: decoder))
        case .ready: self = .ready(try Ready(from: decoder))
        case .step: self = .step(try Step(from: decoder))
        case .validation: self = .validation(try Validation(from: decoder))
        case .checkpoint: self = .checkpoint(try Checkpoint(from: decoder))
        case .notice: self = .notice(try Notice(from: decoder))
        case .finished: self = .finished(try Finished(from: decoder))
        }
    }
}
