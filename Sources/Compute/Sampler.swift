import CKernels
package import Primitives

/// How the next token is drawn from a model's logits.
package struct Sampler: Sendable {
    /// Divides the logits; below 1 bolder, above 1 more varied, 0 (as anything below 0.0001) always the likeliest token.
    package var temperature: Double
    /// Only the likeliest so many tokens are drawn; 0 means all.
    package var topK: Int
    private let kernels: Kernels

    package init(temperature: Double = 0.8, topK: Int = 0, kernels: Kernels = .best) {
        self.temperature = temperature
        self.topK = topK
        self.kernels = kernels
    }

    /// One token from `logits` (one number a token; at least one). Ties go to the smaller token number.
    package func draw(_ logits: [Float], using generator: inout SeededGenerator) -> Int32 {
        // Sorting by (logit, number) fixes the order of ties, and with it the draw, for every platform.
        let order = logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }
        guard temperature >= 1e-4 else { return Int32(order[0]) }
        let candidates = order.prefix(topK > 0 ? topK : order.count)
        var shares = candidates.map { logits[$0] }
        shares.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            kernels.table.pointee.softmax(start, buffer.count, Float(1 / temperature))
        }
        var rest = generator.unit() * shares.reduce(0) { $0 + Double($1) }
        for (candidate, share) in zip(candidates, shares) {
            rest -= Double(share)
            if rest < 0 { return Int32(candidate) }
        }
        return Int32(candidates[candidates.count - 1])
    }
}
