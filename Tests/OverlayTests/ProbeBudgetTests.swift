import Primitives
import Testing

@testable import Overlay

@Suite struct ProbeBudgetTests {
    private let start = Instant(nanoseconds: 5_000_000_000)

    @Test("A full bucket pays at once, and what is owed is paid back at the rate of the budget")
    func debt() {
        var budget = ProbeBudget()
        #expect(budget.begin(bytes: 1e6, at: start) == start)
        #expect(budget.allowance(for: .routine, at: start) == 24_000_000)
        budget.spend(bytes: 24_640_000, linkSeconds: 0, at: start)
        #expect(budget.allowance(for: .routine, at: start) == 0, "a debt allows nothing")
        #expect(budget.allowance(for: .requested, at: start) == .max, "what somebody asks for is not limited")
        // 640 kB are owed and 64 kB wanted, at 64 kB a second.
        #expect(budget.begin(bytes: 64_000, at: start) == start + .seconds(11))
        #expect(budget.begin(bytes: 64_000, at: start + .seconds(11)) == start + .seconds(11))
        #expect(budget.bearable(at: start) == start, "a debt of less than a bucket is bearable")
    }

    @Test("A slow link is kept free by the time that is taken, whatever the bytes")
    func linkTime() {
        var budget = ProbeBudget()
        // At 1 Mbit/s the least session takes half a second of the link.
        for _ in 0..<4 { budget.spend(bytes: 60_000, linkSeconds: 0.48, at: start) }
        let next = budget.begin(bytes: 60_000, at: start)
        #expect(abs((next - start).seconds - 0.42 / 0.003) < 0.01, "0.42 s are owed: \(next - start)")
        #expect(budget.allowance(for: .routine, at: start) == 0)
    }

    @Test("Over an hour of greed the average stays at the rate")
    func average() {
        var budget = ProbeBudget()
        var spent = 0
        for second in 0..<3600 {
            let now = start + .seconds(second)
            while budget.begin(bytes: 500_000, at: now) <= now {
                budget.spend(bytes: 500_000, linkSeconds: 0, at: now)
                spent += 500_000
            }
        }
        #expect(
            Double(spent) <= 24e6 + 64_000 * 3600 && Double(spent) > 0.95 * (24e6 + 64_000 * 3600), "\(spent) bytes")
    }

    @Test("Sessions that come to nothing leave a sixteenth, and others give an eighth of the whole back")
    func effort() {
        var budget = ProbeBudget()
        for _ in 0..<10 { budget.note(settled: false, at: start) }
        #expect(budget.allowance(for: .routine, at: start) == 1_500_000)
        budget.spend(bytes: 1_500_000, linkSeconds: 0, at: start)
        #expect(budget.begin(bytes: 40_000, at: start) == start + .seconds(10), "4 kB a second")
        budget.note(settled: true, at: start)
        #expect(budget.begin(bytes: 40_000, at: start) == start + .milliseconds(3334), "12 kB a second")
        for _ in 0..<10 { budget.note(settled: true, at: start) }
        #expect(budget.begin(bytes: 64_000, at: start) == start + .seconds(1))
    }
}
