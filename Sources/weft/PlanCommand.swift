import ArgumentParser
import Control
import Foundation
import Runtime
import Topology

/// Plans a model's training, on the live graph or from a problem file.
struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Plan a model's training over peers: on the live graph, or from a problem file.",
        discussion: """
            With --problem no node is needed: the file (weft.planning-problem/1, one problem or an array of them) names \
            peers, links, model and batch. With --model the local node plans on its own graph.
            """)

    @Option(help: "A file with a model or a job, to be planned on the live graph.")
    var model: String?

    @Option(help: "A file with a whole planning problem, or an array of them.")
    var problem: String?

    @Option(help: "Only the problem at this position of the file (from 0).")
    var index: Int?

    @Option(help: "Only the problem of this name in the file.")
    var name: String?

    @Option(help: "Stages of every pipeline (default: the file's, else the planner chooses).")
    var stages: Int?

    @Option(help: "Pipelines (default: the file's, else the planner chooses).")
    var replicas: Int?

    @Option(help: "What to minimise: the simulated iteration, or DT-FM's objective.")
    var objective: PlanningObjective = .iteration

    @Option(help: "The schedule of the micro-batches: gpipe, 1f1b or deep-1f1b (default: the file's, else the best).")
    var schedule: String?

    @Option(help: "Seed of the search.")
    var seed: UInt64 = 1

    @Option(
        help:
            "Search much longer than usual, but stop after this many seconds (default: the usual search, at most 30 s)."
    )
    var timeLimit: Double?

    /// How much longer than usual a search with an explicit limit may take: the limit, not this, should end it.
    private static let patience = 20
    /// The limit where none is given.
    private static let usualLimit = 30.0

    @Flag(help: "Say where the time goes, stage by stage and link by link.")
    var explain = false

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (model == nil) != (problem == nil) else { throw ValidationError("Give either --model or --problem.") }
        guard problem != nil || schedule == nil else {
            throw ValidationError("--schedule goes with --problem: a job names its own schedule.")
        }
        guard (timeLimit ?? 1) > 0 else { throw ValidationError("--time-limit must be positive.") }
        if let schedule, PlanSchedule(name: schedule) == nil {
            let names = PlanSchedule.allCases.map(\.name).joined(separator: ", ")
            throw ValidationError("--schedule must be one of \(names).")
        }
    }

    func run() async throws {
        if let problem {
            try planFile(problem)
        } else {
            try await planLive()
        }
    }

    /// Lets the node plan on its own graph.
    private func planLive() async throws {
        let path = model ?? ""
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CommandFailure("cannot read \(path): is there such a file, and may you read it?")
        }
        let view = try await ControlClient(state: state.directory).plan(
            PlanRequest(
                document: String(decoding: data, as: UTF8.self), stages: stages, replicas: replicas,
                objective: objective.rawValue, seed: seed, timeLimitSeconds: timeLimit ?? Self.usualLimit,
                explain: explain))
        guard !output.json else { return try printJSON(view) }
        print(view.diagram ?? "", terminator: view.diagram?.hasSuffix("\n") == true ? "" : "\n")
        for line in view.explanation ?? [] { print("  " + line) }
    }

    /// Plans every chosen problem of a file; an array in the file gives an array in JSON.
    private func planFile(_ path: String) throws {
        let (problems, isArray) = try chosenProblems(path)
        var views: [PlanView] = []
        for problem in problems {
            let options = PlannerOptions(
                objective: objective, seed: seed, patience: timeLimit == nil ? 1 : Self.patience)
            let (report, elapsed) = try PlanRun.plan(
                problem, options: options, timeLimit: .seconds(timeLimit ?? Self.usualLimit))
            var view = PlanView(report, problem: problem, elapsedSeconds: elapsed, namesOnly: true)
            if explain { view.explanation = PlanExplanation(report, problem: problem).lines }
            if output.json {
                views.append(view)
            } else {
                print(problem.name)
                for line in PlanDiagram(report, problem: problem).lines { print("  " + line) }
                for line in view.explanation ?? [] { print("  " + line) }
                print("  searched \(report.evaluations) candidates in \(Figures.seconds(elapsed)), seed \(seed)")
            }
        }
        guard output.json else { return }
        if isArray { try printJSON(views) } else if let view = views.first { try printJSON(view) }
    }

    private func chosenProblems(_ path: String) throws -> (problems: [PlanningProblem], isArray: Bool) {
        var (files, isArray) = try PlanningProblemFile.read(path)
        if let index {
            guard files.indices.contains(index) else {
                throw CommandFailure("\(path) has \(files.count) problems: there is none at position \(index)")
            }
            files = [files[index]]
            isArray = false
        }
        if let name {
            files = files.filter { $0.name == name }
            guard !files.isEmpty else { throw CommandFailure("\(path) has no problem named \"\(name)\"") }
            isArray = false
        }
        let problems = try files.map { file in
            var problem = try file.problem()
            if let stages { problem.shape.stages = stages }
            if let replicas { problem.shape.replicas = replicas }
            if let schedule { problem.schedule = PlanSchedule(name: schedule) }
            return problem
        }
        return (problems, isArray)
    }
}

extension PlanningObjective: ExpressibleByArgument {}
