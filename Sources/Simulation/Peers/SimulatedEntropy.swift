import Primitives

/// Entropy that repeats, so that real keys can be part of a reproducible run. Nothing that leaves a simulation uses it.
struct SimulatedEntropy: EntropySource {
    var generator: SeededGenerator

    mutating func secretBytes(count: Int) -> SecretBytes {
        SecretBytes(copying: (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next() >> 32) })
    }
}
