import CKernels

/// What a backward pass over one micro-batch yields.
package struct StageGradients: Sendable {
    /// The gradient of the stage's input, [sequences × length, width], for the stage before; nil on the first stage.
    package let input: [Float]?
    /// The gradients of the stage's parameters from this micro-batch alone, flat in `gradientLayout` order.
    package let parameters: [Float]
}

extension GPTStage {
    /// Runs the stage backwards over a micro-batch whose forward pass it has seen, and forgets the micro-batch.
    ///
    /// `outputGradient` is what the next stage's backward pass returned as `input`; nil on the last stage, which starts
    /// from its own loss.
    package func backward(
        _ outputGradient: [Float]? = nil, microBatch: Int
    ) throws(ComputeError) -> StageGradients {
        guard let slot = active[microBatch] else { throw .noForwardPass(microBatch: microBatch) }
        let width = configuration.width
        let scratch = scratch(rows: slot.rows, length: slot.length)
        if isLast {
            guard outputGradient == nil else { throw .wrongStage("the last stage starts from its own loss") }
        } else {
            guard let outputGradient else { throw .wrongStage("this stage needs the gradient of its output") }
            guard outputGradient.count == slot.rows * width else {
                throw .shape(what: "The output's gradient", expected: slot.rows * width, actual: outputGradient.count)
            }
            scratch.stream.replace(at: 0, with: outputGradient)
        }
        defer { discard(microBatch: microBatch) }

        let gradients = [Float](unsafeUninitializedCapacity: gradientLayout.count) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            start.initialize(repeating: 0, count: gradientLayout.count)
            count = gradientLayout.count
            if isLast { runHeadBackward(slot, scratch, gradients: start) }
            for index in blocks.indices.reversed() {
                let input = index == 0 ? slot.input : slot.blocks[index - 1].output
                runBackward(
                    slot.blocks[index], blocks[index], input: input, sequences: slot.sequences, length: slot.length,
                    scratch, gradients: start)
            }
            if isFirst {
                weft_embed_backward(
                    start + tokenTableOffset, start + positionTableOffset, slot.tokens, scratch.stream.base,
                    slot.sequences, slot.length, width)
            }
        }
        return StageGradients(input: isFirst ? nil : scratch.stream.array, parameters: gradients)
    }

    private func scratch(rows: Int, length: Int) -> BackwardScratch {
        if let scratch, scratch.rows == rows, scratch.length == length { return scratch }
        let fresh = BackwardScratch(configuration, rows: rows, length: length)
        scratch = fresh
        return fresh
    }

    private func runHeadBackward(
        _ slot: StageActivations, _ scratch: BackwardScratch, gradients: UnsafeMutablePointer<Float>
    ) {
        let kernels = self.kernels.table.pointee
        let rows = slot.rows
        let width = configuration.width
        let vocabulary = configuration.vocabulary
        let table = UnsafePointer(weights.base + tokenTableOffset)
        kernels.gemm(
            workspace.base, vocabulary, width, rows, slot.logits.base, vocabulary, 1, slot.norm.base, width, 0,
            gradients + headGradientOffset, width, 0)
        kernels.gemm(
            workspace.base, rows, width, vocabulary, slot.logits.base, vocabulary, 0, table, width, 0,
            scratch.narrow.base, width, 0)
        let gain = finalNormOffset
        scratch.stream.base.update(repeating: 0, count: rows * width)
        kernels.layer_norm_backward(
            scratch.stream.base, gradients + gain, gradients + gain + width, scratch.narrow.base, slot.output.base,
            slot.normMean.base, slot.normScale.base, weights.base + gain, rows, width)
    }

    /// Turns `scratch.stream` from the gradient of the block's output into the gradient of its input.
    private func runBackward(
        _ block: BlockActivations, _ at: BlockOffsets, input: FloatBuffer, sequences: Int, length: Int,
        _ scratch: BackwardScratch, gradients: UnsafeMutablePointer<Float>
    ) {
        let kernels = self.kernels.table.pointee
        let rows = sequences * length
        let width = configuration.width
        let weight = UnsafePointer(weights.base)
        let stream = scratch.stream.base
        let narrow = scratch.narrow.base
        let wide = scratch.wide.base

        /// y = x w + bias, backwards: dw = xᵀ dy, dbias = column sums of dy, dx = dy wᵀ.
        func linear(
            _ dx: UnsafeMutablePointer<Float>, x: UnsafePointer<Float>, from inner: Int, to outer: Int, weightAt: Int,
            biasAt: Int, dy: UnsafePointer<Float>
        ) {
            kernels.gemm(
                workspace.base, inner, outer, rows, x, inner, 1, dy, outer, 0, gradients + weightAt, outer, 0)
            kernels.column_sums(gradients + biasAt, dy, rows, outer)
            kernels.gemm(workspace.base, rows, inner, outer, dy, outer, 0, weight + weightAt, outer, 1, dx, inner, 0)
        }

        linear(
            wide, x: block.activated.base, from: 4 * width, to: width, weightAt: at.contractWeight,
            biasAt: at.contractBias, dy: stream)
        kernels.gelu_backward(wide, wide, block.expanded.base, rows * 4 * width)
        linear(
            narrow, x: block.norm2.base, from: width, to: 4 * width, weightAt: at.expandWeight, biasAt: at.expandBias,
            dy: wide)
        kernels.layer_norm_backward(
            stream, gradients + at.norm2Gain, gradients + at.norm2Bias, narrow, block.middle.base,
            block.norm2Mean.base, block.norm2Scale.base, weight + at.norm2Gain, rows, width)

        linear(
            narrow, x: block.heads.base, from: width, to: width, weightAt: at.attentionOutWeight,
            biasAt: at.attentionOutBias, dy: stream)
        kernels.attention_backward(
            workspace.base, scratch.scores.base, wide, narrow, block.probabilities.base, block.qkv.base, sequences,
            length, configuration.heads, width)
        linear(
            narrow, x: block.norm1.base, from: width, to: 3 * width, weightAt: at.attentionWeight,
            biasAt: at.attentionBias, dy: wide)
        kernels.layer_norm_backward(
            stream, gradients + at.norm1Gain, gradients + at.norm1Bias, narrow, input.base, block.norm1Mean.base,
            block.norm1Scale.base, weight + at.norm1Gain, rows, width)
    }
}
