/// A positive quantity in 16 bits with the same relative step everywhere: the IEEE 754 single without its sign bit and
/// without the lower 15 bits of its fraction, so 8 exponent bits and 8 fraction bits, rounded to nearest.
///
/// The step is 1/256 of an octave or finer (0.2 to 0.4 %), the range 10⁻³⁸ to 10³⁸, and 0 means nothing or unknown. Rates
/// are coded in bytes per second, times in seconds. No logarithm is needed, so every machine gets the same bits.
package enum FloatCode {
    /// The code of a value; 0 for zero, negative and NaN, the largest finite code for anything above.
    package static func encode(_ value: Double) -> UInt16 {
        guard value > 0 else { return 0 }
        let single = Float(value)
        guard single.isFinite, single < maximum else { return largest }
        return UInt16(truncatingIfNeeded: (single.bitPattern &+ 0x4000) >> 15)
    }

    /// The value of a code; `nil` for a code that `encode` never gives (infinities and NaN).
    package static func decode(_ code: UInt16) -> Double? {
        guard code <= largest else { return nil }
        return Double(Float(bitPattern: UInt32(code) << 15))
    }

    private static let largest: UInt16 = 0xFEFF
    private static let maximum = Float(bitPattern: UInt32(0xFEFF) << 15)
}
