import Pipeline
import Primitives
import Shards
import Testing

@testable import Runtime

struct StepFollowerTests {
    private let peers: [PeerID]
    private let spec: JobSpec
    private let layout: PipelineLayout
    private let run = RunID(job: 1, attempt: 1)

    init() throws {
        peers = try (1...2).map { try #require(PeerID(bytes: [UInt8](repeating: $0, count: 32))) }
        spec = JobSpec(
            name: "follow", model: JobSpec.Model(layers: 2, width: 8, heads: 2, context: 8), data: .named("text"),
            steps: 2,
            sequences: 4, microBatchSequences: 1, validation: JobSpec.Validation(every: 2, batches: 2, fraction: 0.1))
        layout = PipelineLayout(pipelines: [
            .init(microBatches: 0..<2, stages: [.init(peer: peers[0], layers: 0..<2)]),
            .init(microBatches: 2..<4, stages: [.init(peer: peers[1], layers: 0..<2)]),
        ])
    }

    private func losses(_ step: UInt64, _ first: Int, _ losses: [Float], _ pass: StepPhase.Pass = .training)
        -> JobMessage
    {
        .losses(run, LossReport(phase: StepPhase(step: step, pass: pass), firstMicroBatch: first, losses: losses))
    }

    private func done(_ step: UInt64, _ milliseconds: Int64) -> JobMessage {
        .stepDone(run, step: step, elapsed: .milliseconds(milliseconds), computing: .zero)
    }

    private func part(_ part: ModelPart, _ byte: UInt8) throws -> JobMessage {
        let manifest = try #require(ShardBuilder.manifest(name: "part", bytes: [byte]))
        return .checkpointPart(
            run, step: 2, CheckpointPart(part: part, shard: manifest.id, byteCount: 1, holders: []))
    }

    @Test func aStepIsToldOnceEverybodyHasReported() throws {
        var follower = StepFollower(spec: spec, layout: layout, firstStep: 0)
        #expect(try follower.take(losses(0, 2, [3, 5]), from: peers[1]).isEmpty)
        #expect(try follower.take(done(0, 7), from: peers[1]).isEmpty)
        #expect(try follower.take(losses(0, 0, [1, 3]), from: peers[0]).isEmpty)
        let outcomes = try follower.take(done(0, 5), from: peers[0])
        #expect(
            outcomes == [.step(0, loss: 3, elapsed: .milliseconds(7))], "the mean of all four, and the slowest's time")
    }

    @Test func stepsAreToldInOrderAndTheEndNeedsTheCheckpoint() throws {
        var follower = StepFollower(spec: spec, layout: layout, firstStep: 0)
        var told: [StepFollower.Outcome] = []
        // Step 1 is complete before step 0 is.
        for (peer, first) in [(peers[0], 0), (peers[1], 2)] {
            told += try follower.take(losses(1, first, [2, 2]), from: peer)
            told += try follower.take(done(1, 1), from: peer)
        }
        #expect(told.isEmpty, "step 1 must wait for step 0")
        for (peer, first) in [(peers[0], 0), (peers[1], 2)] {
            told += try follower.take(losses(0, first, [4, 4]), from: peer)
            told += try follower.take(done(0, 1), from: peer)
        }
        told += try follower.take(losses(1, 0, [1], .validation), from: peers[0])
        told += try follower.take(losses(1, 1, [2], .validation), from: peers[1])
        #expect(
            told == [
                .step(0, loss: 4, elapsed: .milliseconds(1)), .step(1, loss: 2, elapsed: .milliseconds(1)),
                .validation(1, loss: 1.5),
            ])
        #expect(!follower.isFinished, "the last step's checkpoint is still open")
        for peer in peers {
            told += try follower.take(try part(.tokenEmbedding, 1), from: peer)
            told += try follower.take(try part(.layers(0..<2), 2), from: peer)
        }
        guard case .checkpoint(let manifest)? = told.last else {
            Issue.record("no checkpoint was told: \(told)")
            return
        }
        #expect(manifest.step == 2)
        #expect(manifest.parts.allSatisfy { $0.holders == peers.sorted() }, "both replicas hold every part")
        #expect(follower.isFinished)
    }

    @Test func replicasThatDisagreeEndTheRun() throws {
        var follower = StepFollower(spec: spec, layout: layout, firstStep: 0)
        _ = try follower.take(try part(.tokenEmbedding, 1), from: peers[0])
        let error = #expect(throws: JobRunError.self) {
            _ = try follower.take(try part(.tokenEmbedding, 9), from: peers[1])
        }
        #expect(error?.reason == .diverged)
    }

    @Test func reportsThatMakeNoSenseAreRefused() throws {
        var follower = StepFollower(spec: spec, layout: layout, firstStep: 0)
        let stranger = try #require(PeerID(bytes: [UInt8](repeating: 9, count: 32)))
        _ = try follower.take(losses(0, 0, [1, 1]), from: peers[0])
        #expect(throws: JobRunError.self, "the same losses twice") {
            _ = try follower.take(losses(0, 0, [1, 1]), from: peers[0])
        }
        #expect(throws: JobRunError.self, "a step beyond the last") {
            _ = try follower.take(done(2, 1), from: peers[0])
        }
        #expect(throws: JobRunError.self, "a part from a peer that does not hold it") {
            _ = try follower.take(try part(.tokenEmbedding, 1), from: stranger)
        }
    }
}
