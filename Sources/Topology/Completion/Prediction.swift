/// A figure that a model gives for a link that nobody measured, with how far it may be off.
package struct Prediction: Hashable, Sendable {
    /// Seconds or bytes per second, as the model says.
    package var value: Double
    /// The relative error that half of the model's predictions of this kind stay below.
    package var relativeError: Double
    /// Natural logarithm of the factor by which nine of ten predictions of this kind are off at most: the truth is
    /// expected between value / exp(spread) and value · exp(spread).
    package var spread: Double

    package init(value: Double, relativeError: Double, spread: Double) {
        self.value = value
        self.relativeError = relativeError
        self.spread = spread
    }
}
