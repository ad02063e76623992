import ArgumentParser
import Control
import Foundation
import Runtime
import Topology

/// Plans a model's training, on the live graph or from a problem file.
struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Plan a model's training or generation over peers, on the live graph or from a problem file.",
        discussion: """
            With --problem no node is needed: the file (weft.planning-problem/1, one problem or an array of them) names \
            peers, links, model and batch. With --model the local node plans a job's training on its own graph.
            """)

    @Option(help: "A file with a model or a job, to be planned on the live graph.")
    var model: String?

    @Option(parsing: .upToNextOption, help: "Files with whole planning problems, each one or an array of them.")
    var problem: [String] = []

    @Option(help: "Only the problem at this position of the file (from 0).")
    var index: Int?

    @Option(help: "Only the problem of this name in the file.")
    var name: String?

    @Option(help: "Stages of every pipeline (default: the file's, else the planner chooses).")
    var stages: Int?

    @Option(help: "Pipelines (default: the file's, else the planner chooses).")
    var replicas: Int?

    @Flag(help: "Let the planner choose the shape, whatever the file says.")
    var anyShape = false

    @Option(help: "Compress tensors on slow links: none, bf16, int8, aq-sgd or cocktail-sgd (default: the file's).")
    var compression: String?

    @Option(help: "Iterations between two exchanges of gradients (local SGD; default: the file's, else 1).")
    var localSteps: Int?

    @Flag(
        help:
            "Let all holders of a layer exchange its gradients each with all, as jobs do, rather than near ones first.")
    var directExchange = false

    @Option(help: "What to minimise: the simulated iteration, or DT-FM's objective.")
    var objective: PlanningObjective = .iteration

    @Option(
        help:
            "The schedule of the micro-batches: gpipe, 1f1b, deep-1f1b or zero-bubble (default: the file's, else the best)."
    )
    var schedule: String?

    @Option(help: "Seed of the search.")
    var seed: UInt64 = 1

    @Option(
        help:
            "Search much longer than usual, but stop after this many seconds (default: the usual search, at most 30 s)."
    )
    var timeLimit: Double?

    @Option(help: "Searches at a time, each with a seed of its own (default: 1).")
    var threads: Int = 1

    /// How much longer than usual a search with an explicit limit may take: the limit, not this, should end it.
    static let patience = 20
    /// The limit where none is given.
    static let usualLimit = 30.0

    @Flag(help: "Say where the time goes, stage by stage and link by link.")
    var explain = false

    @Option(help: "A Hugging Face config.json (GPT-2's or Llama's kind) in place of the problem's model.")
    var modelConfig: String?

    @Option(help: "Tokens of a sequence with --model-config (default: all that the model was made for).")
    var sequenceLength: Int?

    @Option(help: "Then let this peer leave, and show what the new plan costs.")
    var leaver: String?

    @Flag(
        help: "Hold the planner against DT-FM's plan, templates and bounds on every problem, and print tables.")
    var compare = false

    @Option(
        help: """
            On the live graph, rounds of measuring the links that the plan leans on and nobody has measured, and planning \
            again; 0 to 3. A swarm of up to 32 peers measures all its links anyway.
            """)
    var verifyRounds = 3

    @Option(help: "Also draw the plan into this SVG file.")
    var svg: String?

    @OptionGroup(title: "Goal") var goals: GoalOptions
    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (model == nil) == !problem.isEmpty else { throw ValidationError("Give either --model or --problem.") }
        guard !problem.isEmpty || schedule == nil else {
            throw ValidationError("--schedule goes with --problem: a job names its own schedule.")
        }
        guard
            !problem.isEmpty
                || !(compare || anyShape || compression != nil || localSteps != nil || svg != nil || modelConfig != nil
                    || leaver != nil || directExchange)
        else {
            throw ValidationError(
                "--compare, --any-shape, --compression, --local-steps, --direct-exchange, --svg, --model-config and "
                    + "--leaver go with --problem.")
        }
        guard !problem.isEmpty || !goals.isGiven else {
            throw ValidationError(
                "--goal, --prompt-tokens, --new-tokens, --max-sequences and --max-cost-per-hour go with --problem.")
        }
        guard
            goals.goal == .iteration
                || !(compare || leaver != nil || schedule != nil || localSteps != nil
                    || objective != .iteration)
        else {
            throw ValidationError(
                "--compare, --leaver, --schedule, --local-steps and --objective are for training: they do not go "
                    + "with --goal \(goals.goal.rawValue).")
        }
        guard (0...3).contains(verifyRounds) else { throw ValidationError("--verify-rounds must be from 0 to 3.") }
        guard (1...256).contains(threads) else { throw ValidationError("--threads must be from 1 to 256.") }
        guard (1...(1 << 24)).contains(sequenceLength ?? 1) else {
            throw ValidationError("--sequence-length must be from 1 to \(1 << 24).")
        }
        guard (localSteps ?? 1) > 0 else { throw ValidationError("--local-steps must be positive.") }
        if let compression, !PlanningProblem.Compression.names.contains(compression) {
            let names = PlanningProblem.Compression.names.joined(separator: ", ")
            throw ValidationError("--compression must be one of \(names).")
        }
        guard (timeLimit ?? 1) > 0 else { throw ValidationError("--time-limit must be positive.") }
        if let schedule, PlanSchedule(name: schedule) == nil {
            let names = PlanSchedule.allCases.map(\.name).joined(separator: ", ")
            throw ValidationError("--schedule must be one of \(names).")
        }
    }

    func run() async throws {
        if goals.goal != .iteration {
            try planGeneration()
        } else if compare {
            try comparePlans()
        } else if !problem.isEmpty {
            try planFiles()
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
                explain: explain, verificationRounds: verifyRounds))
        guard !output.json else { return try printJSON(view) }
        print(view.diagram ?? "", terminator: view.diagram?.hasSuffix("\n") == true ? "" : "\n")
        for line in view.explanation ?? [] { print("  " + line) }
        if let verification = view.verification, verification.rounds > 0 {
            print(
                "  \(verification.askedPairs) pairs of peers that the plan leans on were measured in "
                    + "\(verification.rounds) rounds; \(verification.measuredLinks) links answered in time.")
        }
    }

    /// Plans every chosen problem; several of them give an array in JSON.
    private func planFiles() throws {
        let (problems, isArray) = try chosenProblems()
        var views: [PlanView] = []
        for (position, problem) in problems.enumerated() {
            let options = PlannerOptions(
                objective: objective, seed: seed, patience: timeLimit == nil ? 1 : Self.patience)
            let (report, elapsed) = try PlanRun.plan(
                problem, options: options, timeLimit: .seconds(timeLimit ?? Self.usualLimit), threads: threads)
            var view = PlanView(report, problem: problem, elapsedSeconds: elapsed, namesOnly: true)
            if explain { view.explanation = PlanExplanation(report, problem: problem).lines }
            try draw(PlanDrawing(report, problem: problem).svg, position: problems.count == 1 ? nil : position)
            let outcome = try leaver.map { try replan(report, problem, without: $0) }
            if let outcome, output.json {
                try printJSON(outcome)
            } else if output.json {
                views.append(view)
            } else {
                print(problem.name)
                for line in PlanDiagram(report, problem: problem).lines { print("  " + line) }
                for line in view.explanation ?? [] { print("  " + line) }
                print("  searched \(report.evaluations) candidates in \(Figures.seconds(elapsed)), seed \(report.seed)")
                for line in outcome?.lines ?? [] { print("  " + line) }
            }
        }
        guard output.json, leaver == nil else { return }
        if isArray { try printJSON(views) } else if let view = views.first { try printJSON(view) }
    }

    /// Writes the picture of a plan, of one of several under a name with its number, if one is wanted.
    func draw(_ picture: @autoclosure () -> String, position: Int?) throws {
        guard let svg else { return }
        try writeFile(picture(), to: position.map { Self.numbered(svg, $0) } ?? svg)
    }

    /// "plan.svg" becomes "plan-3.svg".
    private static func numbered(_ path: String, _ position: Int) -> String {
        path.hasSuffix(".svg") ? path.dropLast(4) + "-\(position).svg" : path + "-\(position)"
    }

    /// The problems that the options name, with what the options change in them.
    func chosenProblems() throws -> (problems: [PlanningProblem], isArray: Bool) {
        var chosen: [PlanningProblem] = []
        var isArray = problem.count > 1
        for path in problem {
            var (files, isList) = try PlanningProblemFile.read(path)
            if let index {
                guard files.indices.contains(index) else {
                    throw CommandFailure("\(path) has \(files.count) problems: there is none at position \(index)")
                }
                files = [files[index]]
                isList = false
            }
            if let name {
                files = files.filter { $0.name == name }
                guard !files.isEmpty else { throw CommandFailure("\(path) has no problem named \"\(name)\"") }
                isList = false
            }
            isArray = isArray || isList
            for file in files { chosen.append(try changed(file)) }
        }
        return (chosen, isArray)
    }

    private func changed(_ file: PlanningProblemFile) throws -> PlanningProblem {
        var problem = try file.problem()
        if anyShape { problem.shape = PlanningProblem.Shape() }
        if let stages { problem.shape.stages = stages }
        if let replicas { problem.shape.replicas = replicas }
        if let schedule { problem.schedule = PlanSchedule(name: schedule) }
        if let localSteps { problem.localSteps = localSteps }
        if directExchange { problem.exchangesInLevels = false }
        if let modelConfig {
            let config = try HuggingFaceConfig.read(modelConfig)
            problem.model = .transformer(
                name: modelConfig, shape: try config.shape(),
                sequenceLength: sequenceLength ?? config.defaultSequenceLength, precision: file.precision)
            problem.dtfm = nil
        }
        if let compression {
            problem.compression = try file.compression(named: compression)
        }
        return goals.applied(to: problem)
    }
}

extension PlanningObjective: ExpressibleByArgument {}
