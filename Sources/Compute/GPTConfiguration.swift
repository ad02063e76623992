/// The dimensions of a GPT-2 model (Radford et al. 2019): learned positions, layer norm before each block, a feed-forward
/// part four times as wide, and an output head that shares the token table.
package struct GPTConfiguration: Hashable, Sendable {
    /// Transformer blocks.
    package var layers: Int
    /// Attention heads; divides `width`.
    package var heads: Int
    /// Numbers in a token's activation.
    package var width: Int
    /// The longest sequence, in tokens.
    package var context: Int
    /// Different tokens; 256 for bytes.
    package var vocabulary: Int

    /// Checks the dimensions; the bounds keep every size below 2⁶² so that no later arithmetic can overflow.
    package init(layers: Int, heads: Int, width: Int, context: Int, vocabulary: Int = 256) throws(ComputeError) {
        func check(_ name: String, _ value: Int, _ limit: Int) throws(ComputeError) {
            guard value >= 1, value <= limit else {
                throw .configuration("\(name) is \(value), which is not between 1 and \(limit)")
            }
        }
        try check("layers", layers, 1024)
        try check("heads", heads, 1024)
        try check("width", width, 65_536)
        try check("context", context, 1_048_576)
        try check("vocabulary", vocabulary, 1_048_576)
        guard width % heads == 0 else { throw .configuration("width \(width) is not a multiple of \(heads) heads") }
        self.layers = layers
        self.heads = heads
        self.width = width
        self.context = context
        self.vocabulary = vocabulary
    }

    /// Numbers in one block: 12 width² + 13 width.
    package var parametersPerLayer: Int { 12 * width * width + 13 * width }

    /// Numbers in the whole model, the shared token table counted once.
    package var parameterCount: Int { (vocabulary + context) * width + layers * parametersPerLayer + 2 * width }

    /// Floating-point operations of one training step (forward and backward) over one sequence of `length` tokens in
    /// `layerCount` blocks: 6 per weight and token, and 12 width length² of attention a block.
    package func trainingOperations(layerCount: Int, length: Int) -> Double {
        let weights = 12 * Double(width) * Double(width)
        let tokens = Double(length)
        return Double(layerCount) * (6 * weights * tokens + 12 * Double(width) * tokens * tokens)
    }

    /// Floating-point operations of the output head's training step over one sequence.
    package func headTrainingOperations(length: Int) -> Double {
        6 * Double(vocabulary) * Double(width) * Double(length)
    }
}
