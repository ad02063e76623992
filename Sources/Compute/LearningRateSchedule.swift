/// Linear warm-up to the peak rate, then half a cosine down to the minimum (Loshchilov and Hutter 2017).
package struct LearningRateSchedule: Hashable, Sendable {
    package var peak: Double
    package var minimum: Double
    /// Steps of warm-up; the first step already has a rate of peak / warmupSteps.
    package var warmupSteps: Int
    /// Steps of the whole run; later steps keep the minimum.
    package var totalSteps: Int

    package init(peak: Double, minimum: Double, warmupSteps: Int, totalSteps: Int) {
        self.peak = peak
        self.minimum = minimum
        self.warmupSteps = warmupSteps
        self.totalSteps = totalSteps
    }

    /// The rate of step `step`, counted from 0.
    package func rate(at step: Int) -> Double {
        if step < warmupSteps { return peak * Double(step + 1) / Double(warmupSteps) }
        let length = totalSteps - warmupSteps
        guard step < totalSteps, length > 0 else { return minimum }
        let progress = Double(step - warmupSteps) / Double(length)
        return minimum + (peak - minimum) * 0.5 * (1 + Self.cosineOfHalfTurns(progress))
    }

    /// cos(πx) for x in 0...1 as sin(π(1/2 − x)) by its Taylor series to the 21st power (error below 10⁻¹⁵). Our own, so
    /// that every machine gets the same bits.
    static func cosineOfHalfTurns(_ x: Double) -> Double {
        let angle = Double.pi * (0.5 - x)
        let square = angle * angle
        var sum = 1.0
        for k in stride(from: 20.0, through: 2.0, by: -2.0) { sum = 1 - square / (k * (k + 1)) * sum }
        return angle * sum
    }
}
