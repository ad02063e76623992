import CKernels

/// What enters a stage.
package enum StageInput: Sendable {
    /// On the first stage: sequences × length token numbers, one sequence after another.
    case tokens([Int32])
    /// On later stages: the previous stage's activations, [sequences × length, width].
    case activations([Float])
}

/// What leaves a stage.
package enum StageOutput: Sendable {
    /// From all but the last stage: [sequences × length, width].
    case activations([Float])
    /// From the last stage: the mean cross entropy of the micro-batch in nats per token.
    case loss(Float)
}

extension GPTStage {
    /// Runs the stage over one micro-batch and keeps its activations under `microBatch` until `backward` or `discard`
    /// (a second forward pass under the same number replaces them).
    ///
    /// `targets` (the next token of each position) belongs to the last stage and is ignored elsewhere.
    package func forward(
        _ input: StageInput, targets: [Int32] = [], sequences: Int, length: Int, microBatch: Int
    ) throws(ComputeError) -> StageOutput {
        try checkBatch(sequences: sequences, length: length)
        let rows = sequences * length
        if isLast { try checkTokens(targets, rows: rows, what: "The targets") }
        let slot = try fill(input, sequences: sequences, length: length)
        discard(microBatch: microBatch)
        active[microBatch] = slot
        runBlocks(slot)
        guard isLast else { return .activations(slot.output.array) }
        runHead(slot)
        return .loss(crossEntropy(slot, targets: targets))
    }

    /// The logits [sequences × length, vocabulary] of a whole model (a stage that is first and last); keeps nothing.
    package func logits(_ tokens: [Int32], sequences: Int, length: Int) throws(ComputeError) -> [Float] {
        guard isFirst, isLast else { throw .wrongStage("logits from tokens need a stage that holds the whole model") }
        try checkBatch(sequences: sequences, length: length)
        let slot = try fill(.tokens(tokens), sequences: sequences, length: length)
        defer { idle.append(slot) }
        runBlocks(slot)
        runHead(slot)
        return slot.logits.array
    }

    /// Forgets a micro-batch that will have no backward pass.
    package func discard(microBatch: Int) {
        if let slot = active.removeValue(forKey: microBatch) { idle.append(slot) }
    }

    private func checkBatch(sequences: Int, length: Int) throws(ComputeError) {
        guard sequences >= 1, sequences <= 1 << 20 else {
            throw .configuration("a micro-batch of \(sequences) sequences is not between 1 and \(1 << 20)")
        }
        guard length >= 1, length <= configuration.context else {
            throw .configuration("sequences of \(length) tokens do not fit a context of \(configuration.context)")
        }
    }

    private func checkTokens(_ tokens: [Int32], rows: Int, what: String) throws(ComputeError) {
        guard tokens.count == rows else { throw .shape(what: what, expected: rows, actual: tokens.count) }
        for token in tokens where token < 0 || Int(token) >= configuration.vocabulary {
            throw .token(token, vocabulary: configuration.vocabulary)
        }
    }

    /// Takes a set of activation buffers and writes the stage's input into it.
    private func fill(_ input: StageInput, sequences: Int, length: Int) throws(ComputeError) -> StageActivations {
        let rows = sequences * length
        switch input {
        case .tokens(let tokens):
            guard isFirst else { throw .wrongStage("tokens enter only the stage that holds block 0") }
            try checkTokens(tokens, rows: rows, what: "The batch")
            let slot = takeSlot(sequences: sequences, length: length)
            slot.tokens = tokens
            weft_embed(
                slot.input.base, tokens, weights.base + tokenTableOffset, weights.base + positionTableOffset, sequences,
                length, configuration.width)
            return slot
        case .activations(let values):
            guard !isFirst else { throw .wrongStage("the stage that holds block 0 takes tokens, not activations") }
            guard values.count == rows * configuration.width else {
                throw .shape(what: "The activations", expected: rows * configuration.width, actual: values.count)
            }
            let slot = takeSlot(sequences: sequences, length: length)
            slot.input.replace(at: 0, with: values)
            return slot
        }
    }

