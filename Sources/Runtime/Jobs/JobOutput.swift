internal import Foundation
package import Pipeline
internal import Synchronization

/// What a job leaves on the disk of the node that coordinates it: the loss of every step in `loss.csv`, and its
/// checkpoints, each in a directory of its own (`CheckpointDirectory`).
package final class JobOutput: Sendable {
    private struct State {
        var lines: [(step: Int, text: String)] = []
        var lastCheckpoint: String?
    }

    /// The directory.
    package let path: String
    private let state = Mutex(State())

    /// Makes the directory if it is missing.
    package init(path: String) throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    /// Where the newest checkpoint lies.
    package var lastCheckpointPath: String? { state.withLock { $0.lastCheckpoint } }

    /// Where the losses are.
    package var lossPath: String { path + "/loss.csv" }

    /// Adds a step to the loss curve; a step that is done again after a lost peer replaces what stood from there on.
    package func append(_ step: TrainEvent.Step) throws {
        let line =
            "\(step.step),\(step.loss),\(step.lossBits),\(step.learningRate),\(step.iterationSeconds),"
            + "\(step.tokensPerSecond)\n"
        try state.withLock { state in
            let isFollowing = state.lines.last.map { $0.step < step.step } ?? false
            state.lines.removeAll { $0.step >= step.step }
            state.lines.append((step.step, line))
            if isFollowing, let file = FileHandle(forWritingAtPath: lossPath) {
                try file.seekToEnd()
                try file.write(contentsOf: Data(line.utf8))
                try file.close()
            } else {
                let text = Self.header + state.lines.map(\.text).joined()
                try Data(text.utf8).write(to: URL(filePath: lossPath), options: .atomic)
            }
        }
    }

    private static let header = "step,loss,lossBits,learningRate,iterationSeconds,tokensPerSecond\n"

    /// Writes a checkpoint; it appears whole or not at all.
    package func save(_ manifest: CheckpointManifest, parts: [(part: ModelPart, bytes: [UInt8])]) throws -> String {
        let written = try CheckpointDirectory(path: path).write(step: manifest.step, spec: manifest.spec, parts: parts)
        state.withLock { $0.lastCheckpoint = written }
        return written
    }
}
