internal import Primitives

/// Predicts rates between peers that come in kinds, as the regions of cloud providers do, from low-rank factors of the
/// logarithms of the measured rates.
///
/// What makes peers alike is not known beforehand. It is found in turns: a first field is interpolated with each peer's fastest
/// links as its traits; the completed matrix, less what the round trip explains, is factorised, the factors become the
/// traits, and the field is interpolated anew.
struct FactorisedRates: Sendable {
    private static let rank = 3
    private static let rounds = 2
    /// A peer's fastest link is the one at this quantile.
    private static let fastQuantile = 0.95

    private let peers: Int
    private let logRates: [Double]
    private let measuresOut: [Bool]
    private let measuresIn: [Bool]

    /// - Parameters:
    ///   - links: Measured directed links and their bytes per second, all positive and in range.
    ///   - access: The same links' access fit, which the first field departs from.
    init(_ links: [(Int, Int, Double)], access: AccessRateFit, ground: RateField.Ground) {
        peers = ground.peers
        let logged = links.map { ($0.0, $0.1, Elementary.log($0.2)) }
        let sorted = logged.map(\.2).sorted()
        let median = sorted.isEmpty ? 0 : sorted[sorted.count / 2]
        var outgoing = [[Double]](repeating: [], count: peers)
        var incoming = outgoing
        for (sender, receiver, rate) in logged {
            outgoing[sender].append(rate)
            incoming[receiver].append(rate)
        }
        measuresOut = outgoing.map { !$0.isEmpty }
        measuresIn = incoming.map { !$0.isEmpty }
        let constant = [Double](repeating: median, count: peers * peers)
        var base = constant
        for sender in 0..<peers {
            for receiver in 0..<peers where receiver != sender {
                if let rate = access.predict(from: sender, to: receiver) {
                    base[sender * peers + receiver] = Elementary.log(rate)
                }
            }
        }
        let fastest = (0..<peers).map { [Self.fast(outgoing[$0], median), Self.fast(incoming[$0], median)] }
        var field = RateField(logged, base: base, traits: fastest, ground: ground)
        for _ in 0..<Self.rounds {
            field = RateField(
                logged, base: constant, traits: Self.traits(field, logged, ground: ground), ground: ground)
        }
        logRates = field.logRates
    }

    /// Bytes per second; `nil` if nothing from the sender or nothing to the receiver was measured.
    func predict(from sender: Int, to receiver: Int) -> Double? {
        guard sender != receiver, measuresOut.indices.contains(sender), measuresIn.indices.contains(receiver),
            measuresOut[sender], measuresIn[receiver]
        else { return nil }
        return Elementary.exp(logRates[sender * peers + receiver])
    }

    private static func fast(_ rates: [Double], _ median: Double) -> Double {
        guard !rates.isEmpty else { return median }
        let position = fastQuantile * Double(rates.count - 1)
        let sorted = rates.sorted()
        let lower = sorted[Int(position)]
        return lower + (sorted[min(rates.count - 1, Int(position) + 1)] - lower) * (position - position.rounded(.down))
    }

    /// The factors of what the round trip does not explain of the completed matrix.
    private static func traits(
        _ field: RateField, _ links: [(Int, Int, Double)], ground: RateField.Ground
    ) -> [[Double]] {
        let peers = ground.peers
        var matrix = field.logRates
        for (sender, receiver, rate) in links { matrix[sender * peers + receiver] = rate }
        let trend = QuadraticTrend(
            (0..<(peers * peers)).filter { $0 / peers != $0 % peers }.map { (ground.logRoundTrips[$0], matrix[$0]) })
        for position in matrix.indices {
            matrix[position] =
                position / peers == position % peers
                ? 0 : matrix[position] - trend.value(at: ground.logRoundTrips[position])
        }
        let (rows, columns) = LowRankFactors.factors(of: matrix, count: peers, rank: rank)
        let scale = 1 / Double(peers).squareRoot()
        return (0..<peers).map { (rows[$0] + columns[$0]).map { $0 * scale } }
    }
}

/// A parabola through points, by least squares.
struct QuadraticTrend {
    private let centre: Double
    private let coefficients: [Double]

    init(_ points: [(x: Double, y: Double)]) {
        let centre = points.isEmpty ? 0 : points.reduce(0) { $0 + $1.x } / Double(points.count)
        self.centre = centre
        // Normal equations, with a ridge that matters only where all x are equal.
        var moments = [Double](repeating: 0, count: 5)
        var right = [Double](repeating: 0, count: 3)
        for (x, y) in points {
            let distance = x - centre
            var power = 1.0
            for degree in 0..<5 {
                moments[degree] += power
                if degree < 3 { right[degree] += power * y }
                power *= distance
            }
        }
        var rows: [[Double]] = []
        for row in 0..<3 {
            var equation = Array(moments[row..<(row + 3)])
            equation[row] += 1e-9
            rows.append(equation + [right[row]])
        }
        for pivot in 0..<3 {
            for row in 0..<3 where row != pivot {
                let factor = rows[row][pivot] / rows[pivot][pivot]
                for column in pivot..<4 { rows[row][column] -= factor * rows[pivot][column] }
            }
        }
        coefficients = (0..<3).map { rows[$0][3] / rows[$0][$0] }
    }

    func value(at x: Double) -> Double {
        let distance = x - centre
        return coefficients[0] + distance * (coefficients[1] + distance * coefficients[2])
    }
}
