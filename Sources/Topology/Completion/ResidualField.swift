/// What a model leaves unexplained, spread over the pairs that were not measured: links whose ends are close to those of a
/// measured link err like it.
///
/// This is simple kriging (a Gaussian process) over pairs of peers whose covariance is the product of the ends'
/// similarities, with noise on every measurement. The covariance of all pairs is a Kronecker product that is never formed: the
/// conjugate gradient needs only its products with vectors, each of which costs measured pairs
/// times peers.
struct ResidualField: Sendable {
    private static let iterations = 60

    private let peers: Int
    private let kernel: [Double]
    /// Row of the receiver, column over senders: transposed, so that a look-up reads two contiguous rows.
    private let columns: [Double]

    /// - Parameters:
    ///   - kernel: Similarity of every two peers, 1 for a peer with itself; row-major, symmetric and positive definite.
    ///   - pairs: Measured pairs.
    ///   - residuals: What the model left unexplained of each.
    ///   - noise: Variance of what is not shared between similar pairs, in units of that which is.
    ///   - isSymmetric: Whether a pair stands for both directions.
    init(
        kernel: [Double], peers: Int, pairs: [(Int, Int)], residuals: [Double], noise: Double, isSymmetric: Bool
    ) {
        self.peers = peers
        self.kernel = kernel
        var operation = Operator(kernel: kernel, peers: peers, pairs: pairs, noise: noise, isSymmetric: isSymmetric)
        let weights = ConjugateGradient.solve(residuals, iterations: Self.iterations) { operation.apply($0) }
        columns = operation.spread(weights)
    }

    /// What to add to the model's prediction for a pair.
    func correction(_ left: Int, _ right: Int) -> Double {
        kernel.withUnsafeBufferPointer { kernel in
            columns.withUnsafeBufferPointer { columns in
                contiguousDot(kernel, left * peers, columns, right * peers, peers)
            }
        }
    }

    /// Products with the covariance of the measured pairs.
    private struct Operator {
        let kernel: [Double]
        let peers: Int
        let pairs: [(Int, Int)]
        let noise: Double
        let isSymmetric: Bool
        private var rows: [Double]

        init(kernel: [Double], peers: Int, pairs: [(Int, Int)], noise: Double, isSymmetric: Bool) {
            self.kernel = kernel
            self.peers = peers
            self.pairs = pairs
            self.noise = noise
            self.isSymmetric = isSymmetric
            rows = Array(repeating: 0, count: peers * peers)
        }

        /// The transpose of W·K, where W holds the weights at their pairs' positions.
        mutating func spread(_ weights: [Double]) -> [Double] {
            for index in rows.indices { rows[index] = 0 }
            rows.withUnsafeMutableBufferPointer { rows in
                kernel.withUnsafeBufferPointer { kernel in
                    for (pair, weight) in zip(pairs, weights) {
                        let (left, right) = (pair.0 * peers, pair.1 * peers)
                        for column in 0..<peers { rows[left + column] += weight * kernel[right + column] }
                        guard isSymmetric else { continue }
                        for column in 0..<peers { rows[right + column] += weight * kernel[left + column] }
                    }
                }
            }
            var columns = rows
            for row in 0..<peers {
                for column in 0..<peers { columns[column * peers + row] = rows[row * peers + column] }
            }
            return columns
        }

        mutating func apply(_ weights: [Double]) -> [Double] {
            let columns = spread(weights)
            return columns.withUnsafeBufferPointer { columns in
                kernel.withUnsafeBufferPointer { kernel in
                    zip(pairs, weights).map { pair, weight in
                        noise * weight + contiguousDot(kernel, pair.0 * peers, columns, pair.1 * peers, peers)
                    }
                }
            }
        }
    }
}
