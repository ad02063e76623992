package import Topology

/// Runs a search under a clock: the planner itself knows none.
package enum PlanRun {
    /// Candidates between two looks at the clock.
    private static let slice = 256

    /// Searches until the budget is used up, the optimum is proven or the time is over; also returns the seconds it took.
    package static func plan(
        _ problem: PlanningProblem, options: PlannerOptions, timeLimit: Duration
    ) throws(PlanningError) -> (report: PlanReport, elapsedSeconds: Double) {
        let clock = ContinuousClock()
        let start = clock.now
        var search = try PlanSearch(problem, options: options)
        while !search.isFinished, clock.now - start < timeLimit { search.advance(slice) }
        let report = try search.report()
        let elapsed = (clock.now - start).components
        return (report, Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18)
    }
}
