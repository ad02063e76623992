package import Wire

/// What the coordinator and the stage workers of a job say to each other; one message a stream message, a type byte and
/// the run first.
///
/// `activation` and `activationGradient` travel in the traffic class `activations`; `reducePart`, `reducedPart` and
/// `tiedGradient` in `gradients`; everything else in `control`.
package enum JobMessage: Hashable, Sendable {
    /// Coordinator to worker: fetch what your stage needs and get ready.
    case prepare(JobPreparation)
    /// Worker to coordinator: how far the preparation is, in bytes fetched.
    case progress(RunID, done: UInt64, total: UInt64)
    /// Worker to coordinator: weights and data are in place.
    case ready(RunID)
    /// Coordinator to worker: do these steps, with the validations and checkpoints that the job says, without asking again.
    case begin(RunID, steps: Range<UInt64>)
    /// Stage to next stage.
    case activation(RunID, TensorMessage)
    /// Stage to previous stage.
    case activationGradient(RunID, TensorMessage)
    /// Member of a reduce segment to the owner of a slice. `segment` is `ReduceSegment.id`.
    case reducePart(RunID, segment: Int, ReduceChunk)
    /// Owner of a slice to the other members.
    case reducedPart(RunID, segment: Int, ReduceChunk)
    /// First to last stage of a pipeline (`segment` of the token embedding) and back (of the output head): the reduced
    /// gradient of one use of the tied weight, to be added to the other's, embedding first.
    case tiedGradient(RunID, segment: Int, ReduceChunk)
    /// Last stage of each pipeline to coordinator: losses of its micro-batches in a training or validation pass.
    case losses(RunID, LossReport)
    /// Worker to coordinator: it has finished the step; how long the step took it and how much of that it computed.
    case stepDone(RunID, step: UInt64, elapsed: Duration, computing: Duration)
    /// Worker to coordinator: it has exported a part of the checkpoint taken after `step` steps.
    case checkpointPart(RunID, step: UInt64, CheckpointPart)
    /// Coordinator to worker: the checkpoint is complete; keep its parts and drop older ones.
    case checkpoint(RunID, CheckpointManifest)
    /// Coordinator to worker: the job is done; forget it.
    case finish(RunID)
    /// Either way: the run cannot go on.
    case abort(RunID, AbortReason, detail: String)

    /// Why a run ended before its time.
    package enum AbortReason: UInt8, CaseIterable, Sendable {
        /// A person or a shutdown ended it.
        case cancelled = 1
        /// The preparation was not acceptable (signature, layout, limits).
        case refused
        /// A shard could not be fetched.
        case dataUnavailable
        /// A peer of the layout is gone.
        case peerLost
        /// A peer said something that makes no sense in the run.
        case protocolViolation
        /// Memory, disk or compute failed.
        case workerFailed
        /// A loss or gradient is not a number.
        case diverged
    }

    private enum Kind: UInt8 {
        case prepare = 1
        case progress, ready, begin, activation, activationGradient, reducePart, reducedPart, tiedGradient, losses
        case stepDone, checkpointPart, checkpoint, finish, abort
    }

    /// The run that the message belongs to.
    package var run: RunID {
        switch self {
        case .prepare(let preparation): preparation.run
        case .progress(let run, _, _), .ready(let run), .begin(let run, _), .activation(let run, _),
            .activationGradient(let run, _), .reducePart(let run, _, _), .reducedPart(let run, _, _),
            .tiedGradient(let run, _, _), .losses(let run, _), .stepDone(let run, _, _, _),
            .checkpointPart(let run, _, _), .checkpoint(let run, _), .finish(let run), .abort(let run, _, _):
            run
        }
    }
}

