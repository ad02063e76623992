import ArgumentParser
import Runtime
import Topology

extension PlanningGoal: ExpressibleByArgument {}

/// What a plan is for, and what it may cost.
struct GoalOptions: ParsableArguments {
    @Option(
        help: """
            What to plan for: iteration (training: the time of an iteration, or --objective), latency (generation: the least \
            normalised latency, an answer's time divided by its tokens) or throughput (generation: the most tokens/s).
            """)
    var goal: PlanningGoal = .iteration

    @Option(help: "Tokens of a prompt, for generation (default: the file's, else 512).")
    var promptTokens: Int?

    @Option(help: "Tokens generated for a prompt (default: the file's, else 128).")
    var newTokens: Int?

    @Option(help: "Sequences in flight at most, for throughput (default: the file's, else what memory holds).")
    var maxSequences: Int?

    @Option(help: "What the plan's peers may cost an hour together, by their prices (default: the file's, else any).")
    var maxCostPerHour: Double?

    /// Whether any of them is given.
    var isGiven: Bool {
        goal != .iteration || promptTokens != nil || newTokens != nil || maxSequences != nil || maxCostPerHour != nil
    }

    func validate() throws {
        guard goal != .iteration || promptTokens == nil && newTokens == nil && maxSequences == nil else {
            throw ValidationError(
                "--prompt-tokens, --new-tokens and --max-sequences go with --goal latency or throughput.")
        }
        guard goal == .throughput || maxSequences == nil else {
            throw ValidationError("--max-sequences goes with --goal throughput.")
        }
        for (name, value) in [
            ("--prompt-tokens", promptTokens), ("--new-tokens", newTokens), ("--max-sequences", maxSequences),
        ] {
            guard (1...GenerationWorkload.maximumTokens).contains(value ?? 1) else {
                throw ValidationError("\(name) must be from 1 to \(GenerationWorkload.maximumTokens).")
            }
        }
        if let maxCostPerHour, !(maxCostPerHour.isFinite && maxCostPerHour >= 0) {
            throw ValidationError("--max-cost-per-hour must not be negative.")
        }
    }

    /// The problem with what the options change in it.
    func applied(to problem: PlanningProblem) -> PlanningProblem {
        var problem = problem
        if let promptTokens { problem.generation.promptTokens = promptTokens }
        if let newTokens { problem.generation.newTokens = newTokens }
        if let maxSequences { problem.generation.maximumSequences = maxSequences }
        if let maxCostPerHour { problem.maximumCostPerHour = maxCostPerHour }
        return problem
    }
}

extension PlanCommand {
    /// Plans every chosen problem for generation; several of them give an array in JSON.
    func planGeneration() throws {
        let (problems, isArray) = try chosenProblems()
        var views: [PlanView] = []
        for (position, problem) in problems.enumerated() {
            let options = PlannerOptions(seed: seed, patience: timeLimit == nil ? 1 : Self.patience)
            let (report, elapsed) = try PlanRun.plan(
                problem, goal: goals.goal, options: options, timeLimit: .seconds(timeLimit ?? Self.usualLimit),
                threads: threads)
            try draw(GenerationDrawing(report, problem: problem).svg, position: problems.count == 1 ? nil : position)
            let explanation = explain ? GenerationExplanation(report, problem: problem).lines : nil
            guard !output.json else {
                var view = PlanView(report, problem: problem, elapsedSeconds: elapsed)
                view.explanation = explanation
                views.append(view)
                continue
            }
            print(problem.name)
            for line in GenerationDiagram(report, problem: problem).lines { print("  " + line) }
            for line in explanation ?? [] { print("  " + line) }
            print("  searched \(report.evaluations) candidates in \(Figures.seconds(elapsed)), seed \(report.seed)")
        }
        guard output.json else { return }
        if isArray { try printJSON(views) } else if let view = views.first { try printJSON(view) }
    }
}
