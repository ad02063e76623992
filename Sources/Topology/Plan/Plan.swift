package import Primitives
package import Wire

/// What one peer does in a plan.
package struct StageAssignment: Hashable, Sendable {
    package var peer: PeerID
    package var firstLayer: Int
    package var layerCount: Int
    /// Micro-batches that go through the stage in one iteration.
    package var microBatches: Int
    /// Micro-batches that the stage may hold between their forward and their backward pass: its warm-up is this many
    /// forward passes.
    package var depth: Int

    package init(peer: PeerID, firstLayer: Int, layerCount: Int, microBatches: Int, depth: Int) {
        self.peer = peer
        self.firstLayer = firstLayer
        self.layerCount = layerCount
        self.microBatches = microBatches
        self.depth = depth
    }

    /// The layers as a range.
    package var layers: Range<Int> { firstLayer..<(firstLayer + layerCount) }
}

/// Who holds which layers of the model in which pipeline, and who waits.
package struct Plan: Hashable, Sendable {
    /// The graph snapshot that the plan was made for.
    package var graphDigest: Digest
    package var schedule: PlanSchedule
    /// Pipelines in rank order, each an ordered list of stages that covers the layers once.
    package var pipelines: [[StageAssignment]]
    /// Peers that hold no stage.
    package var spares: [PeerID]
    /// What the planner expects of one iteration, without the relays that it may find for an exchange
    /// (`ExchangeStyle.relayed`): they are fitted anew to every plan, and where peers change plans are compared without.
    package var predictedIterationSeconds: Double

    package init(
        graphDigest: Digest, schedule: PlanSchedule, pipelines: [[StageAssignment]], spares: [PeerID],
        predictedIterationSeconds: Double
    ) {
        self.graphDigest = graphDigest
        self.schedule = schedule
        self.pipelines = pipelines
        self.spares = spares
        self.predictedIterationSeconds = predictedIterationSeconds
    }

    /// Largest number of pipelines, and of stages of a pipeline, in an encoded plan.
    package static let maximumEncodedCount = 4096

    /// Micro-batch indices of each pipeline: contiguous, in rank order, from zero.
    package var microBatchRanges: [Range<Int>] {
        var next = 0
        return pipelines.map { pipeline in
            let start = next
            next += pipeline.first?.microBatches ?? 0
            return start..<next
        }
    }

    /// The layers cut into the largest ranges that every pipeline holds whole in one stage, each with its holders by
    /// pipeline rank: the groups that exchange gradients.
    package var layerGroups: [(layers: Range<Int>, holders: [PeerID])] {
        let cuts = Set(pipelines.flatMap { $0.flatMap { [$0.firstLayer, $0.firstLayer + $0.layerCount] } }).sorted()
        return zip(cuts, cuts.dropFirst()).map { first, last in
            let holders = pipelines.compactMap { pipeline in
                pipeline.first { $0.layers.contains(first) }?.peer
            }
            return (first..<last, holders)
        }
    }

    /// Checks what every plan must obey: each pipeline covers `layers` layers once and in order, has the same micro-batches
    /// in all of its stages, and no peer appears twice. Returns the first fault, or `nil`.
    package func fault(layers: Int) -> String? {
        guard !pipelines.isEmpty else { return "the plan has no pipelines" }
        for (rank, pipeline) in pipelines.enumerated() {
            var next = 0
            for (stage, assignment) in pipeline.enumerated() {
                guard assignment.firstLayer == next, assignment.layerCount > 0 else {
                    return "pipeline \(rank) stage \(stage) starts at layer \(assignment.firstLayer), not \(next)"
                }
                guard assignment.microBatches == pipeline[0].microBatches, assignment.microBatches > 0 else {
                    return "pipeline \(rank) stage \(stage) has \(assignment.microBatches) micro-batches"
                }
                guard assignment.depth > 0 else { return "pipeline \(rank) stage \(stage) may hold no micro-batch" }
                if stage > 0, assignment.depth > pipeline[stage - 1].depth {
                    return "pipeline \(rank) stage \(stage) would wait for more micro-batches than it is sent"
                }
                next += assignment.layerCount
            }
            guard next == layers else { return "pipeline \(rank) covers \(next) of \(layers) layers" }
        }
        let everyone = (pipelines.flatMap { $0.map(\.peer) } + spares).sorted()
        for (left, right) in zip(everyone, everyone.dropFirst()) where left == right {
            return "peer \(left.short) appears twice"
        }
        return nil
    }
}

extension StageAssignment: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(peer)
        writer.write(UInt32(clamping: firstLayer))
        writer.write(UInt32(clamping: layerCount))
        writer.write(UInt32(clamping: microBatches))
        writer.write(UInt32(clamping: depth))
    }

    package init(from reader: inout WireReader) throws(WireError) {
        peer = try reader.readPeer()
        firstLayer = Int(try reader.read(UInt32.self))
        layerCount = Int(try reader.read(UInt32.self))
        microBatches = Int(try reader.read(UInt32.self))
        depth = Int(try reader.read(UInt32.self))
    }
}

extension Plan: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(UInt8(1))
        writer.write(graphDigest)
        writer.write(schedule.rawValue)
        writer.write(predictedIterationSeconds)
        writer.writeVarint(UInt64(pipelines.count))
        for pipeline in pipelines { writer.write(pipeline) }
        writer.writeVarint(UInt64(spares.count))
        for spare in spares { writer.write(spare) }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let version = try reader.read(UInt8.self)
        guard version == 1 else { throw .unknownVersion(version) }
        graphDigest = try reader.readDigest()
        guard let schedule = PlanSchedule(rawValue: try reader.read(UInt8.self)) else { throw .notCanonical }
        self.schedule = schedule
        predictedIterationSeconds = try reader.readFiniteDouble()
        let count = try reader.readCount(maximum: Self.maximumEncodedCount)
        guard count <= reader.remaining else { throw .truncated }
        pipelines = []
        for _ in 0..<count {
            pipelines.append(try reader.readArray(of: StageAssignment.self, maximum: Self.maximumEncodedCount))
        }
        let waiting = try reader.readCount(maximum: Limits.members)
        guard waiting * PeerID.byteCount <= reader.remaining else { throw .truncated }
        spares = []
        for _ in 0..<waiting { spares.append(try reader.readPeer()) }
    }
}
