import Foundation

/// The job that the demo trains: small enough for eight processes on two cores, large enough to beat byte unigrams.
struct DemoJob: Encodable {
    struct Model: Encodable {
        var layers = 4
        var width = 128
        var heads = 4
        var context = 64
    }

    struct Batch: Encodable {
        var sequences = 16
        var microBatchSequences = 2
    }

    struct Optimizer: Encodable {
        // Of 1e-3, 1.5e-3, 2e-3 and 3e-3 the one with the lowest validation loss after 300 steps.
        var learningRate = 1.5e-3
        var minimumLearningRate = 3e-4
        var warmupSteps: Int
    }

    struct Layout: Encodable {
        var replicas: Int
    }

    struct Validation: Encodable {
        var every: Int
        var batches = 16
        var fraction = 0.1
    }

    /// Steps unless told otherwise, when the machine is fast enough for them.
    static let usualSteps = 300
    /// Fewer would not show that the model learns.
    static let fewestSteps = 60
    /// What training may take, so that the whole demo ends within two minutes.
    static let trainingSeconds = 75.0
    /// Iterations take longer than planned where eight processes share two cores.
    static let caution = 1.25

    /// So many steps as fit.
    static func steps(predictedIterationSeconds: Double) -> Int {
        let fitting = trainingSeconds / max(predictedIterationSeconds * caution, 1e-3)
        return max(fewestSteps, min(usualSteps, Int(fitting)))
    }

    let format = "weft.job/1"
    let name = "demo"
    let data: String
    let steps: Int
    let seed: UInt64
    let model = Model()
    let batch = Batch()
    let optimizer: Optimizer
    let layout: Layout
    let validation: Validation

    init(textPath: String, steps: Int, seed: UInt64, peers: Int) {
        data = textPath
        self.steps = steps
        self.seed = seed
        optimizer = Optimizer(warmupSteps: max(1, min(10, steps / 10)))
        layout = Layout(replicas: peers >= 4 ? 2 : 1)
        validation = Validation(every: max(1, steps / 5))
    }

    /// The `weft.job/1` document.
    func document() throws -> String { try jsonText(self) }
}
