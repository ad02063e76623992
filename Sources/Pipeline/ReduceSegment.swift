package import Primitives
package import Wire

/// A part of the model whose gradient, or whose checkpoint, is handled as one.
package enum ModelPart: Hashable, Sendable {
    /// Contiguous layers. The part with layer 0 also has the position embedding, the part with the last layer the final
    /// normalisation.
    case layers(Range<Int>)
    /// The tied token embedding as the input uses it (gradient "wte.embed"); in a checkpoint, the tied weight itself.
    case tokenEmbedding
    /// The tied token embedding as the output uses it (gradient "wte.head").
    case outputHead
}

extension ModelPart: CustomStringConvertible {
    package var description: String {
        switch self {
        case .layers(let layers): "layers \(layers.lowerBound)..<\(layers.upperBound)"
        case .tokenEmbedding: "token embedding"
        case .outputHead: "output head"
        }
    }
}

extension ModelPart: WireCodable {
    package func encode(to writer: inout WireWriter) {
        switch self {
        case .layers(let layers):
            writer.write(UInt8(0))
            writer.write(layers, maximum: Limits.modelLayers)
        case .tokenEmbedding: writer.write(UInt8(1))
        case .outputHead: writer.write(UInt8(2))
        }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let type: UInt8 = try reader.read()
        switch type {
        case 0: self = .layers(try reader.readRange(maximum: Limits.modelLayers))
        case 1: self = .tokenEmbedding
        case 2: self = .outputHead
        default: throw .unknownType(type)
        }
    }
}

/// A part of the model and the peers that hold it, one in each pipeline: they reduce its gradient together.
///
/// Pipelines may cut the layers at different places. Cutting every pipeline at all of the cuts gives the largest ranges
/// of layers that have one holder in each pipeline; those are the segments.
package struct ReduceSegment: Hashable, Sendable {
    /// Its index in `segments(of:)`, the same on every peer.
    package let id: Int
    package let part: ModelPart
    /// The holders in rank order: `members[r]` belongs to pipeline r.
    package let members: [PeerID]
    /// The micro-batches of each rank.
    package let shares: [Range<Int>]

    /// The peer's rank; `nil` if it does not hold the part.
    package func rank(of peer: PeerID) -> Int? { members.firstIndex(of: peer) }

    /// All segments of a valid layout: the token embedding, the output head, then the layers in order.
    package static func segments(of layout: PipelineLayout) -> [ReduceSegment] {
        let shares = layout.pipelines.map(\.microBatches)
        var segments: [ReduceSegment] = []
        func add(_ part: ModelPart, _ holder: (PipelineLayout.Pipeline) -> PeerID?) {
            segments.append(
                ReduceSegment(
                    id: segments.count, part: part, members: layout.pipelines.compactMap(holder), shares: shares))
        }
        add(.tokenEmbedding) { $0.stages.first?.peer }
        add(.outputHead) { $0.stages.last?.peer }
        let bounds = Set(
            layout.pipelines.flatMap { $0.stages.flatMap { [$0.layers.lowerBound, $0.layers.upperBound] } })
        let cuts = bounds.sorted()
        for (start, end) in zip(cuts, cuts.dropFirst()) {
            add(.layers(start..<end)) { pipeline in
                pipeline.stages.first { $0.layers.lowerBound <= start && end <= $0.layers.upperBound }?.peer
            }
        }
        return segments
    }

    /// The parts that a checkpoint consists of: every segment but the output head, which is the token embedding's twin.
    package static func checkpointParts(of layout: PipelineLayout) -> [ReduceSegment] {
        segments(of: layout).filter { $0.part != .outputHead }
    }
}
