import Dispatch
import Synchronization
package import Topology

/// Runs a search under a clock: the planner itself knows none.
package enum PlanRun {
    /// Candidates between two looks at the clock.
    private static let slice = 64

    /// Searches until the budget is used up, the optimum is proven or the time is over; also returns the seconds it took. What
    /// comes after the search may take as long again: refinement, relays, and a branch and bound over few peers and their
    /// bounds.
    ///
    /// - Parameter threads: independent searches at a time, with the seeds `seed`, `seed + 1` and so on; the best plan
    ///   counts.
    package static func plan(
        _ problem: PlanningProblem, options: PlannerOptions, timeLimit: Duration, threads: Int = 1
    ) throws(PlanningError) -> (report: PlanReport, elapsedSeconds: Double) {
        try islands(seed: options.seed, threads: threads) { (seed, clock, start) throws(PlanningError) in
            var options = options
            options.seed = seed
            var search = try PlanSearch(problem, options: options)
            while !search.isFinished, clock.now - start < timeLimit { search.advance(slice) }
            return try search.report { clock.now - start >= timeLimit * 2 }
        } isBetter: { report, best in
            report.objectiveSeconds < best.objectiveSeconds || report.isOptimal && !best.isOptimal
        }
    }

    /// The same for generation.
    package static func plan(
        _ problem: PlanningProblem, goal: PlanningGoal, options: PlannerOptions, timeLimit: Duration, threads: Int = 1
    ) throws(PlanningError) -> (report: GenerationReport, elapsedSeconds: Double) {
        try islands(seed: options.seed, threads: threads) { (seed, clock, start) throws(PlanningError) in
            var options = options
            options.seed = seed
            var search = try GenerationSearch(problem, goal: goal, options: options)
            while !search.isFinished, clock.now - start < timeLimit { search.advance(slice) }
            return try search.report()
        } isBetter: { report, best in
            report.objectiveSeconds < best.objectiveSeconds || report.isOptimal && !best.isOptimal
        }
    }

    /// The next plan where one is in force, with the same limits; also returns the seconds it took.
    ///
    /// - Parameter horizon: iterations that the next plan is for.
    package static func replan(
        _ previous: Plan, problem: PlanningProblem, horizon: Double = Replanner.usualHorizon, seed: UInt64,
        timeLimit: Duration
    ) throws(PlanningError) -> (outcome: Replanner.Outcome, elapsedSeconds: Double) {
        let clock = ContinuousClock()
        let start = clock.now
        let options = Replanner.Options(
            planner: PlannerOptions(seed: seed, budget: Replanner.usualBudget), horizonIterations: horizon,
            isOver: { clock.now - start >= timeLimit }, isFarOver: { clock.now - start >= timeLimit * 2 })
        let outcome = try Replanner.replan(previous, problem: problem, options: options)
        return (outcome, seconds(since: start, clock))
    }

    private static func seconds(since start: ContinuousClock.Instant, _ clock: ContinuousClock) -> Double {
        (clock.now - start) / .seconds(1)
    }

    /// Runs so many searches at a time, each with a seed of its own, and keeps the best report, the first of equals.
    private static func islands<Report: Sendable>(
        seed: UInt64, threads: Int,
        search: @Sendable (UInt64, ContinuousClock, ContinuousClock.Instant) throws(PlanningError) -> Report,
        isBetter: (Report, Report) -> Bool
    ) throws(PlanningError) -> (report: Report, elapsedSeconds: Double) {
        let clock = ContinuousClock()
        let start = clock.now
        let results = Mutex<[Int: Result<Report, PlanningError>]>([:])
        @Sendable func run(_ island: Int) {
            let result = Result { () throws(PlanningError) -> Report in
                try search(seed &+ UInt64(island), clock, start)
            }
            results.withLock { $0[island] = result }
        }
        if threads > 1 {
            DispatchQueue.concurrentPerform(iterations: threads) { run($0) }
        } else {
            run(0)
        }
        let found = results.withLock { $0 }
        var best: Report?
        var failure: PlanningError?
        for island in 0..<max(1, threads) {
            switch found[island] {
            case .success(let report): if best.map({ isBetter(report, $0) }) ?? true { best = report }
            case .failure(let error): failure = failure ?? error
            case nil: break
            }
        }
        guard let best else {
            throw failure ?? PlanningError(.unsupported, "no search was run")
        }
        return (best, seconds(since: start, clock))
    }
}
