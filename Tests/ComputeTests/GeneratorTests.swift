@testable import Compute
import Primitives
import Testing

@Suite("Generating text")
struct GeneratorTests {
    func model() throws -> GPTStage {
        try GPTStage(
            configuration: GPTConfiguration(layers: 2, heads: 2, width: 16, context: 12, vocabulary: 31), layers: 0..<2,
            seed: 3)
    }

    @Test("remembered keys and values give the bits of the whole sequence")
    func cache() throws {
        let stage = try model()
        let tokens: [Int32] = [3, 1, 4, 1, 5, 9, 2, 6, 5]
        let whole = try stage.logits(tokens, sequences: 1, length: tokens.count)
        let generator = try Generator(stage: stage, sampler: Sampler(), seed: 1)
        for length in 1...tokens.count {
            _ = try generator.generate(prompt: [tokens[length - 1]], count: 0)
            let expected = Array(whole[(length - 1) * 31..<length * 31])
            #expect(bits(generator.nextLogits()) == bits(expected), "token \(length)")
        }
    }

    @Test("a long text slides over the context, and the seed decides the text")
    func long() throws {
        let stage = try model()
        func text(_ seed: UInt64) throws -> [Int32] {
            let generator = try Generator(stage: stage, sampler: Sampler(temperature: 1), seed: seed)
            let first = try generator.generate(prompt: [1, 2], count: 20)
            return try first + generator.generate(prompt: [], count: 20)
        }
        let one = try text(1)
        #expect(one.count == 40)
        #expect(one == (try text(1)))
        #expect(one != (try text(2)))
        #expect(one.allSatisfy { (0..<31).contains($0) })
    }

    @Test("after sliding, the logits are those of the text that is left")
    func sliding() throws {
        let stage = try model()
        let tokens = (0..<13).map { Int32($0) }
        let generator = try Generator(stage: stage, sampler: Sampler(), seed: 1)
        _ = try generator.generate(prompt: tokens, count: 0)
        let rest = Array(tokens.suffix(6))
        let expected = try stage.logits(rest, sequences: 1, length: 6).suffix(31)
        #expect(bits(generator.nextLogits()) == bits(Array(expected)))
    }

    @Test("temperature and top-k shape the draw")
    func sampling() {
        var random = SeededGenerator(seed: 9)
        let logits: [Float] = [0, 2, 1, 2, -5]
        #expect((0..<20).allSatisfy { _ in Sampler(temperature: 0).draw(logits, using: &random) == 1 })
        let top = Set((0..<200).map { _ in Sampler(temperature: 1, topK: 2).draw(logits, using: &random) })
        #expect(top == [1, 3])
        var counts = [Int](repeating: 0, count: 5)
        for _ in 0..<4000 { counts[Int(Sampler(temperature: 1).draw(logits, using: &random))] += 1 }
        // e^2 / (1 + 2 e^2 + e + e^-5) = 0.400
        #expect(abs(counts[1] - 1600) < 160, "drew \(counts)")
        #expect(abs(counts[2] - 589) < 120, "drew \(counts)")
    }

    @Test("the benchmark's fast product equals the plain one")
    func benchmark() {
        var ticks = 0.0
        let result = GEMMBenchmark.run(m: 9, n: 50, k: 20, repetitions: 1, naiveRows: 9) {
            ticks += 1
            return ticks
        }
        #expect(result.sameBits)
        #expect(result.blockedFlopsPerSecond == 18000)
    }
}
