/// What one block remembers between its forward and backward pass over one micro-batch.
final class BlockActivations {
    let norm1, norm1Mean, norm1Scale: FloatBuffer  // [rows, width], [rows], [rows]
    let qkv: FloatBuffer  // [rows, 3 width]
    let probabilities: FloatBuffer  // [sequences, heads, length, length]
    let heads: FloatBuffer  // [rows, width]: attention before its output projection
    let middle: FloatBuffer  // [rows, width]: the residual stream after attention
    let norm2, norm2Mean, norm2Scale: FloatBuffer
    let expanded, activated: FloatBuffer  // [rows, 4 width]
    let output: FloatBuffer  // [rows, width]: the residual stream after the block

    init(_ model: GPTConfiguration, sequences: Int, length: Int) {
        let rows = sequences * length
        norm1 = FloatBuffer(count: rows * model.width)
        norm1Mean = FloatBuffer(count: rows)
        norm1Scale = FloatBuffer(count: rows)
        qkv = FloatBuffer(count: rows * 3 * model.width)
        probabilities = FloatBuffer(count: sequences * model.heads * length * length)
        heads = FloatBuffer(count: rows * model.width)
        middle = FloatBuffer(count: rows * model.width)
        norm2 = FloatBuffer(count: rows * model.width)
        norm2Mean = FloatBuffer(count: rows)
        norm2Scale = FloatBuffer(count: rows)
        expanded = FloatBuffer(count: rows * 4 * model.width)
        activated = FloatBuffer(count: rows * 4 * model.width)
        output = FloatBuffer(count: rows * model.width)
    }
}

/// What a stage remembers of one micro-batch until its backward pass.
final class StageActivations {
    let sequences: Int
    let length: Int
    var tokens: [Int32] = []  // first stage
    let input: FloatBuffer  // [rows, width]: the residual stream before the stage's first block
    let blocks: [BlockActivations]
    // Last stage: the final norm, and the gradient of the loss by the logits (before that, the logits themselves).
    let norm, normMean, normScale, logits: FloatBuffer

    init(_ model: GPTConfiguration, blocks count: Int, isLast: Bool, sequences: Int, length: Int) {
        let rows = sequences * length
        self.sequences = sequences
        self.length = length
        input = FloatBuffer(count: rows * model.width)
        blocks = (0..<count).map { _ in BlockActivations(model, sequences: sequences, length: length) }
        norm = FloatBuffer(count: isLast ? rows * model.width : 0)
        normMean = FloatBuffer(count: isLast ? rows : 0)
        normScale = FloatBuffer(count: isLast ? rows : 0)
        logits = FloatBuffer(count: isLast ? rows * model.vocabulary : 0)
    }

    var rows: Int { sequences * length }
    /// The residual stream that leaves the stage's last block.
    var output: FloatBuffer { blocks.last?.output ?? input }
}

/// Memory for a backward pass, used by one micro-batch at a time.
final class BackwardScratch {
    let stream: FloatBuffer  // [rows, width]: the gradient of the residual stream
    let narrow: FloatBuffer  // [rows, width]
    let wide: FloatBuffer  // [rows, 4 width], also [rows, 3 width]
    let scores: FloatBuffer  // [length, length]
    let rows, length: Int

    init(_ model: GPTConfiguration, rows: Int, length: Int) {
        self.rows = rows
        self.length = length
        stream = FloatBuffer(count: rows * model.width)
        narrow = FloatBuffer(count: rows * model.width)
        wide = FloatBuffer(count: rows * 4 * model.width)
        scores = FloatBuffer(count: length * length)
    }
}
