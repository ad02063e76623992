import Primitives

/// Which tokens each sequence of each step consists of: a pure function of the job's seed and the data's length, so that
/// every peer finds its micro-batches by itself.
package struct BatchSampler: Sendable {
    /// Tokens of a sequence; a window has one more, the last target.
    package let context: Int
    /// Tokens that training may use, from the start of the data.
    package let trainingTokens: Range<Int>
    /// Tokens held out for validation, up to the end of the data.
    package let validationTokens: Range<Int>
    private let seed: UInt64
    private let validationSequences: Int
    private let microBatchSequences: Int

    /// `nil` if the data is too short for one window of training and, if the job validates, one of validation.
    package init?(spec: JobSpec, tokenCount: Int) {
        let window = spec.model.context + 1
        let validates = spec.validation.every > 0 && spec.validation.batches > 0
        let heldOut = validates ? max(Int(Double(tokenCount) * spec.validation.fraction), window) : 0
        guard tokenCount - heldOut >= window else { return nil }
        context = spec.model.context
        trainingTokens = 0..<(tokenCount - heldOut)
        validationTokens = (tokenCount - heldOut)..<tokenCount
        seed = spec.seed
        microBatchSequences = spec.microBatchSequences
        validationSequences = validates ? spec.validation.batches * spec.microBatchSequences : 0
    }

    /// The windows of a micro-batch, each `context + 1` tokens long: inputs are all but the last, targets all but the
    /// first. Training windows are drawn anew for every step; validation windows lie evenly over what is held out.
    package func windows(of microBatch: Int, in phase: StepPhase) -> [Range<Int>] {
        (0..<microBatchSequences).map { row in
            let sequence = microBatch * microBatchSequences + row
            let start: Int
            switch phase.pass {
            case .training: start = trainingStart(step: phase.step, sequence: sequence)
            case .validation: start = validationStart(sequence: sequence)
            }
            return start..<(start + context + 1)
        }
    }

    private func trainingStart(step: UInt64, sequence: Int) -> Int {
        // Distinct odd multipliers keep (step, sequence) pairs apart; the generator's own mixing does the rest.
        var generator = SeededGenerator(
            seed: seed &+ (step &+ 1) &* 0xD6E8_FEB8_6659_FD93 &+ UInt64(sequence) &* 0xA076_1D64_78BD_642F)
        return trainingTokens.lowerBound + generator.index(below: trainingTokens.count - context)
    }

    private func validationStart(sequence: Int) -> Int {
        let room = validationTokens.count - context - 1
        guard validationSequences > 1, room > 0 else { return validationTokens.lowerBound }
        return validationTokens.lowerBound + room * (sequence % validationSequences) / (validationSequences - 1)
    }
}
