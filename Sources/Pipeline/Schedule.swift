package import Wire

/// One unit of compute of a stage: a micro-batch forward or backward.
package enum StageTask: Hashable, Sendable {
    case forward(Int)
    case backward(Int)

    /// The micro-batch that the task works on.
    package var microBatch: Int {
        switch self {
        case .forward(let index), .backward(let index): index
        }
    }
}

/// In which order a stage works on its micro-batches.
package enum Schedule: UInt8, CaseIterable, Sendable, WireCodable {
    /// All forward passes, then all backward passes (GPipe, Huang et al. 2019).
    case gpipe = 0
    /// One forward, one backward as soon as possible (PipeDream-Flush, Narayanan et al. 2021): as fast as GPipe, but a
    /// stage holds only as many micro-batches as there are stages from it to the last.
    case oneForwardOneBackward = 1

    /// Micro-batches that a stage must hold at once so that the pipeline never waits for it, on a network without delay.
    package func inFlight(stage: Int, stageCount: Int, microBatchCount: Int) -> Int {
        switch self {
        case .gpipe: max(microBatchCount, 1)
        case .oneForwardOneBackward: max(min(stageCount - stage, microBatchCount), 1)
        }
    }

    /// The textbook order of one stage's tasks in one step. Both orders take backward passes in ascending order, which
    /// is the order in which `GradientTree` adds them.
    package func tasks(stage: Int, stageCount: Int, microBatches: Range<Int>) -> [StageTask] {
        let warmUp = inFlight(stage: stage, stageCount: stageCount, microBatchCount: microBatches.count)
        var tasks = microBatches.prefix(warmUp).map(StageTask.forward)
        for microBatch in microBatches {
            tasks.append(.backward(microBatch))
            if microBatch + warmUp < microBatches.upperBound { tasks.append(.forward(microBatch + warmUp)) }
        }
        return tasks
    }

    package func encode(to writer: inout WireWriter) { writer.write(rawValue) }

    package init(from reader: inout WireReader) throws(WireError) {
        guard let value = Schedule(rawValue: try reader.read()) else { throw .outOfRange }
        self = value
    }
}
