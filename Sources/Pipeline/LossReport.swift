package import Wire

/// The losses of one pipeline's micro-batches in one phase, in order.
package struct LossReport: Hashable, Sendable {
    package var phase: StepPhase
    /// The first of the contiguous micro-batches.
    package var firstMicroBatch: Int
    /// Mean cross entropy of each micro-batch, nats a token.
    package var losses: [Float]

    package init(phase: StepPhase, firstMicroBatch: Int, losses: [Float]) {
        self.phase = phase
        self.firstMicroBatch = firstMicroBatch
        self.losses = losses
    }

    /// The loss of a whole step: the sum along the canonical tree divided by the count, so that every layout prints the
    /// same bits. `losses` holds every micro-batch of the step and is not empty.
    package static func mean(_ losses: [Float]) -> Float {
        CanonicalTree(count: losses.count).fold(losses, +) / Float(losses.count)
    }
}

extension LossReport: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(phase)
        writer.writeVarint(UInt64(firstMicroBatch))
        writer.writeVarint(UInt64(losses.count))
        for loss in losses { writer.write(loss) }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        phase = try reader.read(StepPhase.self)
        firstMicroBatch = try reader.readCount(maximum: Limits.microBatchesPerStep)
        let count = try reader.readCount(maximum: Limits.microBatchesPerStep)
        guard reader.remaining >= count * 4 else { throw .truncated }
        losses = []
        losses.reserveCapacity(count)
        for _ in 0..<count { losses.append(try reader.readFloat()) }
    }
}

/// Gathers the reports of all pipelines until a step's loss can be said.
package struct LossCollector: Sendable {
    package let phase: StepPhase
    private var losses: [Float?]
    private var missing: Int

    /// For a phase of `count` micro-batches.
    package init(phase: StepPhase, count: Int) {
        self.phase = phase
        losses = Array(repeating: nil, count: count)
        missing = count
    }

    /// Takes a report; false if it is of another phase, out of range, or says again what is known.
    package mutating func add(_ report: LossReport) -> Bool {
        let end = report.firstMicroBatch + report.losses.count
        guard report.phase == phase, report.firstMicroBatch >= 0, end <= losses.count,
            losses[report.firstMicroBatch..<end].allSatisfy({ $0 == nil })
        else { return false }
        for (offset, loss) in report.losses.enumerated() { losses[report.firstMicroBatch + offset] = loss }
        missing -= report.losses.count
        return true
    }

    /// The phase's loss once every micro-batch has been reported.
    package var loss: Float? {
        guard missing == 0, !losses.isEmpty else { return nil }
        return LossReport.mean(losses.compactMap { $0 })
    }
}
