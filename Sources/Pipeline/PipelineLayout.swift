package import Primitives
package import Wire

/// Who computes what in a job: several pipelines, each of which covers all layers and takes its own micro-batches.
package struct PipelineLayout: Hashable, Sendable {
    /// One peer's contiguous layers.
    package struct Stage: Hashable, Sendable {
        package var peer: PeerID
        package var layers: Range<Int>

        package init(peer: PeerID, layers: Range<Int>) {
            self.peer = peer
            self.layers = layers
        }
    }

    /// One pipeline: its stages from the first layer to the last, and its micro-batches of every step.
    package struct Pipeline: Hashable, Sendable {
        package var microBatches: Range<Int>
        package var stages: [Stage]

        package init(microBatches: Range<Int>, stages: [Stage]) {
            self.microBatches = microBatches
            self.stages = stages
        }
    }

    /// What one peer needs to know of its own place.
    package struct Position: Hashable, Sendable {
        /// The pipeline's index, which is the peer's rank in every reduce group it belongs to.
        package var pipeline: Int
        package var stage: Int
        package var stageCount: Int
        package var layers: Range<Int>
        package var microBatches: Range<Int>
        /// The peer that sends activations to this one; `nil` on the first stage.
        package var previous: PeerID?
        /// The peer that this one sends activations to; `nil` on the last stage.
        package var next: PeerID?

        package var isFirst: Bool { previous == nil }
        package var isLast: Bool { next == nil }
    }

    /// In rank order, with ascending micro-batches.
    package var pipelines: [Pipeline]

    package init(pipelines: [Pipeline]) { self.pipelines = pipelines }

    /// Every peer of the layout, sorted.
    package var peers: [PeerID] { pipelines.flatMap { $0.stages.map(\.peer) }.sorted() }

    /// The peer's place; `nil` if it has none.
    package func position(of peer: PeerID) -> Position? {
        for (index, pipeline) in pipelines.enumerated() {
            guard let stage = pipeline.stages.firstIndex(where: { $0.peer == peer }) else { continue }
            return Position(
                pipeline: index, stage: stage, stageCount: pipeline.stages.count, layers: pipeline.stages[stage].layers,
                microBatches: pipeline.microBatches, previous: stage > 0 ? pipeline.stages[stage - 1].peer : nil,
                next: stage + 1 < pipeline.stages.count ? pipeline.stages[stage + 1].peer : nil)
        }
        return nil
    }

    /// The validation batches, of `batches` in all, that a pipeline runs.
    package func validationShare(of pipeline: Int, batches: Int) -> Range<Int> {
        (batches * pipeline / pipelines.count)..<(batches * (pipeline + 1) / pipelines.count)
    }

    /// Refuses a layout that does not compute every layer of every micro-batch exactly once.
    package func validate(layerCount: Int, microBatchCount: Int) throws(LayoutError) {
        guard !pipelines.isEmpty else { throw .noPipelines }
        var nextMicroBatch = 0
        var seen: Set<PeerID> = []
        for (index, pipeline) in pipelines.enumerated() {
            guard pipeline.microBatches.lowerBound == nextMicroBatch, !pipeline.microBatches.isEmpty else {
                throw .microBatches(pipeline: index)
            }
            nextMicroBatch = pipeline.microBatches.upperBound
            var nextLayer = 0
            for stage in pipeline.stages {
                guard stage.layers.lowerBound == nextLayer, !stage.layers.isEmpty else {
                    throw .layers(pipeline: index)
                }
                nextLayer = stage.layers.upperBound
                guard seen.insert(stage.peer).inserted else { throw .repeatedPeer(stage.peer) }
            }
            guard nextLayer == layerCount else { throw .layers(pipeline: index) }
        }
        guard nextMicroBatch == microBatchCount else { throw .microBatches(pipeline: pipelines.count - 1) }
    }
}

/// Why a layout cannot be run.
package enum LayoutError: Error, Hashable, Sendable, CustomStringConvertible {
    case noPipelines
    case layers(pipeline: Int)
    case microBatches(pipeline: Int)
    case repeatedPeer(PeerID)

    package var description: String {
        switch self {
        case .noPipelines: "the layout has no pipeline; plan the job again"
        case .layers(let pipeline):
            "the stages of pipeline \(pipeline) do not cover every layer once and in order; plan the job again"
        case .microBatches(let pipeline):
            "the micro-batches of the pipelines do not follow each other at pipeline \(pipeline); plan the job again"
        case .repeatedPeer(let peer): "peer \(peer.short) has two stages; give it one contiguous range of layers"
        }
    }
}

extension PipelineLayout: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.writeVarint(UInt64(pipelines.count))
        for pipeline in pipelines {
            writer.write(pipeline.microBatches, maximum: Limits.microBatchesPerStep)
            writer.writeVarint(UInt64(pipeline.stages.count))
            for stage in pipeline.stages {
                writer.write(stage.peer)
                writer.write(stage.layers, maximum: Limits.modelLayers)
            }
        }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        pipelines = []
        for _ in 0..<(try reader.readCount(maximum: Limits.pipelinesPerJob)) {
            var pipeline = Pipeline(
                microBatches: try reader.readRange(maximum: Limits.microBatchesPerStep), stages: [])
            for _ in 0..<(try reader.readCount(maximum: Limits.pipelinesPerJob)) {
                let peer = try reader.readPeer()
                pipeline.stages.append(
                    Stage(peer: peer, layers: try reader.readRange(maximum: Limits.modelLayers)))
            }
            pipelines.append(pipeline)
        }
    }
}

extension WireWriter {
    /// A range as its lower bound and length, both varints.
    package mutating func write(_ range: Range<Int>, maximum: Int) {
        precondition(range.lowerBound >= 0 && range.upperBound <= maximum, "a range within what readers accept")
        writeVarint(UInt64(range.lowerBound))
        writeVarint(UInt64(range.count))
    }
}

extension WireReader {
    /// A range that ends at `maximum` or before.
    package mutating func readRange(maximum: Int) throws(WireError) -> Range<Int> {
        let start = try readCount(maximum: maximum)
        return start..<(start + (try readCount(maximum: maximum - start)))
    }
}
