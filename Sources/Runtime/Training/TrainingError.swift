/// Why training cannot go on, in words for the person who runs the job.
package enum TrainingError: Error, Hashable, Sendable {
    /// A micro-batch came out of turn.
    case outOfOrder(microBatch: Int, expected: Int)
    /// The reduced gradients are not those of the stage's parts.
    case wrongGradients(String)
    /// A loss is not a number.
    case diverged(step: UInt64)
    /// The data belongs to the first and the last stage.
    case needsData
    /// A checkpoint lacks something, or is one of another job.
    case checkpoint(String)
}

extension TrainingError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .outOfOrder(let microBatch, let expected):
            "micro-batch \(microBatch) came where \(expected) was next; the run must be started again"
        case .wrongGradients(let what): "the reduced gradients do not fit the stage: \(what)"
        case .diverged(let step):
            "the loss of step \(step + 1) is not a number; lower the learning rate or lengthen the warm-up"
        case .needsData: "the first and the last stage need the training text"
        case .checkpoint(let what): "the checkpoint cannot be used: \(what)"
        }
    }
}
