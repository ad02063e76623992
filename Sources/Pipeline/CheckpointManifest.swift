package import Primitives
package import Shards
package import Wire

/// One part of a checkpoint: the tensors and optimiser state of a part of the model, as a content-addressed file.
///
/// Replicas hold equal bits, so all holders of a part export the same bytes and arrive at the same shard id.
package struct CheckpointPart: Hashable, Sendable {
    /// Layers, or the token embedding (never the output head).
    package var part: ModelPart
    package var shard: ShardID
    package var byteCount: UInt64
    /// Peers known to hold the shard, sorted.
    package var holders: [PeerID]

    package init(part: ModelPart, shard: ShardID, byteCount: UInt64, holders: [PeerID]) {
        self.part = part
        self.shard = shard
        self.byteCount = byteCount
        self.holders = holders
    }
}

extension CheckpointPart: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(part)
        writer.write(shard)
        writer.write(byteCount)
        writer.writeVarint(UInt64(holders.count))
        for holder in holders { writer.write(holder) }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        part = try reader.read(ModelPart.self)
        shard = try reader.read(ShardID.self)
        byteCount = try reader.read()
        guard byteCount <= Limits.shardBytes else { throw .outOfRange }
        holders = []
        for _ in 0..<(try reader.readCount(maximum: Limits.holdersPerPart)) { holders.append(try reader.readPeer()) }
    }
}

/// Everything needed to go on with a job after some step.
package struct CheckpointManifest: Hashable, Sendable {
    /// Steps done; the next step to do.
    package var step: UInt64
    package var spec: JobSpec
    /// The token embedding and contiguous layers from the first to the last.
    package var parts: [CheckpointPart]

    /// `nil` if the parts are not the whole model once, in order, the token embedding first.
    package init?(step: UInt64, spec: JobSpec, parts: [CheckpointPart]) {
        guard parts.first?.part == .tokenEmbedding else { return nil }
        var nextLayer = 0
        for part in parts.dropFirst() {
            guard case .layers(let layers) = part.part, layers.lowerBound == nextLayer, !layers.isEmpty else {
                return nil
            }
            nextLayer = layers.upperBound
        }
        guard nextLayer == spec.model.layers else { return nil }
        self.step = step
        self.spec = spec
        self.parts = parts
    }

    /// The parts that a stage of these layers needs: every part of layers that overlaps its own, and the token embedding
    /// if it has the first or the last layer.
    package func parts(forLayers layers: Range<Int>) -> [CheckpointPart] {
        parts.filter { part in
            switch part.part {
            case .layers(let range): range.overlaps(layers)
            case .tokenEmbedding, .outputHead: layers.lowerBound == 0 || layers.upperBound == spec.model.layers
            }
        }
    }
}

extension CheckpointManifest: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(step)
        writer.write(spec)
        writer.write(parts)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let step: UInt64 = try reader.read()
        let spec = try reader.read(JobSpec.self)
        let parts = try reader.readArray(of: CheckpointPart.self, maximum: Limits.checkpointParts)
        guard let manifest = CheckpointManifest(step: step, spec: spec, parts: parts) else { throw .outOfRange }
        self = manifest
    }
}
