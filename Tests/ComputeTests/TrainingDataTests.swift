import Compute
import Primitives
import Testing

@Suite("Batches, schedule and entropy")
struct TrainingDataTests {
    let text = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * $0 / 7) }

    @Test("targets follow tokens, and cutting a step into micro-batches does not change its sequences")
    func batches() throws {
        let data = try TokenBatches(text: text, length: 9, validationFraction: 0.1, seed: 4)
        #expect(data.training.count == 900)
        #expect(data.validation == Array(text[900...]))
        let large = data.batch(step: 3, microBatch: 0, sequences: 6)
        for row in 0..<6 {
            let tokens = large.tokens[row * 9..<row * 9 + 9]
            #expect(Array(tokens.dropFirst()) == Array(large.targets[row * 9..<row * 9 + 8]))
        }
        let parts = (0..<3).map { data.batch(step: 3, microBatch: $0, sequences: 2) }
        #expect(parts.flatMap(\.tokens) == large.tokens)
        #expect(parts.flatMap(\.targets) == large.targets)
        #expect(data.batch(step: 4, microBatch: 0, sequences: 6) != large)
        let other = try TokenBatches(text: text, length: 9, validationFraction: 0.1, seed: 5)
        #expect(other.batch(step: 3, microBatch: 0, sequences: 6) != large, "the seed has no effect")
    }

    @Test("validation windows lie in the kept part and differ")
    func validation() throws {
        let data = try TokenBatches(text: text, length: 9, validationFraction: 0.1, seed: 4)
        let batches = try (0..<4).map { try #require(data.validationBatch($0, of: 4, sequences: 3)) }
        #expect(Set(batches.map(\.tokens)).count == 4)
        #expect(batches[0].tokens.prefix(9).elementsEqual(text[900..<909].map { Int32($0) }))
        let without = try TokenBatches(text: text, length: 9, validationFraction: 0, seed: 4)
        #expect(without.validationBatch(0, of: 1, sequences: 1) == nil)
    }

    @Test("a text that is too short is refused")
    func short() {
        #expect(throws: ComputeError.shortText(bytes: 9, needed: 10)) {
            _ = try TokenBatches(text: Array(text.prefix(9)), length: 9, validationFraction: 0, seed: 0)
        }
        #expect(throws: ComputeError.self) {
            _ = try TokenBatches(text: Array(text.prefix(50)), length: 9, validationFraction: 0.1, seed: 0)
        }
    }

    @Test("the learning rate rises, then falls along a cosine")
    func schedule() {
        let schedule = LearningRateSchedule(peak: 1, minimum: 0.1, warmupSteps: 10, totalSteps: 110)
        #expect(schedule.rate(at: 0) == 0.1)
        #expect(schedule.rate(at: 9) == 1)
        #expect(abs(schedule.rate(at: 10) - 1) < 1e-12)
        #expect(abs(schedule.rate(at: 60) - 0.55) < 1e-12)
        #expect(abs(schedule.rate(at: 35) - (0.1 + 0.45 * (1 + 0.7071067811865476))) < 1e-12)
        #expect(schedule.rate(at: 110) == 0.1)
        #expect(schedule.rate(at: 5000) == 0.1)
        #expect(LearningRateSchedule(peak: 1, minimum: 0, warmupSteps: 0, totalSteps: 0).rate(at: 0) == 0)
    }

    @Test("the unigram entropy is that of the definition")
    func entropy() throws {
        // Two letters, equally often: about log 2, above it because of the smoothing.
        let training = [UInt8](repeating: 97, count: 5000) + [UInt8](repeating: 98, count: 5000)
        let value = try #require(ByteEntropy.crossEntropy(of: [97, 98, 98, 97], training: training))
        #expect(abs(value - Elementary.log(Double(10256) / 5001)) < 1e-12)
        #expect(ByteEntropy.crossEntropy(of: [], training: training) == nil)
    }

    @Test("bytes come back from tokens")
    func tokeniser() {
        #expect(ByteTokeniser.decode(ByteTokeniser.encode("Weft, é")) == Array("Weft, é".utf8))
        #expect(ByteTokeniser.decode([65, 300, -1, 66]) == [65, 66])
    }
}
