internal import Foundation
package import Pipeline
package import Primitives
package import Shards
internal import Synchronization
internal import Wire

/// What a job leaves on the disk of the node that coordinates it: the loss of every step and its checkpoints.
///
///     DIR/loss.csv
///     DIR/checkpoint-000100/manifest.weft     what to resume from
///     DIR/checkpoint-000100/parts/ID          parameters and optimiser state, one file a part
///     DIR/checkpoint-000100/model.safetensors the whole model, for `weft generate` and other programs
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
    package func save(_ manifest: CheckpointManifest, files: [(part: CheckpointPart, bytes: [UInt8])]) throws -> String {
        let digits = String(manifest.step)
        let name = "checkpoint-" + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
        let final = path + "/" + name
        let temporary = final + ".partial"
        let manager = FileManager.default
        if manager.fileExists(atPath: temporary) { try manager.removeItem(atPath: temporary) }
        try manager.createDirectory(atPath: temporary + "/parts", withIntermediateDirectories: true)
        for (part, bytes) in files {
            try Data(bytes).write(to: URL(filePath: "\(temporary)/parts/\(part.shard)"))
        }
        let model = try CheckpointFile.model(spec: manifest.spec, step: manifest.step, parts: files.map(\.bytes))
        try Data(model).write(to: URL(filePath: temporary + "/model.safetensors"))
        try Data(manifest.wireBytes).write(to: URL(filePath: temporary + "/manifest.weft"))
        if manager.fileExists(atPath: final) { try manager.removeItem(atPath: final) }
        try manager.moveItem(atPath: temporary, toPath: final)
        state.withLock { $0.lastCheckpoint = final }
        return final
    }

    /// Reads a checkpoint directory back, to be resumed from.
    package static func load(checkpoint path: String) throws -> (
        manifest: CheckpointManifest, files: [(part: CheckpointPart, bytes: [UInt8])]
    ) {
        guard let data = FileManager.default.contents(atPath: path + "/manifest.weft"),
            let manifest = try? CheckpointManifest(wireBytes: [UInt8](data))
        else { throw JobRunError(.refused, "'\(path)' is not a checkpoint: name a checkpoint-NNNNNN directory of a job") }
        let files = try manifest.parts.map { part in
            guard let bytes = FileManager.default.contents(atPath: "\(path)/parts/\(part.shard)") else {
                throw JobRunError(.refused, "'\(path)' lacks its part for \(part.part): use another checkpoint")
            }
            return (part, [UInt8](bytes))
        }
        return (manifest, files)
    }
}
