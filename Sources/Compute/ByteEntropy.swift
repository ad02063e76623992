import Primitives

/// How well single byte frequencies predict a text: what a trained model must beat.
package enum ByteEntropy {
    /// The mean cross entropy, in nats per byte, of `validation` under the byte frequencies of `training`, each count
    /// increased by one so that a byte unseen in training stays possible (Laplace).
    ///
    /// Returns nil if there is no validation text.
    package static func crossEntropy(of validation: [UInt8], training: [UInt8]) -> Double? {
        guard !validation.isEmpty else { return nil }
        let seen = counts(training)
        let asked = counts(validation)
        let total = Elementary.log(Double(training.count + 256))
        var sum = 0.0
        for byte in 0..<256 where asked[byte] > 0 {
            sum += Double(asked[byte]) * (total - Elementary.log(Double(seen[byte] + 1)))
        }
        return sum / Double(validation.count)
    }

    private static func counts(_ text: [UInt8]) -> [Int] {
        var counts = [Int](repeating: 0, count: 256)
        for byte in text { counts[Int(byte)] += 1 }
        return counts
    }
}
