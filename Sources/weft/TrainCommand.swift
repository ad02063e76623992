import ArgumentParser
import Compute
import Control
import Foundation
import Pipeline
import Runtime

/// Trains a job, over the swarm or in this process.
struct TrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Train a job over the swarm, or with --local in this process: the same bits.",
        discussion: """
            JOB is a weft.job/1 file. Without a terminal every step is one line that ends with the loss's 32 bits in hex, \
            so that two runs can be compared exactly.
            """)

    @Argument(help: "The job file.")
    var job: String

    @Flag(help: "Train in this process, without any node.")
    var local = false

    @Option(help: "Go on from this checkpoint.")
    var resume: String?

    @Option(name: .customLong("output"), help: "Where checkpoints and loss curve go (default: JOB's name + -output).")
    var outputPath: String?

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        guard let data = FileManager.default.contents(atPath: job) else {
            throw CommandFailure("cannot read \(job): is there such a file, and may you read it?")
        }
        let document = String(decoding: data, as: UTF8.self)
        let folder = absolutePath(outputPath ?? defaultOutput)
        let request = TrainRequest(
            document: document, workingDirectory: FileManager.default.currentDirectoryPath, outputDirectory: folder,
            resumeFrom: resume.map(absolutePath))
        let story = TrainStory()
        let events =
            local ? LocalRun.events(request) : try await ControlClient(state: state.directory).train(request)
        for try await event in events {
            if output.json {
                try printJSONLine(event)
                story.keep(event)
            } else {
                story.tell(event)
            }
        }
        story.pause()
        let written = try story.writeCurve(into: folder, title: title)
        guard !output.json else { return }
        for path in written + [story.finished?.checkpointPath].compactMap({ $0 }) { print("Written: \(path)") }
    }

    private var title: String { URL(filePath: job).deletingPathExtension().lastPathComponent }

    private var defaultOutput: String { title + "-output" }
}

/// The events of a run in this process, as a node would report them.
enum LocalRun {
    static func events(_ request: TrainRequest) -> AsyncThrowingStream<TrainEvent, any Error> {
        AsyncThrowingStream { continuation in
            let task = Task {
                do {
                    try await onOwnThread { try train(request) { continuation.yield($0) } }
                    continuation.finish()
                } catch { continuation.finish(throwing: error) }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    private static func train(_ request: TrainRequest, report: (TrainEvent) -> Void) throws {
        let document = try JobDocument(json: request.document)
        let spec = try document.spec()
        let path = document.data.hasPrefix("/") ? document.data : request.workingDirectory + "/" + document.data
        let text = try TextCorpus(contentsOf: path).bytes
        let checkpoints = request.outputDirectory.map { CheckpointDirectory(path: $0) }
        let trainer = try LocalTrainer(spec: spec, text: text, checkpoints: checkpoints)
        if let resume = request.resumeFrom { try trainer.resume(from: try CheckpointDirectory.open(resume)) }
        let clock = ContinuousClock()
        let start = clock.now
        let firstStep = Int(trainer.step) + 1
        let unigram = trainer.unigramLoss ?? .nan
        report(
            .accepted(
                .init(
                    job: spec.name, coordinator: "", coordinatorName: "this process", steps: Int(spec.steps),
                    parameterCount: try spec.model.configuration().parameterCount,
                    trainingBytes: trainer.batches.training.count, validationBytes: trainer.batches.validation.count)))
        report(.ready(.init(stages: 1, replicas: 1, firstStep: firstStep)))
        let tokens = Double(spec.sequences * spec.model.context)
        var lastLoss: Float = .nan
        var lastValidation: Double?
        var lastCheckpoint: (step: UInt64, path: String)?
        try trainer.run { event in
            switch event {
            case .step(let step, let loss, let rate, let elapsed):
                lastLoss = loss
                let seconds = elapsed / .seconds(1)
                report(
                    .step(
                        .init(
                            step: Int(step) + 1, steps: Int(spec.steps), loss: loss, learningRate: rate,
                            tokensPerSecond: tokens / seconds, iterationSeconds: seconds,
                            predictedIterationSeconds: nil)))
            case .validation(let step, let loss):
                lastValidation = Double(loss)
                report(.validation(.init(step: Int(step) + 1, loss: Double(loss), unigramLoss: unigram)))
            case .checkpoint(let step, let path):
                lastCheckpoint = (step, path)
                report(
                    .checkpoint(
                        .init(step: Int(step), path: path, shard: nil, bytes: folderBytes(path), holders: [])))
            }
        }
        if lastCheckpoint?.step != trainer.step, let path = try trainer.writeCheckpoint() {
            lastCheckpoint = (trainer.step, path)
        }
        report(
            .finished(
                .init(
                    steps: Int(trainer.step), loss: lastLoss, elapsedSeconds: (clock.now - start) / .seconds(1),
                    validationLoss: lastValidation, unigramLoss: unigram.isNaN ? nil : unigram,
                    checkpointPath: lastCheckpoint?.path, checkpointShard: nil)))
    }

    private static func folderBytes(_ path: String) -> UInt64 {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return names.reduce(0) { sum, name in
            let attributes = try? FileManager.default.attributesOfItem(atPath: path + "/" + name)
            return sum + ((attributes?[.size] as? NSNumber)?.uint64Value ?? 0)
        }
    }
}
