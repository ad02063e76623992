/// What a planner must know of a model: for every layer its size, its work and what crosses its boundaries.
///
/// A layer is the unit that a stage holds whole. The first layer includes the embeddings, the last the final norm and
/// the output projection, as in the training engine.
package struct ModelProfile: Hashable, Sendable {
    /// One layer. Work and activation sizes are for one sequence.
    package struct Layer: Hashable, Sendable {
        /// Numbers held by the layer.
        package var parameters: Double
        package var forwardFlops: Double
        package var backwardFlops: Double
        /// Bytes that go on to the next layer in the forward pass.
        package var activationBytes: Double
        /// Bytes that come back from the next layer in the backward pass.
        package var activationGradientBytes: Double
        /// Bytes kept from a sequence's forward pass until its backward pass.
        package var storedBytes: Double

        package init(
            parameters: Double, forwardFlops: Double, backwardFlops: Double, activationBytes: Double,
            activationGradientBytes: Double, storedBytes: Double
        ) {
            self.parameters = parameters
            self.forwardFlops = forwardFlops
            self.backwardFlops = backwardFlops
            self.activationBytes = activationBytes
            self.activationGradientBytes = activationGradientBytes
            self.storedBytes = storedBytes
        }
    }

    package var name: String
    package var layers: [Layer]
    /// Bytes exchanged for every parameter's gradient.
    package var gradientBytesPerParameter: Double
    /// Bytes kept for every parameter: weight, gradient, optimiser state.
    package var stateBytesPerParameter: Double
    /// Bytes of a weight when it moves between peers.
    package var weightBytesPerParameter: Double
    /// Parameters that both the first and the last layer hold (a tied embedding), whose gradients those two stages add
    /// up every step; zero if there are none.
    package var tiedParameters: Double
    /// Bytes of one element of an activation, by which compression is reckoned.
    package var activationElementBytes = 4.0
    /// What generation with the model costs; `nil` if only its training is known.
    package var generation: GenerationProfile?

    package init(
        name: String, layers: [Layer], gradientBytesPerParameter: Double, stateBytesPerParameter: Double,
        weightBytesPerParameter: Double, tiedParameters: Double
    ) {
        self.name = name
        self.layers = layers
        self.gradientBytesPerParameter = gradientBytesPerParameter
        self.stateBytesPerParameter = stateBytesPerParameter
        self.weightBytesPerParameter = weightBytesPerParameter
        self.tiedParameters = tiedParameters
    }

    /// The same model with activations computed again in the backward pass: a stage keeps only what entered each layer,
    /// for a third more work (Chen et al. 2016).
    package func recomputing() -> ModelProfile {
        var profile = self
        for index in layers.indices {
            profile.layers[index].storedBytes = min(layers[index].storedBytes, layers[index].activationBytes)
            profile.layers[index].backwardFlops += layers[index].forwardFlops
        }
        return profile
    }

    /// Forward and backward FLOPs of one sequence through all layers.
    package var flopsPerSequence: Double { layers.reduce(0) { $0 + $1.forwardFlops + $1.backwardFlops } }

    /// All parameters, a tied one counted once.
    package var parameters: Double { layers.reduce(-tiedParameters) { $0 + $1.parameters } }
}

/// The shape of a GPT, from which `ModelProfile` derives its figures.
package struct GPTShape: Hashable, Sendable {
    package var layers: Int
    package var width: Int
    package var heads: Int
    /// Tokens in a sequence.
    package var context: Int
    package var vocabulary: Int

    package init(layers: Int, width: Int, heads: Int, context: Int, vocabulary: Int) {
        self.layers = layers
        self.width = width
        self.heads = heads
        self.context = context
        self.vocabulary = vocabulary
    }

    /// Parameters of one block: 12 width² of matrices, 13 width of biases and norms (GPT-2).
    package var blockParameters: Double { 12 * Double(width) * Double(width) + 13 * Double(width) }

    /// Parameters of the token embedding, tied to the output.
    package var tokenEmbeddingParameters: Double { Double(vocabulary) * Double(width) }

    /// Parameters of the position embedding.
    package var positionEmbeddingParameters: Double { Double(context) * Double(width) }
}

