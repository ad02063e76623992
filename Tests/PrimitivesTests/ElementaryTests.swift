import Primitives
import Testing

@Suite("Elementary functions")
struct ElementaryTests {
    /// Values computed with 50 digits and rounded to Double.
    @Test(
        "exp hits known values",
        arguments: [
            (0.0, 1.0), (1.0, 2.718281828459045), (-1.0, 0.36787944117144233), (0.5, 1.6487212707001282),
            (10.0, 22026.465794806718), (-20.0, 2.061153622438558e-09), (700.0, 1.0142320547350045e+304),
            (-700.0, 9.85967654375977e-305),
        ])
    func exponential(x: Double, expected: Double) {
        let actual = Elementary.exp(x)
        #expect(abs(actual - expected) <= 2 * expected.ulp, "exp(\(x)) gave \(actual), not \(expected)")
    }

    @Test(
        "log hits known values",
        arguments: [
            (1.0, 0.0), (2.0, 0.6931471805599453), (10.0, 2.302585092994046), (0.1, -2.3025850929940455),
            (1.0000001, 9.999999505838704e-08), (1e300, 690.7755278982137),
        ])
    func logarithm(x: Double, expected: Double) {
        let actual = Elementary.log(x)
        #expect(abs(actual - expected) <= 2 * expected.ulp, "log(\(x)) gave \(actual), not \(expected)")
    }

    @Test("log undoes exp")
    func inverse() {
        for step in -1000...1000 {
            let x = Double(step) * 0.61
            let back = Elementary.log(Elementary.exp(x))
            #expect(abs(back - x) <= 4e-16 * max(1, abs(x)), "log(exp(\(x))) gave \(back)")
        }
    }

    @Test("the edges are the usual ones")
    func edges() {
        #expect(Elementary.exp(1000) == .infinity)
        #expect(Elementary.exp(-1000) == 0)
        #expect(Elementary.exp(.nan).isNaN)
        #expect(Elementary.log(0) == -.infinity)
        #expect(Elementary.log(-1).isNaN)
        #expect(Elementary.exp(-740) == 85 * .leastNonzeroMagnitude, "a subnormal result must be rounded once")
        #expect(abs(Elementary.log(.leastNonzeroMagnitude) + 744.4400719213812) < 2e-13)
        #expect(Elementary.log(.infinity) == .infinity)
        #expect(Elementary.pow(0, 2) == 0)
        #expect(Elementary.pow(3, 0) == 1)
        #expect(abs(Elementary.pow(2, 10) - 1024) < 1e-11)
    }
}
