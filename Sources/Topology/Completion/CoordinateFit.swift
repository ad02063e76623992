internal import Primitives

/// Positions of peers in an eight-dimensional space with heights, fitted to the measured round trips, that predict those of
/// the pairs that nobody measured.
///
/// A round trip is modelled as the distance of two positions plus both heights; the height is what a packet spends on the
/// access link whoever it goes to (Dabek, Cox, Kaashoek and Morris 2004). Every peer fits the whole gossiped set in one
/// batch, which needs far fewer measurements per peer than the online algorithm of that paper, and has no protocol that a
/// liar could disturb beyond its own links. The fit minimises the Huber loss of the relative errors by Adam (Kingma and Ba
/// 2014) from a seeded start; it uses only correctly rounded operations, so all machines get the same bits.
package struct CoordinateFit: Hashable, Sendable {
    /// Dimensions of a position.
    package static let dimensions = 8
    /// Steps of the descent; half as many cost about a point of accuracy.
    package static let steps = 600

    private static let width = dimensions + 1  // a position and its height
    private static let learningRate = 0.05
    /// Relative error from which on an edge only pulls with constant force, so that routes that violate the triangle
    /// inequality do not bend the whole space.
    private static let huber = 0.3
    /// Round trips below this share of the median are weighted like it.
    private static let leastShare = 0.02

    private let parameters: [Double]
    private let scale: Double
    private let peers: Int

    /// Fits the positions.
    ///
    /// - Parameters:
    ///   - roundTrips: Measured pairs of peers, in either order, with the round trip in seconds. Pairs of a peer with
    ///     itself, out of range or without a positive finite time are ignored.
    ///   - peers: The number of peers; the pairs name them from 0.
    ///   - seed: Chooses the start. Peers that fit the same pairs in the same order with the same seed get the same bits.
    package static func fit(roundTrips: [(Int, Int, Double)], peers: Int, seed: UInt64) -> CoordinateFit {
        CoordinateFit(roundTrips, peers, seed)
    }

    /// The predicted round trip in seconds; `nil` if no pair was measured. A peer that has no measured pair is predicted near
    /// the middle.
    package func predict(_ left: Int, _ right: Int) -> Double? {
        guard scale > 0, left != right, (0..<peers).contains(left), (0..<peers).contains(right) else { return nil }
        let heights = parameters[left * Self.width + Self.dimensions] + parameters[right * Self.width + Self.dimensions]
        return (distance(left, right) + heights) * scale
    }

    /// exp(−distance / reach) of every two peers' positions, row-major; heights do not count.
    ///
    /// - Parameter reach: In medians of the measured round trips.
    func similarities(reach: Double) -> [Double] {
        var result = [Double](repeating: 1, count: peers * peers)
        guard scale > 0 else { return result }
        for left in 0..<peers {
            for right in 0..<left {
                let similarity = Elementary.exp(-distance(left, right) / reach)
                result[left * peers + right] = similarity
                result[right * peers + left] = similarity
            }
        }
        return result
    }

    private func distance(_ left: Int, _ right: Int) -> Double {
        var square = 0.0
        for dimension in 0..<Self.dimensions {
            let difference = parameters[left * Self.width + dimension] - parameters[right * Self.width + dimension]
            square += difference * difference
        }
        return square.squareRoot()
    }

    private init(_ roundTrips: [(Int, Int, Double)], _ peers: Int, _ seed: UInt64) {
        let edges = roundTrips.filter { left, right, seconds in
            left != right && (0..<peers).contains(left) && (0..<peers).contains(right) && seconds > 0
                && seconds.isFinite
        }
        self.peers = peers
        let sorted = edges.map(\.2).sorted()
        guard let median = sorted.isEmpty ? nil : sorted[sorted.count / 2] else {
            parameters = []
            scale = 0
            return
        }
        scale = median
        let targets = edges.map { $0.2 / median }
        var fitted = Self.start(peers, seed)
        Self.descend(&fitted, edges.map { ($0.0, $0.1) }, targets)
        parameters = fitted
    }

    /// Small random positions, so that no two peers coincide, and a tenth of the median as height.
    private static func start(_ peers: Int, _ seed: UInt64) -> [Double] {
        var generator = SeededGenerator(seed: seed)
        return (0..<(peers * width)).map { index in
            // The sum of three uniform numbers is near enough to a normal one.
            index % width == dimensions
                ? 0.1 : (generator.unit() + generator.unit() + generator.unit() - 1.5) * 0.6
        }
    }

    private static func descend(_ parameters: inout [Double], _ edges: [(Int, Int)], _ targets: [Double]) {
        let count = parameters.count
        var gradient = [Double](repeating: 0, count: count)
        var mean = gradient
        var variance = gradient
        var meanBias = 1.0
        var varianceBias = 1.0
        for step in 0..<steps {
            accumulate(parameters, edges, targets, into: &gradient)
            meanBias *= 0.9
            varianceBias *= 0.999
            let rate = learningRate * (1 - Double(step + 1) / Double(steps))
            parameters.withUnsafeMutableBufferPointer { parameters in
                for index in 0..<count {
                    mean[index] = 0.9 * mean[index] + 0.1 * gradient[index]
                    variance[index] = 0.999 * variance[index] + 0.001 * gradient[index] * gradient[index]
                    let size = (variance[index] / (1 - varianceBias)).squareRoot() + 1e-9
                    parameters[index] -= rate * (mean[index] / (1 - meanBias)) / size
                    if index % width == dimensions { parameters[index] = max(0, parameters[index]) }
                }
            }
        }
    }

    /// The gradient of the loss.
    private static func accumulate(
        _ parameters: [Double], _ edges: [(Int, Int)], _ targets: [Double], into gradient: inout [Double]
    ) {
        for index in gradient.indices { gradient[index] = 0 }
        gradient.withUnsafeMutableBufferPointer { gradient in
            parameters.withUnsafeBufferPointer { parameters in
                for (edge, target) in zip(edges, targets) {
                    let left = edge.0 * width
                    let right = edge.1 * width
                    var square = 1e-9
                    for dimension in 0..<dimensions {
                        let difference = parameters[left + dimension] - parameters[right + dimension]
                        square += difference * difference
                    }
                    let distance = square.squareRoot()
                    let predicted = distance + parameters[left + dimensions] + parameters[right + dimensions]
                    let weight = 1 / max(target, leastShare)
                    let pull = max(-1, min(1, (predicted - target) * weight / huber)) * weight
                    for dimension in 0..<dimensions {
                        let part = pull * (parameters[left + dimension] - parameters[right + dimension]) / distance
                        gradient[left + dimension] += part
                        gradient[right + dimension] -= part
                    }
                    gradient[left + dimensions] += pull
                    gradient[right + dimensions] += pull
                }
            }
        }
    }
}
