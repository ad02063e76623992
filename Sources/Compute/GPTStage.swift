import CKernels

/// A contiguous range of a GPT-2 model's blocks with hand-written forward and backward passes (after Karpathy's llm.c,
/// 2024). A stage that starts at block 0 owns the embeddings, one that ends at the last block the final norm and the
/// output head; a stage may be both.
///
/// The arithmetic does not depend on the split: any stages that together cover the model give the same loss, the same
/// gradients and, with `AdamW`, the same weights, bit for bit, on every machine. Not Sendable: it lives on one thread.
package final class GPTStage {
    package let configuration: GPTConfiguration
    /// The blocks of this stage.
    package let layers: Range<Int>
    /// Name, shape and place of each parameter in `parameters`.
    package let parameterLayout: TensorLayout
    /// Name, shape and place of each gradient in what `backward` returns.
    package let gradientLayout: TensorLayout
    package let kernels: Kernels

    let weights: FloatBuffer
    let workspace: FloatBuffer
    let blocks: [BlockOffsets]
    var active: [Int: StageActivations] = [:]
    var idle: [StageActivations] = []
    var scratch: BackwardScratch?

    /// A stage with fresh weights: layer norms at one and zero, biases zero, everything else normal with deviation 0.02,
    /// the projections back into the residual stream divided by √(2 layers) (GPT-2's choice). Each number depends on the
    /// seed, the tensor's name and its index only, not on the split.
    package init(
        configuration: GPTConfiguration, layers: Range<Int>, seed: UInt64, kernels: Kernels = .best
    ) throws(ComputeError) {
        guard !layers.isEmpty, layers.lowerBound >= 0, layers.upperBound <= configuration.layers else {
            throw .configuration("blocks \(layers) are not among the model's 0..<\(configuration.layers)")
        }
        self.configuration = configuration
        self.layers = layers
        self.kernels = kernels
        parameterLayout = .parameters(configuration, layers: layers)
        gradientLayout = .gradients(configuration, layers: layers)
        weights = FloatBuffer(count: parameterLayout.count)
        workspace = FloatBuffer(count: Int(weft_workspace_floats()))
        let layout = parameterLayout
        blocks = layers.map { layer in
            BlockOffsets(start: layout.range(ofLayer: layer)?.lowerBound ?? 0, width: configuration.width)
        }
        for slot in parameterLayout.slots { initialise(slot, seed: seed) }
    }

    /// Whether the stage owns the embeddings.
    package var isFirst: Bool { layers.lowerBound == 0 }
    /// Whether the stage owns the final norm, the output head and the loss.
    package var isLast: Bool { layers.upperBound == configuration.layers }

    private func initialise(_ slot: TensorSlot, seed: UInt64) {
        let start = weights.base + slot.offset
        if slot.isMatrix {
            var deviation: Float = 0.02
            if slot.name.hasSuffix("c_proj.weight") { deviation /= Float(2 * configuration.layers).squareRoot() }
            weft_fill_normal(start, Self.key(seed: seed, name: slot.name), deviation, 0, slot.count)
        } else if slot.name.hasSuffix(".weight") {
            start.update(repeating: 1, count: slot.count)
        }
    }

    /// The counter's key for one tensor: FNV-1a over the seed's bytes and the name.
    static func key(seed: UInt64, name: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func mix(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        for shift in stride(from: UInt64(0), to: 64, by: 8) { mix(UInt8(truncatingIfNeeded: seed >> shift)) }
        for byte in name.utf8 { mix(byte) }
        return hash
    }
}

// MARK: Parameters

extension GPTStage {
    /// All parameters in `parameterLayout` order.
    package var parameters: [Float] { weights.array }

    /// The parameter named as in `parameterLayout`.
    package func parameter(_ name: String) throws(ComputeError) -> [Float] {
        guard let slot = parameterLayout[name] else { throw .unknownTensor(name) }
        return weights.array(slot.range)
    }

    /// Replaces one parameter.
    package func setParameter(_ name: String, _ values: [Float]) throws(ComputeError) {
        guard let slot = parameterLayout[name] else { throw .unknownTensor(name) }
        guard slot.count == values.count else {
            throw .shape(what: "Parameter \(name)", expected: slot.count, actual: values.count)
        }
        weights.replace(at: slot.offset, with: values)
    }

    /// Replaces all parameters, given in `parameterLayout` order.
    package func setParameters(_ values: [Float]) throws(ComputeError) {
        guard values.count == weights.count else {
            throw .shape(what: "The stage's parameters", expected: weights.count, actual: values.count)
        }
        weights.replace(at: 0, with: values)
    }

    /// The offset of the shared token table, which first and last stages hold.
    var tokenTableOffset: Int { parameterLayout["wte.weight"]?.offset ?? 0 }
    var positionTableOffset: Int { parameterLayout["wpe.weight"]?.offset ?? 0 }
    var finalNormOffset: Int { parameterLayout["ln_f.weight"]?.offset ?? 0 }
    var headGradientOffset: Int { gradientLayout["wte.head"]?.offset ?? 0 }
}
