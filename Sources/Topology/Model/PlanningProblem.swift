/// Everything that a plan is made from: peers and links, the model, the batch, and what the asker has fixed.
package struct PlanningProblem: Sendable {
    /// How much is trained between two optimiser steps.
    package struct Batch: Hashable, Sendable {
        /// Sequences of one iteration over all replicas.
        package var sequences: Int
        /// Sequences that go through a stage together.
        package var microBatchSequences: Int

        package init(sequences: Int, microBatchSequences: Int) {
            self.sequences = sequences
            self.microBatchSequences = microBatchSequences
        }

        /// Micro-batches of one iteration over all replicas; the last one may be smaller.
        package var microBatches: Int {
            (sequences + microBatchSequences - 1) / max(1, microBatchSequences)
        }
    }

    /// What of the plan's shape is given; `nil` leaves it to the planner.
    package struct Shape: Hashable, Sendable {
        /// Stages of every pipeline.
        package var stages: Int?
        /// Pipelines.
        package var replicas: Int?

        package init(stages: Int? = nil, replicas: Int? = nil) {
            self.stages = stages
            self.replicas = replicas
        }
    }

    /// The two constants of DT-FM's objective (Yuan et al. 2022).
    package struct DTFMConstants: Hashable, Sendable {
        /// c_dp: gradient bytes of one task.
        package var gradientBytes: Double
        /// c_pp: activation bytes that cross one boundary.
        package var activationBytes: Double

        package init(gradientBytes: Double, activationBytes: Double) {
            self.gradientBytes = gradientBytes
            self.activationBytes = activationBytes
        }
    }

    package var name: String
    package var graph: LinkGraph
    package var model: ModelProfile
    package var batch: Batch
    package var shape: Shape
    package var dtfm: DTFMConstants?
    /// The schedule of every pipeline; `nil` leaves the choice to the planner.
    package var schedule: PlanSchedule?
    /// Micro-batches that every stage may hold beyond what 1F1B needs on a network without delay; the deep schedule chooses
    /// by itself, and GPipe holds all.
    package var extraInFlight: Int
    /// Whether replicas exchange the canonical subtree sums of a fixed reduction tree, as the training engine does so
    /// that the bits do not depend on the split, rather than one sum each.
    package var exactReduction: Bool
    /// Whether each replica's first and last stage exchange only their rank's slice of a tied embedding's gradient, between
    /// reduce-scatter and all-gather, rather than all of it.
    package var slicesTiedExchange: Bool
    /// Whether the holders of a layer reduce slices as large as their slowest link allows (hivemind's load balancing),
    /// rather than equal ones.
    package var weighsSlices: Bool
    /// Whether the holders of a layer may first add up its gradients within clusters of near peers, where that is faster
    /// (`ExchangeForm`), rather than always each with all.
    package var exchangesInLevels: Bool
    /// What tensors may shrink to on the links that the plan compresses.
    package var compression: Compression
    /// Iterations whose gradients are applied by each replica itself before one exchange (local SGD); the time of an
    /// iteration is the mean over them.
    package var localSteps: Int
    /// Time that every forward or backward of a micro-batch costs beyond its FLOPs (dispatch, encoding, decoding).
    package var taskOverheadSeconds: Double
    /// What is generated, for the goals of generation.
    package var generation = GenerationWorkload()
    /// What the peers of a plan may cost an hour together; `nil` is any price.
    package var maximumCostPerHour: Double?

    package init(
        name: String, graph: LinkGraph, model: ModelProfile, batch: Batch, shape: Shape = Shape(),
        dtfm: DTFMConstants? = nil, schedule: PlanSchedule? = nil, extraInFlight: Int = 0, exactReduction: Bool = false,
        slicesTiedExchange: Bool = false, weighsSlices: Bool = false,
        exchangesInLevels: Bool = false,
        compression: Compression = .none, localSteps: Int = 1, taskOverheadSeconds: Double = 0
    ) {
        self.name = name
        self.graph = graph
        self.model = model
        self.batch = batch
        self.shape = shape
        self.dtfm = dtfm
        self.schedule = schedule
        self.extraInFlight = extraInFlight
        self.exactReduction = exactReduction
        self.slicesTiedExchange = slicesTiedExchange
        self.weighsSlices = weighsSlices
        self.exchangesInLevels = exchangesInLevels
        self.compression = compression
        self.localSteps = localSteps
        self.taskOverheadSeconds = taskOverheadSeconds
    }
}

/// In which order a stage works on its micro-batches.
package enum PlanSchedule: UInt8, CaseIterable, Sendable {
    /// All forward passes, then all backward passes (Huang et al. 2019): hides latency, keeps every micro-batch in
    /// memory.
    case gpipe = 0
    /// A backward pass as soon as it is ready, and no more micro-batches in flight than stages follow, plus one
    /// (PipeDream-flush, Narayanan et al. 2021).
    case oneForwardOneBackward = 1
    /// As `oneForwardOneBackward` with as many micro-batches in flight as latency asks for and memory allows: the depth of
    /// every stage is part of the plan.
    case deepOneForwardOneBackward = 2
    /// As `deepOneForwardOneBackward`, with the gradients of the weights computed apart from those of the inputs, when a
    /// stage has nothing else to do (Qi et al. 2023): stages before do not wait for them.
    case zeroBubble = 3

    /// Whether the depth of every stage is the plan's to choose.
    package var choosesDepth: Bool { self == .deepOneForwardOneBackward || self == .zeroBubble }

    /// For people and JSON.
    package var name: String {
        switch self {
        case .gpipe: "gpipe"
        case .oneForwardOneBackward: "1f1b"
        case .deepOneForwardOneBackward: "deep-1f1b"
        case .zeroBubble: "zero-bubble"
        }
    }

    /// The schedule of this name, or `nil`.
    package init?(name: String) {
        guard let schedule = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = schedule
    }
}