    private func takeSlot(sequences: Int, length: Int) -> StageActivations {
        if let index = idle.lastIndex(where: { $0.sequences == sequences && $0.length == length }) {
            return idle.remove(at: index)
        }
        // Buffers of another shape (a validation batch, say) are kept only until the next new shape comes along.
        idle.removeAll()
        return StageActivations(
            configuration, blocks: blocks.count, isLast: isLast, sequences: sequences, length: length)
    }

    private func runBlocks(_ slot: StageActivations) {
        var stream = slot.input
        for (offsets, block) in zip(blocks, slot.blocks) {
            run(block, offsets, input: stream, sequences: slot.sequences, length: slot.length)
            stream = block.output
        }
    }

    private func run(
        _ block: BlockActivations, _ at: BlockOffsets, input: FloatBuffer, sequences: Int, length: Int
    ) {
        let kernels = self.kernels.table.pointee
        let rows = sequences * length
        let width = configuration.width
        let weight = UnsafePointer(weights.base)
        let space = workspace.base

        kernels.layer_norm(
            block.norm1.base, block.norm1Mean.base, block.norm1Scale.base, input.base, weight + at.norm1Gain,
            weight + at.norm1Bias, rows, width)
        kernels.rows_start(block.qkv.base, nil, weight + at.attentionBias, rows, 3 * width)
        kernels.gemm(
            space, rows, 3 * width, width, block.norm1.base, width, 0, weight + at.attentionWeight, 3 * width, 0,
            block.qkv.base, 3 * width, 1)
        kernels.attention(
            space, block.heads.base, block.probabilities.base, block.qkv.base, sequences, length, configuration.heads,
            width)
        kernels.rows_start(block.middle.base, input.base, weight + at.attentionOutBias, rows, width)
        kernels.gemm(
            space, rows, width, width, block.heads.base, width, 0, weight + at.attentionOutWeight, width, 0,
            block.middle.base, width, 1)

        kernels.layer_norm(
            block.norm2.base, block.norm2Mean.base, block.norm2Scale.base, block.middle.base, weight + at.norm2Gain,
            weight + at.norm2Bias, rows, width)
        kernels.rows_start(block.expanded.base, nil, weight + at.expandBias, rows, 4 * width)
        kernels.gemm(
            space, rows, 4 * width, width, block.norm2.base, width, 0, weight + at.expandWeight, 4 * width, 0,
            block.expanded.base, 4 * width, 1)
        kernels.gelu(block.activated.base, block.expanded.base, rows * 4 * width)
        kernels.rows_start(block.output.base, block.middle.base, weight + at.contractBias, rows, width)
        kernels.gemm(
            space, rows, width, 4 * width, block.activated.base, 4 * width, 0, weight + at.contractWeight, width, 0,
            block.output.base, width, 1)
    }

    /// The final norm and the logits.
    private func runHead(_ slot: StageActivations) {
        let kernels = self.kernels.table.pointee
        let width = configuration.width
        let vocabulary = configuration.vocabulary
        let gain = UnsafePointer(weights.base + finalNormOffset)
        kernels.layer_norm(
            slot.norm.base, slot.normMean.base, slot.normScale.base, slot.output.base, gain, gain + width, slot.rows,
            width)
        kernels.gemm(
            workspace.base, slot.rows, vocabulary, width, slot.norm.base, width, 0, weights.base + tokenTableOffset,
            width, 1, slot.logits.base, vocabulary, 0)
    }

    /// The mean loss; the logits become their own gradient.
    private func crossEntropy(_ slot: StageActivations, targets: [Int32]) -> Float {
        let kernels = self.kernels.table.pointee
        let rows = slot.rows
        return withUnsafeTemporaryAllocation(of: Float.self, capacity: rows) { losses in
            guard let start = losses.baseAddress else { return 0 }
            kernels.cross_entropy(
                start, slot.logits.base, slot.logits.base, targets, rows, configuration.vocabulary, 1 / Float(rows))
            return kernels.sum(start, rows) / Float(rows)
        }
    }
}
