/// Why the engine refused an input. None of these leaves the engine in a changed state.
package enum ComputeError: Error, Equatable, Sendable {
    /// The model's dimensions do not make a model; the text says which.
    case configuration(String)
    /// A tensor or batch has the wrong size.
    case shape(what: String, expected: Int, actual: Int)
    /// A token lies outside of the vocabulary.
    case token(Int32, vocabulary: Int)
    /// No tensor of that name belongs to this stage.
    case unknownTensor(String)
    /// A backward pass was asked for a micro-batch without a forward pass.
    case noForwardPass(microBatch: Int)
    /// The call does not fit this stage's place in the pipeline; the text says why.
    case wrongStage(String)
    /// The text is too short for a batch.
    case shortText(bytes: Int, needed: Int)
}

extension ComputeError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .configuration(let why): "The model cannot be built: \(why)."
        case .shape(let what, let expected, let actual): "\(what) has \(actual) numbers where \(expected) are needed."
        case .token(let token, let vocabulary):
            "Token \(token) lies outside of the vocabulary of \(vocabulary); use the tokeniser the model was made for."
        case .unknownTensor(let name): "This stage holds no tensor named \(name)."
        case .noForwardPass(let microBatch):
            "Micro-batch \(microBatch) has no kept activations; run its forward pass first."
        case .wrongStage(let why): "The call does not fit this stage: \(why)."
        case .shortText(let bytes, let needed):
            "The text has \(bytes) bytes but a batch needs at least \(needed); use a longer text or a shorter context."
        }
    }
}
