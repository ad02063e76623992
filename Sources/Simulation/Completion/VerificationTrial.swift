package import Topology

/// Holds plans made on a partly measured graph, with verification, against plans made on the true one.
package struct VerificationTrial: Sendable {
    /// What came out of one run; speeds as shares of that of the plan made on the true graph.
    package struct Outcome: Codable, Hashable, Sendable {
        /// Without verification, as executed on the true network.
        package var unverifiedSpeed: Double
        package var verifiedSpeed: Double
        package var rounds: Int
        /// Pairs measured at first, and those that verification asked for.
        package var measuredPairs: Int
        package var verifiedPairs: Int
        package var allPairs: Int
    }

    /// The problem on the true graph.
    package let problem: PlanningProblem
    private let network: TrueNetwork
    private let choice: CompletionTrial.Choice
    private let options: PlannerOptions

    package init(_ problem: PlanningProblem, choice: CompletionTrial.Choice, options: PlannerOptions) {
        self.problem = problem
        self.choice = choice
        self.options = options
        let graph = problem.graph
        var roundTrips = [Double](repeating: 0, count: graph.count * graph.count)
        for source in 0..<graph.count {
            for target in 0..<graph.count where target != source {
                roundTrips[graph.position(from: source, to: target)] =
                    graph.latencies[graph.position(from: source, to: target)].value
                    + graph.latencies[graph.position(from: target, to: source)].value
            }
        }
        network = TrueNetwork(name: problem.name, count: graph.count, roundTrips: roundTrips)
    }

    /// The best plan on the true graph: seconds of its iteration.
    package func secondsOnTruth() throws(PlanningError) -> Double {
        trueSeconds(try Planner.plan(problem, options: options).layout)
    }

    /// Measures, plans, verifies.
    ///
    /// - Parameters:
    ///   - partners: Partners that each peer measures before the first plan.
    ///   - reference: Seconds of an iteration of the plan on the true graph.
    package func run(
        partners: Int, seed: UInt64, reference: Double, rule: PlanVerification.Options = PlanVerification.Options()
    ) throws(PlanningError) -> Outcome {
        let trial = CompletionTrial(network, choice: choice, partners: partners, seed: seed)
        var known = LinkGraph(nodes: problem.graph.nodes, digest: problem.graph.digest)
        for (left, right) in trial.pairs {
            copy(left, right, to: &known)
            copy(right, left, to: &known)
        }
        var verification = PlanVerification(measured: known, options: rule, seed: seed)
        var report = try plan(on: verification.graph)
        let unverified = trueSeconds(report.layout)
        var layouts = [report.layout]
        while let pairs = verification.next(after: report) {
            verification.take(pairs.flatMap { [measure($0.left, $0.right), measure($0.right, $0.left)] })
            report = try plan(on: verification.graph)
            layouts.append(report.layout)
        }
        let chosen = layouts[verification.safest(of: layouts, problem: problem)]
        return Outcome(
            unverifiedSpeed: reference / unverified, verifiedSpeed: reference / trueSeconds(chosen),
            rounds: verification.rounds, measuredPairs: trial.pairs.count, verifiedPairs: verification.asked.count,
            allPairs: problem.graph.count * (problem.graph.count - 1) / 2)
    }

    private func copy(_ source: Int, _ target: Int, to graph: inout LinkGraph) {
        let position = graph.position(from: source, to: target)
        graph.latencies[position] = .measured(problem.graph.latencies[position].value)
        graph.rates[position] = .measured(problem.graph.rates[position].value)
    }

    private func measure(_ source: Int, _ target: Int) -> PlanVerification.Measurement {
        let position = problem.graph.position(from: source, to: target)
        return .init(
            from: source, to: target, latencySeconds: problem.graph.latencies[position].value,
            bytesPerSecond: problem.graph.rates[position].value)
    }

    private func plan(on graph: LinkGraph) throws(PlanningError) -> PlanReport {
        var problem = problem
        problem.graph = graph
        return try Planner.plan(problem, options: options)
    }

    /// How long an iteration of a plan takes on the true network.
    private func trueSeconds(_ layout: Layout) -> Double {
        IterationSimulator.run(layout, tables: CostTables(problem)).seconds
    }
}
