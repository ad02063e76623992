internal import Primitives

/// Logarithms of rates over all directed pairs of peers, interpolated from measured ones: links of similar peers over
/// similar round trips, or between the same neighbourhoods, are similarly fast.
///
/// A Gaussian process over pairs. Its covariance is the similarity of both ends' traits times the sum of two terms, one that
/// falls with the difference of the round trips and one that falls with the distance of the ends' places.
struct RateField: Sendable {
    /// What is known of all peers and pairs.
    struct Ground: Sendable {
        var peers: Int
        /// Similarity of every two peers' places, 1 for equal ones; row-major.
        var places: [Double]
        /// ln(round trip) of every pair, row-major.
        var logRoundTrips: [Double]
    }

    /// Difference of ln(rate) traits over which similarity falls to e^(−1/2).
    private static let traitWidth = 0.5
    /// Difference of ln(round trip) over which similarity falls to e^(−1/2).
    private static let roundTripWidth = 1.0
    /// Variance of what similar links do not share, the field's own being 2.
    private static let noise = 0.1
    private static let iterations = 150
    /// A residual counts as at most so many median ones.
    private static let largestResidual = 8.0
    /// Beyond this many measured links the matrix of their covariances is not formed, and round trips do not count.
    private static let manyLinks = 2000

    /// ln(rate) of all pairs, row-major; the diagonal means nothing.
    let logRates: [Double]

    /// - Parameters:
    ///   - links: Measured directed links with ln(rate).
    ///   - base: ln(rate) that the field departs from, of every pair.
    ///   - traits: Of each peer, figures that are alike for alike peers.
    init(_ links: [(Int, Int, Double)], base: [Double], traits: [[Double]], ground: Ground) {
        let residuals = Self.residuals(links, base: base, peers: ground.peers)
        let kin = Self.similarities(of: traits, width: Self.traitWidth)
        guard links.count <= Self.manyLinks else {
            let field = ResidualField(
                kernel: zip(kin, ground.places).map { $0 * $1 }, peers: ground.peers,
                pairs: links.map { ($0.0, $0.1) }, residuals: residuals, noise: Self.noise, isSymmetric: false)
            logRates = (0..<(ground.peers * ground.peers)).map {
                base[$0] + field.correction($0 / ground.peers, $0 % ground.peers)
            }
            return
        }
        let covariance = Covariance(links: links, kin: kin, ground: ground)
        let count = links.count
        let matrix = (0..<count).flatMap { covariance.row(sender: links[$0].0, receiver: links[$0].1) }
        let weights = ConjugateGradient.solve(residuals, iterations: Self.iterations) { vector in
            vector.withUnsafeBufferPointer { vector in
                matrix.withUnsafeBufferPointer { matrix in
                    (0..<count).map { row in
                        Self.noise * vector[row] + contiguousDot(matrix, row * count, vector, 0, count)
                    }
                }
            }
        }
        var logRates = base
        for sender in 0..<ground.peers {
            for receiver in 0..<ground.peers where receiver != sender {
                let row = covariance.row(sender: sender, receiver: receiver)
                logRates[sender * ground.peers + receiver] += row.withUnsafeBufferPointer { row in
                    weights.withUnsafeBufferPointer { contiguousDot(row, 0, $0, 0, count) }
                }
            }
        }
        self.logRates = logRates
    }

    private static func residuals(_ links: [(Int, Int, Double)], base: [Double], peers: Int) -> [Double] {
        let residuals = links.map { $0.2 - base[$0.0 * peers + $0.1] }
        let sorted = residuals.sorted()
        let centre = sorted.isEmpty ? 0 : sorted[sorted.count / 2]
        let sizes = residuals.map { abs($0 - centre) }.sorted()
        let limit = largestResidual * (sizes.isEmpty ? 0 : sizes[sizes.count / 2])
        return residuals.map { max(centre - limit, min(centre + limit, $0)) }
    }

    /// exp(−½ (distance / width)²) of every two peers' traits.
    private static func similarities(of traits: [[Double]], width: Double) -> [Double] {
        traits.flatMap { left in
            traits.map { right in
                let square = zip(left, right).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
                return Elementary.exp(-square / (2 * width * width))
            }
        }
    }

    /// Covariances of any link with the measured ones.
    private struct Covariance {
        /// Half the variance of ln(round trip) similarity: the bell curve is read from a table, linearly.
        private static let stepsPerUnit = 64.0
        private static let bell: [Double] = (0...(64 * 6 + 1)).map { step in
            let distance = Double(step) / stepsPerUnit / roundTripWidth
            return Elementary.exp(-distance * distance / 2)
        }

        let senders: [Int]
        let receivers: [Int]
        let logRoundTrips: [Double]
        let kin: [Double]
        let ground: Ground

        init(links: [(Int, Int, Double)], kin: [Double], ground: Ground) {
            senders = links.map(\.0)
            receivers = links.map(\.1)
            logRoundTrips = links.map { ground.logRoundTrips[$0.0 * ground.peers + $0.1] }
            self.kin = kin
            self.ground = ground
        }

        func row(sender: Int, receiver: Int) -> [Double] {
            let (from, to) = (sender * ground.peers, receiver * ground.peers)
            let own = ground.logRoundTrips[from + receiver]
            return [Double](unsafeUninitializedCapacity: senders.count) { buffer, count in
                for link in senders.indices {
                    let (left, right) = (from + senders[link], to + receivers[link])
                    let position = min(6, abs(own - logRoundTrips[link])) * Self.stepsPerUnit
                    let step = Int(position)
                    let rest = position - Double(step)
                    let bell = Self.bell[step] * (1 - rest) + Self.bell[step + 1] * rest
                    buffer.initializeElement(
                        at: link, to: kin[left] * kin[right] * (bell + ground.places[left] * ground.places[right]))
                }
                count = senders.count
            }
        }
    }
}
