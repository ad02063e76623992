package import Pipeline
package import Primitives
package import Topology

/// A job's plan on the live graph: what the planner said, and the same as the layout that workers run.
package struct JobPlan: Sendable {
    package let report: PlanReport
    package let layout: PipelineLayout
    /// For people and for `--json`.
    package internal(set) var view: PlanView
    private let problem: PlanningProblem

    /// Time that dispatch, encoding and decoding cost each micro-batch beyond its FLOPs, measured on one machine with
    /// eight processes; it keeps the planner from cutting a tiny model into slivers.
    package static let taskOverheadSeconds = 0.000_3

    /// Micro-batches that a stage may hold beyond what its schedule needs, to hide the network's delay.
    package static let roundTripSlack = 2

    /// What the peers fetch that they do not hold under the plan before; `nil` for a job's first plan.
    package let movement: Movement?

    /// Weights and optimiser state that change places.
    package struct Movement: Hashable, Sendable, CustomStringConvertible {
        /// Peers that fetch any.
        package var peers: [PeerID]
        package var bytes: Double

        package var description: String {
            switch peers.count {
            case 0: "no peer has to fetch layers"
            case 1: "one peer fetches \(Figures.bytes(bytes)) of layers that it does not hold"
            default: "\(peers.count) peers fetch \(Figures.bytes(bytes)) of layers that they do not hold"
            }
        }
    }

    /// Searches for at most `timeLimit`, about; throws `PlanningError` when the swarm cannot hold the job.
    package init(
        spec: JobSpec, graph: LinkGraph, options: PlannerOptions = PlannerOptions(), timeLimit: Duration
    ) throws {
        let problem = Self.problem(spec: spec, graph: graph.inferringAccessLimits())
        let (report, elapsed) = try PlanRun.plan(problem, options: options, timeLimit: timeLimit)
        try self.init(report, problem: problem, spec: spec, elapsed: elapsed, movement: nil)
    }

    /// The plan that follows another on a changed graph, for so many steps: most peers keep the layers that they hold.
    package init(
        spec: JobSpec, graph: LinkGraph, after previous: Plan, steps: UInt64, timeLimit: Duration
    ) throws {
        let problem = Self.problem(spec: spec, graph: graph.inferringAccessLimits())
        let (outcome, elapsed) = try PlanRun.replan(
            previous, problem: problem, horizon: Double(steps), seed: PlannerOptions().seed, timeLimit: timeLimit)
        try self.init(
            outcome.report, problem: problem, spec: spec, elapsed: elapsed,
            movement: Movement(peers: outcome.movedPeers, bytes: outcome.movedBytes))
    }

    private init(
        _ report: PlanReport, problem: PlanningProblem, spec: JobSpec, elapsed: Double, movement: Movement?
    ) throws {
        self.problem = problem
        self.report = report
        self.movement = movement
        layout = PipelineLayout(report.plan)
        var view = PlanView(report, problem: problem, elapsedSeconds: elapsed, namesOnly: false)
        view.diagram = PlanDiagram(report, problem: problem).lines.joined(separator: "\n")
        self.view = view
        try layout.validate(layerCount: spec.model.layers, microBatchCount: spec.microBatchCount)
    }

    /// The view with the reasons for the plan, if they are wanted.
    package func view(explained: Bool) -> PlanView {
        var view = view
        if explained { view.explanation = PlanExplanation(report, problem: problem).lines }
        return view
    }

    /// The planning problem that a job poses on a graph.
    package static func problem(spec: JobSpec, graph: LinkGraph) -> PlanningProblem {
        let shape = GPTShape(
            layers: spec.model.layers, width: spec.model.width, heads: spec.model.heads, context: spec.model.context,
            vocabulary: spec.model.vocabulary)
        var precision = ModelProfile.Precision.single
        precision.activationElementBytes = spec.compression.bytesPerElement
        precision.gradientElementBytes = spec.reduceCodec.bytesPerElement
        return PlanningProblem(
            name: spec.name, graph: graph,
            model: .gpt(name: spec.name, shape: shape, precision: precision),
            batch: PlanningProblem.Batch(sequences: spec.sequences, microBatchSequences: spec.microBatchSequences),
            shape: PlanningProblem.Shape(stages: spec.stages, replicas: spec.replicas),
            // As the workers run it: the plan's prediction is held against the measured time.
            schedule: spec.schedule == .gpipe ? .gpipe : .oneForwardOneBackward,
            extraInFlight: roundTripSlack, exactReduction: true,
            taskOverheadSeconds: taskOverheadSeconds)
    }
}

extension TensorCodec {
    /// Bytes of an element, scales not counted.
    var bytesPerElement: Double {
        switch self {
        case .f32: 4
        case .bf16: 2
        case .int8: 1
        }
    }
}

extension PipelineLayout {
    /// The layout that a plan describes.
    init(_ plan: Plan) {
        self.init(
            pipelines: zip(plan.pipelines, plan.microBatchRanges).map { stages, microBatches in
                Pipeline(
                    microBatches: microBatches, stages: stages.map { Stage(peer: $0.peer, layers: $0.layers) })
            })
    }
}
