package import Primitives

/// Secret randomness from the operating system (getrandom, arc4random): for keys, never for anything that must be
/// repeatable.
package struct SystemEntropy: EntropySource {
    package init() {}

    package func secretBytes(count: Int) -> SecretBytes {
        var generator = SystemRandomNumberGenerator()
        return SecretBytes(count: count) { buffer in
            for position in buffer.indices { buffer[position] = UInt8.random(in: .min ... .max, using: &generator) }
        }
    }

    /// A number that no other process will have, for seeding a core.
    package func seed() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}
