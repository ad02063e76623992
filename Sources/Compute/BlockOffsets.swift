/// Where one block's tensors start, in the parameters and in the gradients alike.
struct BlockOffsets {
    let norm1Gain, norm1Bias: Int
    let attentionWeight, attentionBias: Int
    let attentionOutWeight, attentionOutBias: Int
    let norm2Gain, norm2Bias: Int
    let expandWeight, expandBias: Int
    let contractWeight, contractBias: Int

    /// Follows the order of `TensorLayout`, twelve tensors from `start` on.
    init(start: Int, width: Int) {
        var next = start
        func take(_ count: Int) -> Int {
            defer { next += count }
            return next
        }
        norm1Gain = take(width)
        norm1Bias = take(width)
        attentionWeight = take(3 * width * width)
        attentionBias = take(3 * width)
        attentionOutWeight = take(width * width)
        attentionOutBias = take(width)
        norm2Gain = take(width)
        norm2Bias = take(width)
        expandWeight = take(4 * width * width)
        expandBias = take(4 * width)
        contractWeight = take(4 * width * width)
        contractBias = take(width)
    }
}
