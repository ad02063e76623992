/// The shape of a decoder-only transformer in general: GPT-2's and GPT-3's, or Llama's with gated feed-forward layers,
/// grouped key and value heads and an output of its own.
package struct TransformerShape: Hashable, Sendable {
    package var layers: Int
    package var width: Int
    package var heads: Int
    /// Heads of keys and values; fewer than `heads` with grouped-query attention.
    package var keyValueHeads: Int
    /// Width of one head.
    package var headWidth: Int
    /// Width inside the feed-forward layer.
    package var innerWidth: Int
    /// Whether the feed-forward layer has a gate: three matrices rather than two.
    package var isGated: Bool
    /// Whether matrices and norms have biases.
    package var hasBiases: Bool
    /// Learnt positions, zero with rotary ones.
    package var positions: Int
    package var vocabulary: Int
    /// Whether the output projection is the token embedding.
    package var tiesEmbeddings: Bool

    package init(
        layers: Int, width: Int, heads: Int, keyValueHeads: Int, headWidth: Int, innerWidth: Int, isGated: Bool,
        hasBiases: Bool, positions: Int, vocabulary: Int, tiesEmbeddings: Bool
    ) {
        self.layers = layers
        self.width = width
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headWidth = headWidth
        self.innerWidth = innerWidth
        self.isGated = isGated
        self.hasBiases = hasBiases
        self.positions = positions
        self.vocabulary = vocabulary
        self.tiesEmbeddings = tiesEmbeddings
    }

    /// Weights of a block's matrices, which are what a token's FLOPs are spent on.
    package var blockMatrixParameters: Double {
        let width = Double(width)
        let queries = Double(heads * headWidth)
        let pairs = Double(keyValueHeads * headWidth)
        return width * (2 * queries + 2 * pairs) + Double(isGated ? 3 : 2) * width * Double(innerWidth)
    }

    /// Parameters of a block with biases and norms.
    package var blockParameters: Double {
        let width = Double(width)
        guard hasBiases else { return blockMatrixParameters + 2 * width }
        let biases =
            Double(heads * headWidth + 2 * keyValueHeads * headWidth) + width + Double(isGated ? 2 : 1)
            * Double(innerWidth) + width
        return blockMatrixParameters + biases + 4 * width
    }

    /// All parameters, a tied embedding counted once.
    package var parameters: Double {
        let embedding = Double(vocabulary) * Double(width)
        return Double(layers) * blockParameters + embedding * (tiesEmbeddings ? 1 : 2)
            + Double(positions) * Double(width) + Double(hasBiases ? 2 * width : width)
    }
}

extension ModelProfile {
    /// The profile of a transformer for sequences of so many tokens.
    ///
    /// FLOPs: two for every matrix weight and token, 4 s² × (heads × head width) for scores and their use, and the output;
    /// twice that backward. Stored activations follow Korthikanti et al. 2022 with attention recomputed inside the kernel
    /// (FlashAttention): what enters each matrix and each norm.
    package static func transformer(
        name: String, shape: TransformerShape, sequenceLength: Int, precision: Precision
    ) -> ModelProfile {
        let tokens = Double(sequenceLength)
        let width = Double(shape.width)
        let boundary = tokens * width * precision.activationElementBytes
        let queries = Double(shape.heads * shape.headWidth)
        let forward = 2 * tokens * shape.blockMatrixParameters + 4 * tokens * tokens * queries
        // Inputs of the two norms and of the four groups of matrices, queries, keys, values, and the inner layer.
        let inner = Double(shape.isGated ? 3 : 2) * Double(shape.innerWidth)
        var storedElements = tokens * (6 * width + 2 * queries + inner)
        storedElements += tokens * 2 * Double(shape.keyValueHeads * shape.headWidth)
        if precision.storesAttentionScores { storedElements += 2 * Double(shape.heads) * tokens * tokens }
        var layers = Array(
            repeating: Layer(
                parameters: shape.blockParameters, forwardFlops: forward, backwardFlops: 2 * forward,
                activationBytes: boundary, activationGradientBytes: boundary,
                storedBytes: storedElements * precision.activationElementBytes),
            count: max(1, shape.layers))
        let embedding = Double(shape.vocabulary) * width
        let head = 2 * tokens * embedding
        let last = layers.count - 1
        layers[0].parameters += embedding + Double(shape.positions) * width
        layers[last].parameters += embedding + Double(shape.hasBiases ? 2 : 1) * width
        layers[last].forwardFlops += head
        layers[last].backwardFlops += 2 * head
        layers[last].storedBytes += tokens * Double(shape.vocabulary) * precision.activationElementBytes
        var profile = ModelProfile(
            name: name, layers: layers, gradientBytesPerParameter: precision.gradientElementBytes,
            stateBytesPerParameter: precision.stateBytesPerParameter,
            weightBytesPerParameter: precision.weightElementBytes,
            tiedParameters: shape.tiesEmbeddings ? embedding : 0)
        profile.activationElementBytes = precision.activationElementBytes
        profile.generation = .transformer(
            layers: layers.count, width: width, blockParameters: shape.blockParameters,
            matrixParameters: shape.blockMatrixParameters, queryElements: queries,
            pairElements: Double(shape.keyValueHeads * shape.headWidth), embedding: embedding,
            positions: Double(shape.positions) * width, tiesEmbeddings: shape.tiesEmbeddings, precision: precision)
        return profile
    }
}
