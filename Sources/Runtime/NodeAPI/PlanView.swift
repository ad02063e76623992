/// `weft plan` on the live graph.
package struct PlanRequest: Codable, Hashable, Sendable {
    /// The `weft.job/1` or model document, as text: the node reads it, so that client and node cannot disagree on it.
    package var document: String
    package var stages: Int?
    package var replicas: Int?
    /// "iteration" or "dtfm".
    package var objective: String
    package var seed: UInt64
    package var timeLimitSeconds: Double
    /// Whether to fill `explanation`.
    package var explain: Bool
    /// Rounds in which links that the plan leans on are measured first, at most 3; 3 if `nil`.
    package var verificationRounds: Int?

    package init(
        document: String, stages: Int? = nil, replicas: Int? = nil, objective: String = "iteration", seed: UInt64 = 0,
        timeLimitSeconds: Double = 2, explain: Bool = false, verificationRounds: Int? = nil
    ) {
        self.document = document
        self.stages = stages
        self.replicas = replicas
        self.objective = objective
        self.seed = seed
        self.timeLimitSeconds = timeLimitSeconds
        self.explain = explain
        self.verificationRounds = verificationRounds
    }
}

/// A plan with its predicted time; its keys are the contract of `weft plan --json`.
package struct PlanView: Codable, Hashable, Sendable {
    /// What was minimised and what it came to.
    package struct Objective: Codable, Hashable, Sendable {
        /// "iteration", "dtfm", "latency" or "throughput".
        package var name: String
        /// Of an iteration in training, a token in generation.
        package var seconds: Double
        /// Where the time goes, by name: compute, transfer, reduce, …
        package var parts: [String: Double]

        package init(name: String, seconds: Double, parts: [String: Double]) {
            self.name = name
            self.seconds = seconds
            self.parts = parts
        }
    }

    /// What a plan for generation comes to.
    package struct Generation: Codable, Hashable, Sendable {
        /// One pipeline's sequences and speed.
        package struct Pipeline: Codable, Hashable, Sendable {
            package var groups: Int
            package var groupSequences: Int
            package var promptChunks: Int
            package var tokensPerSecond: Double
            /// Of a lone sequence.
            package var timeToFirstTokenSeconds: Double
            package var timePerOutputTokenSeconds: Double
        }

        package var promptTokens: Int
        package var newTokens: Int
        /// Over all pipelines, with all groups in flight.
        package var tokensPerSecond: Double
        package var pipelines: [Pipeline]
    }

    /// One peer's part of one pipeline.
    package struct Assignment: Codable, Hashable, Sendable {
        /// Identity, or the name a problem file gives it.
        package var peer: String
        /// Name for people; empty when the peer has none.
        package var name: String
        /// Position in the pipeline, from 0.
        package var stage: Int
        package var firstLayer: Int
        package var layerCount: Int
        /// Micro-batches of one iteration that go through this pipeline; in generation, groups of sequences in flight.
        package var microBatches: Int

        package init(peer: String, name: String, stage: Int, firstLayer: Int, layerCount: Int, microBatches: Int) {
            self.peer = peer
            self.name = name
            self.stage = stage
            self.firstLayer = firstLayer
            self.layerCount = layerCount
            self.microBatches = microBatches
        }
    }

    /// How a plan on the live graph was checked.
    package struct Verification: Codable, Hashable, Sendable {
        /// Rounds of measuring and planning again.
        package var rounds: Int
        /// Pairs that the plan leant on and that nobody had measured.
        package var askedPairs: Int
        /// Directed links that were measured in time.
        package var measuredLinks: Int

        package init(rounds: Int, askedPairs: Int, measuredLinks: Int) {
            self.rounds = rounds
            self.askedPairs = askedPairs
            self.measuredLinks = measuredLinks
        }
    }

    package var objective: Objective
    /// No plan can be faster than this.
    package var lowerBoundSeconds: Double
    package var seed: UInt64
    package var elapsedSeconds: Double
    package var graphDigest: String
    package var pipelines: [[Assignment]]
    /// Peers that are not worth their hop.
    package var spares: [String]
    /// The planning problem's or model's name.
    package var name: String?
    /// Only of plans on the live graph.
    package var verification: Verification?
    /// A name of `PlanSchedule`.
    package var schedule: String?
    /// The simulated time of an iteration, whatever was minimised.
    package var iterationSeconds: Double?
    /// Whether the plan is proven to be the best under its objective.
    package var isOptimal: Bool?
    /// For generation only.
    package var generation: Generation?
    /// What the plan's peers cost an hour, if any peer has a price.
    package var costPerHour: Double?
    /// The plan as a drawing in characters.
    package var diagram: String?
    /// Why it is this plan, in lines for people.
    package var explanation: [String]?

    package init(
        objective: Objective, lowerBoundSeconds: Double, seed: UInt64, elapsedSeconds: Double, graphDigest: String,
        pipelines: [[Assignment]], spares: [String], diagram: String? = nil, explanation: [String]? = nil
    ) {
        self.objective = objective
        self.lowerBoundSeconds = lowerBoundSeconds
        self.seed = seed
        self.elapsedSeconds = elapsedSeconds
        self.graphDigest = graphDigest
        self.pipelines = pipelines
        self.spares = spares
        self.diagram = diagram
        self.explanation = explanation
    }
}
