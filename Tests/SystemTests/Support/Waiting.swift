import Foundation

/// Polling with a deadline. The bounds are generous, for slow machines; the figures are printed.
enum Waiting {
    /// Polls until the condition holds and returns the seconds that took; throws after `seconds`.
    @discardableResult
    static func until(
        _ what: String, seconds: Double, every pause: Double = 0.05, _ condition: () async throws -> Bool
    ) async throws -> Double {
        let start = ContinuousClock.now
        while true {
            if try await condition() { return (ContinuousClock.now - start).inSeconds }
            guard (ContinuousClock.now - start).inSeconds < seconds else {
                throw HarnessError("waited \(seconds) s in vain until \(what)")
            }
            try await Task.sleep(for: .milliseconds(Int(pause * 1000)))
        }
    }

    /// Prints a measured time in a form that is easy to find in the log of a test run.
    static func report(_ what: String, seconds: Double, target: Double? = nil) {
        let rounded = (seconds * 100).rounded() / 100
        let aim = target.map { " (aim: \($0) s)" } ?? ""
        print("measured: \(what): \(rounded) s\(aim)")
    }
}

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
