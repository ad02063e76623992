import Foundation

/// A job that takes seconds: four layers, sixteen sequences a step in eight micro-batches.
struct SampleJob: Encodable {
    struct Model: Encodable {
        var layers = 4
        var width = 32
        var heads = 2
        var context = 32
    }

    struct Batch: Encodable {
        var sequences = 8
        var microBatchSequences = 1
    }

    struct Optimizer: Encodable {
        var learningRate = 3e-3
        var minimumLearningRate = 3e-4
        var warmupSteps = 2
    }

    struct Layout: Encodable {
        var stages: Int
        var replicas: Int
    }

    let format = "weft.job/1"
    var name = "sample"
    var data: String
    var steps: Int
    var seed: UInt64 = 11
    var model = Model()
    var batch = Batch()
    var optimizer = Optimizer()
    var layout: Layout?
    var checkpointEvery = 0

    /// A job over a text of this project in the folder.
    init(folder: URL, steps: Int) throws {
        let text = folder.appending(path: "text.txt")
        data = text.path
        self.steps = steps
        guard !FileManager.default.fileExists(atPath: text.path) else { return }
        let root = (0..<4).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }
        var bytes = Data()
        for name in ["README.md", "CONTRIBUTING.md", "SECURITY.md"] {
            bytes += try Data(contentsOf: root.appending(path: name))
        }
        try bytes.write(to: text)
    }

    /// Writes the document and returns its path.
    func write(to folder: URL, named file: String) throws -> String {
        let url = folder.appending(path: file)
        try JSONEncoder().encode(self).write(to: url)
        return url.path
    }
}
