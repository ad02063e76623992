internal import Foundation
package import Pipeline

/// How well a model does that knows nothing but how frequent each byte is: the figure that training has to beat.
package struct UnigramBaseline: Hashable, Sendable {
    /// Cross entropy of the held-out bytes under the training bytes' frequencies, in nats a byte.
    package let nats: Double

    /// `nil` if the job holds nothing out. Frequencies are smoothed by one count a byte value (Laplace), so that a byte
    /// which training never saw costs much but not everything.
    package init?(spec: JobSpec, text: [UInt8]) {
        guard let sampler = BatchSampler(spec: spec, tokenCount: text.count), !sampler.validationTokens.isEmpty else {
            return nil
        }
        var counts = [Double](repeating: 1, count: 256)
        for byte in text[sampler.trainingTokens] { counts[Int(byte)] += 1 }
        let total = counts.reduce(0, +)
        let costs = counts.map { -log($0 / total) }
        let held = text[sampler.validationTokens]
        nats = held.reduce(0) { $0 + costs[Int($1)] } / Double(held.count)
    }
}
