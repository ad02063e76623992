/// exp, log and powers from correctly rounded operations: the same bits on every platform, which a C library's do not
/// promise. Within about one unit in the last place of the true value.
package enum Elementary {
    // ln 2 in two parts: the first has 32 trailing zero bits, so that its product with an exponent is exact (fdlibm).
    private static let ln2High = 6.93147180369123816490e-01
    private static let ln2Low = 1.90821492927058770002e-10

    /// eˣ: 2ᵏ times a Taylor series on [−ln 2 / 2, ln 2 / 2]. Infinite above 709.78, zero below −745.2.
    package static func exp(_ x: Double) -> Double {
        guard x == x else { return x }
        if x > 709.782712893384 { return .infinity }
        if x < -745.2 { return 0 }
        let k = (x * 1.4426950408889634).rounded()
        let high = x - k * ln2High
        let low = k * ln2Low
        let r = high - low
        var series = 1.0 / 6_227_020_800.0  // 1/13!
        for reciprocal in reciprocalFactorials { series = series * r + reciprocal }
        return scaled(1 + (r + r * r * series), by: Int(k))
    }

    /// 1/12!, ..., 1/2!
    private static let reciprocalFactorials: [Double] = [
        1 / 479_001_600.0, 1 / 39_916_800.0, 1 / 3_628_800.0, 1 / 362_880.0, 1 / 40_320.0, 1 / 5_040.0, 1 / 720.0,
        1 / 120.0, 1 / 24.0, 1 / 6.0, 0.5,
    ]

    /// value · 2ᵏ, in two factors so that a subnormal result is rounded once.
    private static func scaled(_ value: Double, by k: Int) -> Double {
        func power(_ exponent: Int) -> Double { Double(bitPattern: UInt64(exponent + 1023) << 52) }
        if k >= -1021 { return k <= 1023 ? value * power(k) : value * power(1023) * power(k - 1023) }
        return value * power(k + 1021) * power(-1021)
    }

    /// The natural logarithm; NaN below zero, −∞ at zero. 2 artanh((m − 1)/(m + 1)) with m in [√½, √2).
    package static func log(_ x: Double) -> Double {
        guard x > 0 else { return x == 0 ? -.infinity : .nan }
        guard x < .infinity else { return x }
        var mantissa = x.significand
        var exponent = Double(x.exponent)
        if mantissa > 1.4142135623730951 {
            mantissa /= 2
            exponent += 1
        }
        let s = (mantissa - 1) / (mantissa + 1)
        let square = s * s
        var series = 0.0
        for odd in stride(from: 23.0, through: 3.0, by: -2.0) { series = series * square + 1 / odd }
        return exponent * ln2High + (2 * s + (2 * s * square * series + exponent * ln2Low))
    }

    /// base^exponent for a base that is not negative; the relative error grows with |exponent · log base|.
    package static func pow(_ base: Double, _ exponent: Double) -> Double {
        if exponent == 0 { return 1 }
        if base == 0 { return exponent > 0 ? 0 : .infinity }
        return exp(exponent * log(base))
    }
}
