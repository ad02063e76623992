import CKernels

/// AdamW (Loshchilov and Hutter 2019) over one stage's parameters. Decay touches matrices only.
///
/// Not Sendable: it lives beside its stage, on one thread.
package final class AdamW {
    /// The constants of a run.
    package struct Configuration: Hashable, Sendable {
        package var beta1: Double
        package var beta2: Double
        package var epsilon: Double
        package var weightDecay: Double

        /// The defaults are those of GPT-3's training (Brown et al. 2020, appendix B) with PyTorch's epsilon.
        package init(beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8, weightDecay: Double = 0.1) {
            self.beta1 = beta1
            self.beta2 = beta2
            self.epsilon = epsilon
            self.weightDecay = weightDecay
        }
    }

    package let configuration: Configuration
    /// Name, shape and place of each number's moments: the stage's `parameterLayout`.
    package let layout: TensorLayout
    /// Steps taken so far; set when a run resumes.
    package private(set) var steps = 0
    private let first: FloatBuffer
    private let second: FloatBuffer

    package init(_ configuration: Configuration, for stage: GPTStage) {
        self.configuration = configuration
        layout = stage.parameterLayout
        first = FloatBuffer(count: layout.count)
        second = FloatBuffer(count: layout.count)
    }

    /// One step with the summed gradients of all micro-batches.
    ///
    /// - Parameters:
    ///   - gradients: flat in the stage's `gradientLayout` order; it is used up.
    ///   - tied: the other end's gradient of the shared token table, reduced over the micro-batches: "wte.head" on a
    ///     first stage, "wte.embed" on a last one, nil on every other and on a stage that holds both ends.
    ///   - scale: multiplies every gradient, usually 1 / micro-batches.
    package func step(
        _ stage: GPTStage, gradients: consuming [Float], tied: [Float]? = nil, learningRate: Double, scale: Float
    ) throws(ComputeError) {
        guard gradients.count == stage.gradientLayout.count, layout == stage.parameterLayout else {
            throw .shape(what: "The gradient", expected: stage.gradientLayout.count, actual: gradients.count)
        }
        let tableCount = stage.configuration.vocabulary * stage.configuration.width
        let needsTied = stage.isFirst != stage.isLast
        guard needsTied == (tied != nil) else {
            throw .wrongStage(
                needsTied
                    ? "the end of a split model needs the other end's gradient of the token table"
                    : "only the two ends of a split model share a gradient of the token table")
        }
        if let tied, tied.count != tableCount {
            throw .shape(what: "The token table's other gradient", expected: tableCount, actual: tied.count)
        }
        steps += 1
        var gradients = gradients
        gradients.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            join(stage, start, tied: tied, count: tableCount)
            for run in decayRuns { update(stage, start, run, learningRate: learningRate, scale: scale) }
        }
    }

    /// Adds the two gradients of the shared token table. Float addition commutes, so embed + head has the same bits on
    /// both ends.
    private func join(_ stage: GPTStage, _ gradients: UnsafeMutablePointer<Float>, tied: [Float]?, count: Int) {
        let kernels = stage.kernels.table.pointee
        let table = gradients + stage.tokenTableOffset
        if let tied {
            kernels.add(table, tied, count)
        } else if stage.isFirst, stage.isLast {
            kernels.add(table, gradients + stage.headGradientOffset, count)
        }
    }

    /// Neighbouring tensors with the same decay, joined so that the kernel runs over long stretches. The arithmetic is
    /// elementwise, so the cut does not touch the bits.
    private lazy var decayRuns: [(range: Range<Int>, decays: Bool)] = {
        var runs: [(range: Range<Int>, decays: Bool)] = []
        for slot in layout.slots {
            if let last = runs.last, last.decays == slot.isMatrix {
                runs[runs.count - 1].range = last.range.lowerBound..<slot.range.upperBound
            } else {
                runs.append((slot.range, slot.isMatrix))
            }
        }
        return runs
    }()

    private func update(
        _ stage: GPTStage, _ gradients: UnsafePointer<Float>, _ run: (range: Range<Int>, decays: Bool),
        learningRate: Double, scale: Float
    ) {
        let bias1 = 1 - Self.power(configuration.beta1, steps)
        let bias2 = 1 - Self.power(configuration.beta2, steps)
        var constants = weft_adamw_step(
            gradient_scale: scale,
            beta1: Float(configuration.beta1), one_minus_beta1: Float(1 - configuration.beta1),
            beta2: Float(configuration.beta2), one_minus_beta2: Float(1 - configuration.beta2),
            step_size: Float(learningRate / bias1),
            root_bias_correction: Float(bias2.squareRoot()),
            epsilon: Float(configuration.epsilon),
            decay: run.decays ? Float(1 - learningRate * configuration.weightDecay) : 1)
        let start = run.range.lowerBound
        stage.kernels.table.pointee.adamw(
            stage.weights.base + start, first.base + start, second.base + start, gradients + start, run.range.count,
            &constants)
    }

    /// base^exponent by repeated squaring: the same bits whether a run went straight through or resumed.
    static func power(_ base: Double, _ exponent: Int) -> Double {
        var result = 1.0
        var square = base
        var rest = exponent
        while rest > 0 {
            if rest & 1 == 1 { result *= square }
            square *= square
            rest >>= 1
        }
        return result
    }
}

// MARK: Checkpoints

extension AdamW {
    /// The running means of gradients and of squared gradients, flat in `layout` order.
    package var moments: (first: [Float], second: [Float]) { (first.array, second.array) }

    /// Continues from a checkpoint's moments and step count.
    package func restore(first: [Float], second: [Float], steps: Int) throws(ComputeError) {
        for moments in [first, second] where moments.count != layout.count {
            throw .shape(what: "The optimiser's state", expected: layout.count, actual: moments.count)
        }
        guard steps >= 0 else { throw .configuration("an optimiser cannot have taken \(steps) steps") }
        self.first.replace(at: 0, with: first)
        self.second.replace(at: 0, with: second)
        self.steps = steps
    }
}
