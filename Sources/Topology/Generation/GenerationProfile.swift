/// What generating text with a model costs, layer by layer.
///
/// A pass takes some tokens of some sequences through a layer: the whole prompt or a chunk of it (prefill), or the one
/// token that was generated last (decode). Every layer keeps the keys and values of all tokens seen so far.
package struct GenerationProfile: Hashable, Sendable {
    /// One layer.
    package struct Layer: Hashable, Sendable {
        /// Bytes of the weights that the layer holds.
        package var weightBytes: Double
        /// Bytes of the weights that every pass reads, however many tokens it takes: a table that is only looked up is not
        /// among them.
        package var readBytes: Double
        /// FLOPs a token, without attention.
        package var tokenFlops: Double
        /// FLOPs for a token that is generated: the projection onto the vocabulary, once a sequence and pass.
        package var outputFlops: Double
        /// FLOPs of attention for a token and every token of its context.
        package var attentionFlops: Double
        /// Bytes of keys and values for a token of context.
        package var cacheBytes: Double
        /// Bytes that a token sends on to the next layer.
        package var boundaryBytes: Double

        package init(
            weightBytes: Double, readBytes: Double, tokenFlops: Double, outputFlops: Double, attentionFlops: Double,
            cacheBytes: Double, boundaryBytes: Double
        ) {
            self.weightBytes = weightBytes
            self.readBytes = readBytes
            self.tokenFlops = tokenFlops
            self.outputFlops = outputFlops
            self.attentionFlops = attentionFlops
            self.cacheBytes = cacheBytes
            self.boundaryBytes = boundaryBytes
        }
    }

    package var layers: [Layer]
    /// Bytes of weights that the first and the last layer both hold: a stage with the whole model holds them once.
    package var tiedBytes: Double

    package init(layers: [Layer], tiedBytes: Double) {
        self.layers = layers
        self.tiedBytes = tiedBytes
    }

    /// A decoder-only transformer: two FLOPs for every matrix weight and token, four for every query element and token of
    /// context (Pope et al. 2022, Efficiently Scaling Transformer Inference, section 2), keys and values in the
    /// activations' precision.
    ///
    /// - Parameters:
    ///   - blockParameters: numbers in a block; `matrixParameters` of them are multiplied with every token.
    ///   - queryElements: heads times head width. `pairElements`: the same for keys, and again for values.
    ///   - embedding: numbers of the token embedding; `positions`: of the position embedding.
    static func transformer(
        layers count: Int, width: Double, blockParameters: Double, matrixParameters: Double, queryElements: Double,
        pairElements: Double, embedding: Double, positions: Double, tiesEmbeddings: Bool,
        precision: ModelProfile.Precision
    ) -> GenerationProfile {
        let weight = precision.weightElementBytes
        var layers = Array(
            repeating: Layer(
                weightBytes: blockParameters * weight, readBytes: blockParameters * weight,
                tokenFlops: 2 * matrixParameters, outputFlops: 0, attentionFlops: 4 * queryElements,
                cacheBytes: 2 * pairElements * precision.activationElementBytes,
                boundaryBytes: width * precision.activationElementBytes),
            count: max(1, count))
        let last = layers.count - 1
        layers[0].weightBytes += (embedding + positions) * weight
        layers[last].weightBytes += embedding * weight
        layers[last].readBytes += embedding * weight
        layers[last].outputFlops += 2 * embedding
        return GenerationProfile(layers: layers, tiedBytes: tiesEmbeddings ? embedding * weight : 0)
    }
}

/// What is generated: how long prompts and answers are, and how many sequences there are at a time.
package struct GenerationWorkload: Hashable, Sendable {
    package var promptTokens: Int
    /// Tokens generated for a prompt.
    package var newTokens: Int
    /// Sequences in flight over all pipelines; `nil`: as many as memory allows.
    package var maximumSequences: Int?

    package init(promptTokens: Int = 512, newTokens: Int = 128, maximumSequences: Int? = nil) {
        self.promptTokens = promptTokens
        self.newTokens = newTokens
        self.maximumSequences = maximumSequences
    }

    /// Lengths up to which sums stay exact and simulations short.
    package static let maximumTokens = 1 << 20
}
