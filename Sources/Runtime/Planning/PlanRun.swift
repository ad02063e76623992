import Dispatch
import Synchronization
package import Topology

/// Runs a search under a clock: the planner itself knows none.
package enum PlanRun {
    /// Candidates between two looks at the clock.
    private static let slice = 64

    /// Searches until the budget is used up, the optimum is proven or the time is over; also returns the seconds it took.
    ///
    /// - Parameter threads: independent searches at a time, with the seeds `seed`, `seed + 1` and so on; the best plan
    ///   counts.
    package static func plan(
        _ problem: PlanningProblem, options: PlannerOptions, timeLimit: Duration, threads: Int = 1
    ) throws(PlanningError) -> (report: PlanReport, elapsedSeconds: Double) {
        let clock = ContinuousClock()
        let start = clock.now
        let results = Mutex<[Int: Result<PlanReport, PlanningError>]>([:])
        @Sendable func search(_ island: Int) {
            var options = options
            options.seed &+= UInt64(island)
            let result = Result { () throws(PlanningError) -> PlanReport in
                var search = try PlanSearch(problem, options: options)
                while !search.isFinished, clock.now - start < timeLimit { search.advance(slice) }
                return try search.report()
            }
            results.withLock { $0[island] = result }
        }
        if threads > 1 {
            DispatchQueue.concurrentPerform(iterations: threads) { search($0) }
        } else {
            search(0)
        }
        let found = results.withLock { $0 }
        var best: PlanReport?
        var failure: PlanningError?
        for island in 0..<max(1, threads) {
            switch found[island] {
            case .success(let report):
                if best.map({ report.objectiveSeconds < $0.objectiveSeconds || report.isOptimal && !$0.isOptimal })
                    ?? true
                {
                    best = report
                }
            case .failure(let error): failure = failure ?? error
            case nil: break
            }
        }
        guard let best else {
            throw failure ?? PlanningError(.unsupported, "no search was run")
        }
        let elapsed = (clock.now - start).components
        return (best, Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18)
    }
}
