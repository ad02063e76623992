internal import Foundation
package import Pipeline

/// The `weft.job/1` document: a job as people write it.
///
/// Everything has a default except the model and the data, so a job file can be short:
///
///     {"format": "weft.job/1", "model": {"layers": 2, "width": 128, "heads": 4, "context": 64},
///      "data": "book.txt", "steps": 200}
package struct JobDocument: Codable, Hashable, Sendable {
    package static let format = "weft.job/1"

    package struct Model: Codable, Hashable, Sendable {
        package var layers: Int
        package var width: Int
        package var heads: Int
        package var context: Int
    }

    package struct Batch: Codable, Hashable, Sendable {
        package var sequences: Int
        package var microBatchSequences: Int
    }

    package struct Optimizer: Codable, Hashable, Sendable {
        package var learningRate: Double?
        package var minimumLearningRate: Double?
        package var warmupSteps: Int?
        package var weightDecay: Double?
        package var beta1: Double?
        package var beta2: Double?
        package var epsilon: Double?
    }

    package struct Layout: Codable, Hashable, Sendable {
        package var stages: Int?
        package var replicas: Int?
    }

    package struct Validation: Codable, Hashable, Sendable {
        package var every: Int?
        package var batches: Int?
        package var fraction: Double?
    }

    package var format: String
    package var name: String?
    package var model: Model
    /// A text file or a folder of them; a relative path starts where the command runs.
    package var data: String
    package var seed: UInt64?
    package var steps: UInt64
    package var batch: Batch?
    package var optimizer: Optimizer?
    /// "1f1b" or "gpipe".
    package var schedule: String?
    package var layout: Layout?
    package var checkpointEvery: Int?
    /// What crosses slow links: "none", "bf16" or "int8".
    package var compression: String?
    package var validation: Validation?

    /// Reads a document; the error names the field.
    package init(json: String) throws(JobDocumentError) {
        do { self = try JSONDecoder().decode(Self.self, from: Data(json.utf8)) } catch let error as DecodingError {
            throw JobDocumentError(Self.sentence(error))
        } catch { throw JobDocumentError("\(error)") }
        guard format == Self.format else {
            throw JobDocumentError("the job's format is '\(format)': this version reads '\(Self.format)'")
        }
    }

    /// The job with all defaults filled in.
    package func spec() throws -> JobSpec {
        let optimizer = optimizer ?? Optimizer()
        let peak = optimizer.learningRate ?? 1e-3
        let batch = batch ?? Batch(sequences: 16, microBatchSequences: 2)
        let spec = JobSpec(
            name: name ?? "job",
            model: JobSpec.Model(
                layers: model.layers, width: model.width, heads: model.heads, context: model.context),
            data: .named(data), seed: seed ?? 1, steps: steps, sequences: batch.sequences,
            microBatchSequences: batch.microBatchSequences,
            optimizer: JobSpec.Optimizer(
                learningRate: peak, minimumLearningRate: optimizer.minimumLearningRate ?? peak / 10,
                warmupSteps: optimizer.warmupSteps ?? Int(min(steps / 10, 100)),
                weightDecay: optimizer.weightDecay ?? 0.1, beta1: optimizer.beta1 ?? 0.9,
                beta2: optimizer.beta2 ?? 0.95, epsilon: optimizer.epsilon ?? 1e-8),
            schedule: try Self.schedule(schedule), stages: layout?.stages, replicas: layout?.replicas,
            checkpointEvery: checkpointEvery ?? 0, compression: try Self.codec(compression),
            validation: JobSpec.Validation(
                every: validation?.every ?? Int(max(steps / 4, 1)), batches: validation?.batches ?? 16,
                fraction: validation?.fraction ?? 0.1))
        try spec.validate()
        return spec
    }

    private static func schedule(_ name: String?) throws(JobDocumentError) -> Schedule {
        switch name {
        case nil, "1f1b": return .oneForwardOneBackward
        case "gpipe": return .gpipe
        case let other?: throw JobDocumentError("the job's schedule is '\(other)': use \"1f1b\" or \"gpipe\"")
        }
    }

    private static func codec(_ name: String?) throws(JobDocumentError) -> TensorCodec {
        switch name {
        case nil, "none": return .f32
        case "bf16": return .bf16
        case "int8": return .int8
        case let other?:
            throw JobDocumentError("the job's compression is '\(other)': use \"none\", \"bf16\" or \"int8\"")
        }
    }

    private static func sentence(_ error: DecodingError) -> String {
        func path(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
            (context.codingPath + (last.map { [$0] } ?? [])).map(\.stringValue).joined(separator: ".")
        }
        switch error {
        case .keyNotFound(let key, let context): return "the job has no '\(path(context, key))'"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "the job's '\(path(context))' is of the wrong kind: \(context.debugDescription)"
        case .dataCorrupted(let context):
            let place = path(context)
            return place.isEmpty ? "the job is not valid JSON" : "the job's '\(place)' cannot be used"
        @unknown default: return "the job cannot be read: \(error)"
        }
    }
}

/// What is wrong with a job document, in one line.
package struct JobDocumentError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
