package import Topology

/// Holds the planner against others on one problem: the figures behind the tables of docs/BENCHMARKS.md.
package struct PlanComparison: Codable, Sendable {
    /// Our best plan with one setting.
    package struct Run: Codable, Sendable {
        package var sequences: Int
        package var compression: String
        package var iterationSeconds: Double
        package var lowerBoundSeconds: Double
        package var stages: String
        package var schedule: String
        /// Links that the plan compresses and those it uses at all.
        package var compressedLinks: Int
        package var usedLinks: Int
    }

    package var problem: String
    package var dtfmObjectiveSeconds: Double?
    /// The iteration of the plan that is best under DT-FM's objective, with the schedule and cuts that suit it best and its
    /// own exchange, in which the holders of a stage send each other slices.
    package var dtfmPlanIterationSeconds: Double?
    /// The same with the exchange that suits it best.
    package var dtfmPlanBestExchangeSeconds: Double?
    package var templateIterationSeconds: Double?
    package var templateName: String?
    /// Ours with the file's shape.
    package var fixedShapeSeconds: Double
    package var runs: [Run]

    /// DT-FM's run scripts train 1,024 sequences an iteration in micro-batches of one (DS3Lab/DT-FM, gpt3_xl_pp8_dp8.sh).
    package static let dtfmSequences = 1024

    /// Plans the problem with every setting, each under the time limit.
    package static func run(
        _ problem: PlanningProblem, seed: UInt64, timeLimit: Duration, threads: Int
    ) throws(PlanningError) -> PlanComparison {
        func plan(_ problem: PlanningProblem, _ objective: PlanningObjective) throws(PlanningError) -> PlanReport {
            try PlanRun.plan(
                problem, options: PlannerOptions(objective: objective, seed: seed, patience: 1000),
                timeLimit: timeLimit, threads: threads
            ).report
        }
        var comparison = PlanComparison(problem: problem.name, fixedShapeSeconds: 0, runs: [])
        if problem.shape.stages != nil, problem.shape.replicas != nil {
            let report = try plan(problem, .dtfm)
            comparison.dtfmObjectiveSeconds = report.objectiveSeconds
            let peers = report.layout.pipelines.map { $0.map(\.peer) }
            comparison.dtfmPlanBestExchangeSeconds =
                Baselines.best(ofPipelines: peers, problem: problem, relays: true)?.trace.seconds
            var plain = problem
            plain.exchangesInLevels = false
            comparison.dtfmPlanIterationSeconds = Baselines.best(ofPipelines: peers, problem: plain)?.trace.seconds
        }
        comparison.fixedShapeSeconds = try plan(problem, .iteration).objectiveSeconds
        var free = problem
        free.shape = PlanningProblem.Shape()
        let template = Baselines.bestTemplate(free, relays: true)
        comparison.templateIterationSeconds = template?.trace.seconds
        comparison.templateName = template?.name
        for sequences in Set([problem.batch.sequences, dtfmSequences]).sorted() {
            for name in ["none", "aq-sgd", "cocktail-sgd"] {
                var trial = free
                trial.batch.sequences = sequences
                trial.compression =
                    PlanningProblem.Compression.named(
                        name, activationElementBytes: problem.model.activationElementBytes,
                        gradientElementBytes: problem.model.gradientBytesPerParameter) ?? .none
                let report = try plan(trial, .iteration)
                let lengths = Set(report.layout.pipelines.map(\.count)).sorted()
                comparison.runs.append(
                    Run(
                        sequences: sequences, compression: name, iterationSeconds: report.objectiveSeconds,
                        lowerBoundSeconds: report.lowerBoundSeconds,
                        stages: lengths.count == 1 ? "\(lengths[0])" : "\(lengths[0])-\(lengths[lengths.count - 1])",
                        schedule: report.layout.schedule.name,
                        compressedLinks: trial.compression.isLossy
                            ? report.trace.links.count - report.layout.plainLinks.count : 0,
                        usedLinks: report.trace.links.count))
            }
        }
        return comparison
    }
}
