import Foundation

/// The job that the demo trains: small enough for eight processes on two cores, large enough to beat byte unigrams.
struct DemoJob: Encodable {
    struct Model: Encodable {
        var layers = 8
        var width = 96
        var heads = 4
        var context = 96
    }

    struct Batch: Encodable {
        var sequences = 16
        var microBatchSequences = 2
    }

    struct Optimizer: Encodable {
        var learningRate = 4e-3
        var minimumLearningRate = 4e-4
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
        optimizer = Optimizer(warmupSteps: max(1, min(20, steps / 10)))
        layout = Layout(replicas: peers >= 4 ? 2 : 1)
        validation = Validation(every: max(1, steps / 4))
    }

    /// The `weft.job/1` document.
    func document() throws -> String { try jsonText(self) }
}
