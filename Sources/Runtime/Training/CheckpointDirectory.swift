internal import Foundation
package import Compute
package import Pipeline
internal import Shards
internal import Wire

/// Checkpoints on disk: `step-00000100/` with a safetensors file for each part and, written last, `checkpoint`, the encoded
/// `CheckpointManifest` that makes it complete.
package struct CheckpointDirectory: Hashable, Sendable {
    private static let manifestName = "checkpoint"
    /// Largest part that is read: a whole GPT-2 XL with its optimiser state.
    private static let maximumPartBytes = 32 << 30

    package let path: String

    package init(path: String) { self.path = path }

    /// A checkpoint read back.
    package struct Loaded: Sendable {
        package let path: String
        package let manifest: CheckpointManifest
        /// In the manifest's order.
        package let files: [SafetensorsFile]
    }

    /// Writes a checkpoint and returns its directory. A crash leaves it either complete or without its manifest.
    package func write(step: UInt64, spec: JobSpec, parts: [(part: ModelPart, bytes: [UInt8])]) throws -> String {
        let directory = stepPath(step)
        try SystemFile.makeDirectory(directory)
        // A step that is done again: the old manifest must not stand beside new parts.
        SystemFile.remove(directory + "/" + Self.manifestName)
        var entries: [CheckpointPart] = []
        for (part, bytes) in parts {
            guard let manifest = ShardBuilder.manifest(name: Self.fileName(of: part), bytes: bytes) else {
                throw TrainingError.checkpoint("\(part) is too large to be a shard")
            }
            try SystemFile.replace(directory + "/" + Self.fileName(of: part), with: bytes, permissions: 0o644)
            entries.append(
                CheckpointPart(part: part, shard: manifest.id, byteCount: UInt64(bytes.count), holders: []))
        }
        guard let manifest = CheckpointManifest(step: step, spec: spec, parts: entries) else {
            throw TrainingError.checkpoint("its parts are not the whole model once, in order")
        }
        try SystemFile.replace(directory + "/" + Self.manifestName, with: manifest.wireBytes, permissions: 0o644)
        return directory
    }

    /// The complete checkpoint of the most steps, or `nil` if there is none.
    package func latest() throws -> Loaded? {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        for name in names.filter({ $0.hasPrefix("step-") }).sorted().reversed() {
            if let loaded = try Self.load(path + "/" + name) { return loaded }
        }
        return nil
    }

    /// Reads one checkpoint; `nil` if the directory holds no complete one. Every part is verified.
    package static func load(_ directory: String) throws -> Loaded? {
        guard let bytes = try SystemFile.read(directory + "/" + manifestName, maximumBytes: 16 << 20) else {
            return nil
        }
        guard let manifest = try? CheckpointManifest(wireBytes: bytes) else {
            throw TrainingError.checkpoint("\(directory)/\(manifestName) is damaged or of another version")
        }
        let files = try manifest.parts.map { part in
            let file = directory + "/" + fileName(of: part.part)
            guard let bytes = try SystemFile.read(file, maximumBytes: maximumPartBytes) else {
                throw TrainingError.checkpoint("\(file) is missing")
            }
            guard ShardBuilder.manifest(name: "", bytes: bytes)?.id == part.shard else {
                throw TrainingError.checkpoint("\(file) is not what was written")
            }
            return try SafetensorsFile(bytes)
        }
        return Loaded(path: directory, manifest: manifest, files: files)
    }

    /// A checkpoint from what a person names: the directory of one checkpoint, or one that holds several.
    package static func open(_ path: String) throws -> Loaded {
        if let loaded = try load(path) { return loaded }
        if let loaded = try CheckpointDirectory(path: path).latest() { return loaded }
        throw TrainingError.checkpoint("there is none in \(path)")
    }

    private func stepPath(_ step: UInt64) -> String {
        let digits = String(step)
        return path + "/step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
    }

    private static func fileName(of part: ModelPart) -> String {
        switch part {
        case .layers(let layers): "layers-\(layers.lowerBound)-\(layers.upperBound - 1).safetensors"
        case .tokenEmbedding: "token-embedding.safetensors"
        case .outputHead: "output-head.safetensors"
        }
    }
}

extension CheckpointDirectory.Loaded {
    /// The whole model in one stage, for generating text. Lives on the caller's thread.
    package func model() throws -> GPTStage {
        let spec = manifest.spec
        let stage = try GPTStage(
            configuration: try spec.model.configuration(), layers: 0..<spec.model.layers, seed: spec.seed)
        for slot in stage.parameterLayout.slots {
            guard let file = files.first(where: { $0.header[slot.name] != nil }) else {
                throw TrainingError.checkpoint("it has no tensor \(slot.name)")
            }
            try stage.setParameter(slot.name, try file.floats(slot.name))
        }
        return stage
    }
}
