/// What a plan is for.
package enum PlanningGoal: String, CaseIterable, Sendable {
    /// Training: the least time of one iteration (or DT-FM's objective, for comparison).
    case iteration
    /// Generation for one reader: the least normalised latency, an answer's time divided by its tokens.
    case latency
    /// Generation for many: the most tokens a second over all pipelines.
    case throughput
}

/// What to minimise in training.
package enum PlanningObjective: String, CaseIterable, Sendable {
    /// The simulated time of one iteration.
    case iteration
    /// DT-FM's objective, for comparison.
    case dtfm
}

/// How to search.
package struct PlannerOptions: Hashable, Sendable {
    package var objective: PlanningObjective
    package var seed: UInt64
    /// Candidate plans to look at; `nil` chooses by the size of the problem.
    package var budget: Int?
    /// Multiplies the budget that the planner would choose.
    package var patience: Int
    /// Stages that a branch and bound over at most `IterationExact.mostPeers` peers may lay down after the search; `nil`
    /// is a few seconds' worth, or none where a budget is given.
    package var exactNodes: Int?

    package init(
        objective: PlanningObjective = .iteration, seed: UInt64 = 1, budget: Int? = nil, patience: Int = 1,
        exactNodes: Int? = nil
    ) {
        self.exactNodes = exactNodes
        self.objective = objective
        self.seed = seed
        self.budget = budget
        self.patience = patience
    }
}

/// A plan with the reasons for it.
package struct PlanReport: Sendable {
    /// A named share of the objective, in the order of the report.
    package struct Part: Hashable, Sendable {
        package var name: String
        package var seconds: Double

        package init(name: String, seconds: Double) {
            self.name = name
            self.seconds = seconds
        }
    }

    package var problem: String
    package var objective: PlanningObjective
    package var objectiveSeconds: Double
    package var parts: [Part]
    /// No plan of the problem is faster than this.
    package var lowerBoundSeconds: Double
    /// Whether the plan is proven to be the best.
    package var isOptimal: Bool
    package var seed: UInt64
    /// Candidates looked at.
    package var evaluations: Int
    package var plan: Plan
    package var layout: Layout
    /// The simulated iteration of the plan, whatever the objective was.
    package var trace: IterationTrace

    /// An iteration's time as the sum of its phases.
    static func parts(of trace: IterationTrace) -> [Part] {
        [
            Part(name: "pipeline", seconds: trace.pipelineSeconds),
            Part(name: "exchange", seconds: trace.exchangeSeconds),
            Part(name: "optimizer", seconds: trace.optimizerSeconds),
        ]
    }

    /// (objective − lower bound) / lower bound.
    package var gap: Double {
        lowerBoundSeconds > 0 ? (objectiveSeconds - lowerBoundSeconds) / lowerBoundSeconds : .infinity
    }
}