extension ModelProfile {
    /// How a model is trained, as far as sizes depend on it.
    package struct Precision: Hashable, Sendable {
        /// Bytes of an activation between stages.
        package var activationElementBytes: Double
        /// Bytes of a gradient in the exchange between replicas.
        package var gradientElementBytes: Double
        /// Bytes of a weight in the forward pass.
        package var weightElementBytes: Double
        /// Bytes kept a parameter.
        package var stateBytesPerParameter: Double
        /// Whether attention scores are kept for the backward pass rather than computed again.
        package var storesAttentionScores: Bool

        /// f32 throughout, as our own engine: weight, gradient and AdamW's two moments.
        package static let single = Precision(
            activationElementBytes: 4, gradientElementBytes: 4, weightElementBytes: 4, stateBytesPerParameter: 16,
            storesAttentionScores: true)

        /// f16 or bf16 compute with f32 master weights and moments; attention is recomputed (FlashAttention).
        package static func mixed(activationElementBytes: Double, gradientElementBytes: Double) -> Precision {
            Precision(
                activationElementBytes: activationElementBytes, gradientElementBytes: gradientElementBytes,
                weightElementBytes: 2, stateBytesPerParameter: 2 + gradientElementBytes + 12,
                storesAttentionScores: false)
        }

        package init(
            activationElementBytes: Double, gradientElementBytes: Double, weightElementBytes: Double,
            stateBytesPerParameter: Double, storesAttentionScores: Bool
        ) {
            self.activationElementBytes = activationElementBytes
            self.gradientElementBytes = gradientElementBytes
            self.weightElementBytes = weightElementBytes
            self.stateBytesPerParameter = stateBytesPerParameter
            self.storesAttentionScores = storesAttentionScores
        }
    }

    /// The profile of a GPT with tied embeddings.
    ///
    /// FLOPs follow Narayanan et al. 2021 (Megatron-LM, section 5.1): 24 s h² + 4 s² h a block and sequence forward,
    /// twice that backward, no recomputation; 2 s h V for the output. Stored activations follow Korthikanti et al. 2022
    /// (34 s h bytes at 2 bytes an element, 18 s h + 2 a s² elements in our own f32 engine).
    ///
    /// - Parameter totalParameters: the published size, if it should be met: the blocks are scaled to it.
    package static func gpt(
        name: String, shape: GPTShape, precision: Precision, totalParameters: Double? = nil
    ) -> ModelProfile {
        let width = Double(shape.width)
        let context = Double(shape.context)
        let count = max(1, shape.layers)
        let boundary = context * width * precision.activationElementBytes
        let embedding = shape.tokenEmbeddingParameters + shape.positionEmbeddingParameters
        var block = shape.blockParameters
        if let totalParameters, totalParameters > embedding { block = (totalParameters - embedding) / Double(count) }
        let forward = 24 * context * width * width + 4 * context * context * width
        let stored =
            precision.storesAttentionScores
            ? (18 * context * width + 2 * Double(shape.heads) * context * context) * precision.activationElementBytes
            : 17 * context * width * precision.activationElementBytes
        var layers = Array(
            repeating: Layer(
                parameters: block, forwardFlops: forward, backwardFlops: 2 * forward, activationBytes: boundary,
                activationGradientBytes: boundary, storedBytes: stored),
            count: count)
        let head = 2 * context * width * Double(shape.vocabulary)
        layers[0].parameters += embedding
        layers[count - 1].parameters += shape.tokenEmbeddingParameters
        layers[count - 1].forwardFlops += head
        layers[count - 1].backwardFlops += 2 * head
        layers[count - 1].storedBytes += context * Double(shape.vocabulary) * precision.activationElementBytes
        var profile = ModelProfile(
            name: name, layers: layers, gradientBytesPerParameter: precision.gradientElementBytes,
            stateBytesPerParameter: precision.stateBytesPerParameter,
            weightBytesPerParameter: precision.weightElementBytes,
            tiedParameters: shape.tokenEmbeddingParameters)
        profile.activationElementBytes = precision.activationElementBytes
        profile.generation = .transformer(
            layers: count, width: width, blockParameters: block, matrixParameters: 12 * width * width,
            queryElements: width, pairElements: width, embedding: shape.tokenEmbeddingParameters,
            positions: shape.positionEmbeddingParameters, tiesEmbeddings: true, precision: precision)
        return profile
    }
}