extension JobMessage: WireCodable {
    private var kind: Kind {
        switch self {
        case .prepare: .prepare
        case .progress: .progress
        case .ready: .ready
        case .begin: .begin
        case .activation: .activation
        case .activationGradient: .activationGradient
        case .reducePart: .reducePart
        case .reducedPart: .reducedPart
        case .tiedGradient: .tiedGradient
        case .losses: .losses
        case .stepDone: .stepDone
        case .checkpointPart: .checkpointPart
        case .checkpoint: .checkpoint
        case .finish: .finish
        case .abort: .abort
        }
    }

    package func encode(to writer: inout WireWriter) {
        writer.write(kind.rawValue)
        if case .prepare(let preparation) = self { return writer.write(preparation) }
        writer.write(run)
        switch self {
        case .prepare, .ready, .finish: break
        case .progress(_, let done, let total):
            writer.write(done)
            writer.write(total)
        case .begin(_, let steps):
            writer.write(steps.lowerBound)
            writer.write(steps.upperBound)
        case .activation(_, let tensor), .activationGradient(_, let tensor):
            writer.write(tensor)
        case .reducePart(_, let segment, let chunk), .reducedPart(_, let segment, let chunk),
            .tiedGradient(_, let segment, let chunk):
            writer.writeVarint(UInt64(segment))
            writer.write(chunk)
        case .losses(_, let report): writer.write(report)
        case .stepDone(_, let step, let elapsed, let computing):
            writer.write(step)
            writer.write(elapsed)
            writer.write(computing)
        case .checkpointPart(_, let step, let part):
            writer.write(step)
            writer.write(part)
        case .checkpoint(_, let manifest): writer.write(manifest)
        case .abort(_, let reason, let detail):
            writer.write(reason.rawValue)
            writer.write(Self.bounded(detail))
        }
    }

    /// The text cut to what a reader accepts.
    private static func bounded(_ detail: String) -> String {
        var text = detail
        while text.utf8.count > Limits.reasonBytes { text.removeLast() }
        return text
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let type: UInt8 = try reader.read()
        guard let kind = Kind(rawValue: type) else { throw .unknownType(type) }
        if kind == .prepare {
            self = .prepare(try reader.read(JobPreparation.self))
            return
        }
        let run = try reader.read(RunID.self)
        switch kind {
        case .prepare: throw .unknownType(type)  // read above
        case .progress: self = .progress(run, done: try reader.read(), total: try reader.read())
        case .ready: self = .ready(run)
        case .begin:
            let (start, end): (UInt64, UInt64) = (try reader.read(), try reader.read())
            guard start <= end else { throw .outOfRange }
            self = .begin(run, steps: start..<end)
        case .activation: self = .activation(run, try reader.read(TensorMessage.self))
        case .activationGradient: self = .activationGradient(run, try reader.read(TensorMessage.self))
        case .reducePart: self = .reducePart(run, segment: try Self.segment(&reader), try reader.read(ReduceChunk.self))
        case .reducedPart:
            self = .reducedPart(run, segment: try Self.segment(&reader), try reader.read(ReduceChunk.self))
        case .tiedGradient:
            self = .tiedGradient(run, segment: try Self.segment(&reader), try reader.read(ReduceChunk.self))
        case .losses: self = .losses(run, try reader.read(LossReport.self))
        case .stepDone:
            self = .stepDone(
                run, step: try reader.read(), elapsed: try reader.readDuration(), computing: try reader.readDuration())
        case .checkpointPart:
            self = .checkpointPart(run, step: try reader.read(), try reader.read(CheckpointPart.self))
        case .checkpoint: self = .checkpoint(run, try reader.read(CheckpointManifest.self))
        case .finish: self = .finish(run)
        case .abort:
            guard let reason = AbortReason(rawValue: try reader.read()) else { throw .outOfRange }
            self = .abort(run, reason, detail: try reader.readString(maximum: Limits.reasonBytes))
        }
    }

    private static func segment(_ reader: inout WireReader) throws(WireError) -> Int {
        try reader.readCount(maximum: Limits.checkpointParts + 1)
    }
}
