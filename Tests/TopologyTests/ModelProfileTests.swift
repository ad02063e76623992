import Testing

@testable import Topology

/// Sizes of published models from their shapes.
struct ModelProfileTests {
    /// Llama-2-7B: 6.738 billion parameters (its model card), no tied embeddings.
    @Test func llama7B() {
        let shape = TransformerShape(
            layers: 32, width: 4096, heads: 32, keyValueHeads: 32, headWidth: 128, innerWidth: 11008, isGated: true,
            hasBiases: false, positions: 0, vocabulary: 32000, tiesEmbeddings: false)
        #expect(shape.parameters == 6_738_415_616)
        let profile = ModelProfile.transformer(name: "l", shape: shape, sequenceLength: 4096, precision: .single)
        #expect(abs(profile.parameters / 6_738_415_616 - 1) < 1e-6)
        #expect(profile.tiedParameters == 0)
    }

    /// Llama-3-8B with grouped-query attention: 8.030 billion.
    @Test func llama8B() {
        let shape = TransformerShape(
            layers: 32, width: 4096, heads: 32, keyValueHeads: 8, headWidth: 128, innerWidth: 14336, isGated: true,
            hasBiases: false, positions: 0, vocabulary: 128_256, tiesEmbeddings: false)
        #expect(shape.parameters == 8_030_261_248)
    }

    /// GPT-2 small: 124.4 million; and the general profile agrees with the one for our own engine's shape.
    @Test func gpt2() {
        let shape = TransformerShape(
            layers: 12, width: 768, heads: 12, keyValueHeads: 12, headWidth: 64, innerWidth: 3072, isGated: false,
            hasBiases: true, positions: 1024, vocabulary: 50257, tiesEmbeddings: true)
        #expect(shape.parameters == 124_439_808)
        let general = ModelProfile.transformer(name: "g", shape: shape, sequenceLength: 1024, precision: .single)
        let own = ModelProfile.gpt(
            name: "g", shape: GPTShape(layers: 12, width: 768, heads: 12, context: 1024, vocabulary: 50257),
            precision: .single)
        #expect(abs(general.flopsPerSequence / own.flopsPerSequence - 1) < 1e-12)
        #expect(abs(general.parameters / own.parameters - 1) < 1e-4)
    }

    @Test func recomputingTradesMemoryForWork() {
        let own = ModelProfile.gpt(
            name: "g", shape: GPTShape(layers: 2, width: 64, heads: 4, context: 32, vocabulary: 100), precision: .single
        )
        let again = own.recomputing()
        #expect(again.layers[0].storedBytes == own.layers[0].activationBytes)
        #expect(abs(again.flopsPerSequence / own.flopsPerSequence - 4.0 / 3) < 1e-12)
        #expect(again.parameters == own.parameters)
    }
}
