/// Geometric cooling.
enum Cooling {
    /// The factor that takes a temperature from one value to another in so many steps: (to / from)^(1 / steps), by a
    /// binary expansion of the exponent in square roots, which are the same everywhere.
    static func factor(from: Double, to: Double, steps: Int) -> Double {
        var result = 1.0
        var root = to / from
        var rest = 1 / Double(max(1, steps))
        for _ in 0..<60 {
            root = root.squareRoot()
            rest *= 2
            if rest >= 1 {
                result *= root
                rest -= 1
            }
        }
        return result
    }
}
