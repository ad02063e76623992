package import Primitives

extension SeededGenerator {
    /// A sample of the exponential distribution with mean one: −ln of a uniform number, from plain arithmetic so that
    /// it is the same on every platform.
    package mutating func exponential() -> Double {
        let uniform = 1 - unit()  // in (0, 1]
        let z = (uniform.significand - 1) / (uniform.significand + 1)
        let square = z * z
        // ln m = 2 artanh((m − 1) / (m + 1)) for m in [1, 2): the series to z¹⁷ is exact to 1e-9.
        var series = 1.0 / 17
        for divisor in stride(from: 15.0, through: 1, by: -2) { series = series * square + 1 / divisor }
        return -(2 * z * series + Double(uniform.exponent) * 0.693_147_180_559_945_3)
    }
}
