import Primitives

/// Where a run's training and validation sequences come from: windows of one text of bytes.
///
/// The last part of the text is kept for validation. A training window is chosen by a counter, (seed, step, number of the
/// sequence within the step), so it depends neither on earlier draws nor on how the step is cut into micro-batches.
package struct TokenBatches: Sendable {
    /// The inputs of some sequences and, for each position, the token that follows it.
    package struct Batch: Hashable, Sendable {
        /// sequences × length tokens.
        package var tokens: [Int32]
        /// sequences × length tokens, one position further on.
        package var targets: [Int32]
        package var sequences: Int
        package var length: Int
    }

    /// Bytes used for training.
    package let training: [UInt8]
    /// Bytes kept for validation, the end of the text.
    package let validation: [UInt8]
    /// Tokens in a sequence.
    package let length: Int
    private let seed: UInt64

    /// Splits the text; `validationFraction` of it, rounded down to whole bytes, is kept for validation.
    ///
    /// Throws `shortText` if the training part holds no window, or if a validation part is wanted but holds none.
    package init(
        text: [UInt8], length: Int, validationFraction: Double, seed: UInt64
    ) throws(ComputeError) {
        guard length >= 1, length < 1 << 30 else { throw .configuration("sequences of \(length) tokens") }
        guard validationFraction >= 0, validationFraction < 1 else {
            throw .configuration("a validation part of \(validationFraction) of the text is not at least 0 and below 1")
        }
        let kept = Int(Double(text.count) * validationFraction)
        training = Array(text.dropLast(kept))
        validation = Array(text.suffix(kept))
        self.length = length
        self.seed = seed
        guard training.count > length else { throw .shortText(bytes: training.count, needed: length + 1) }
        if validationFraction > 0, validation.count <= length {
            throw .shortText(bytes: validation.count, needed: length + 1)
        }
    }

    /// Micro-batch `microBatch` of training step `step`: sequences microBatch × sequences ..< (microBatch + 1) × sequences
    /// of that step.
    package func batch(step: Int, microBatch: Int, sequences: Int) -> Batch {
        windows(of: training, sequences: sequences) { index in
            let number = UInt64(microBatch * sequences + index)
            var generator = SeededGenerator(seed: Self.mix(Self.mix(seed, UInt64(step)), number))
            return generator.index(below: training.count - length)
        }
    }

    /// Validation batch number `index`: the same evenly spread windows for every run over the same text.
    ///
    /// Returns nil if no part of the text was kept for validation.
    package func validationBatch(_ index: Int, of count: Int, sequences: Int) -> Batch? {
        guard validation.count > length, count >= 1 else { return nil }
        let places = validation.count - length
        let total = count * sequences
        return windows(of: validation, sequences: sequences) { sequence in
            let number = (index * sequences + sequence) % total
            return Int((UInt64(places) * UInt64(number)) / UInt64(total))
        }
    }

    private func windows(of text: [UInt8], sequences: Int, start: (Int) -> Int) -> Batch {
        var batch = Batch(tokens: [], targets: [], sequences: sequences, length: length)
        batch.tokens.reserveCapacity(sequences * length)
        batch.targets.reserveCapacity(sequences * length)
        for index in 0..<sequences {
            let first = start(index)
            batch.tokens += ByteTokeniser.encode(text[first..<first + length])
            batch.targets += ByteTokeniser.encode(text[first + 1..<first + 1 + length])
        }
        return batch
    }

    private static func mix(_ key: UInt64, _ value: UInt64) -> UInt64 {
        var generator = SeededGenerator(seed: key ^ (value &* 0x9E37_79B9_7F4A_7C15))
        return generator.next()
    }
}
