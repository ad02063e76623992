internal import Foundation

/// Places peers on a plane so that distance on the page tells round trip, by stress majorisation (SMACOF: de Leeuw,
/// "Applications of convex analysis to multidimensional scaling", 1977).
///
/// Distances are square roots of round trips: a data centre's microseconds and an ocean's tenth of a second then fit
/// on one page. Deterministic: it starts from a circle and iterates a fixed number of times.
struct GraphLayout {
    private static let iterations = 300

    /// Coordinates by peer, in arbitrary units.
    let points: [SIMD2<Double>]

    /// - Parameter roundTrips: seconds between each pair, `nil` where unknown.
    init(roundTrips: [[Double?]]) {
        let count = roundTrips.count
        let known = roundTrips.flatMap { $0.compactMap { $0 } }.filter { $0 > 0 }.sorted()
        let typical = known.isEmpty ? 0.01 : known[known.count / 2]
        // Peers on one machine still need room for their circles and names.
        let floor = sqrt(max(known.last ?? typical, 1e-6)) * 0.28
        let target: [[Double]] = (0..<count).map { row in
            (0..<count).map { column in
                let seconds = roundTrips[row][column] ?? roundTrips[column][row] ?? typical
                return row == column ? 0 : max(sqrt(max(seconds, 0)), floor)
            }
        }
        var points: [SIMD2<Double>] = (0..<count).map { index in
            let angle = 2 * Double.pi * Double(index) / Double(max(count, 1))
            return SIMD2(cos(angle), sin(angle)) * (target.joined().max() ?? 1) / 2
        }
        for _ in 0..<(count > 1 ? Self.iterations : 0) {
            // Guttman transform with equal weights.
            points = (0..<count).map { row in
                var sum = SIMD2<Double>()
                for column in 0..<count where column != row {
                    let difference = points[row] - points[column]
                    let length = max(sqrt((difference * difference).sum()), 1e-9)
                    sum += points[column] + difference * (target[row][column] / length)
                }
                return sum / Double(count - 1)
            }
            let centre = points.reduce(SIMD2<Double>(), +) / Double(count)
            points = points.map { $0 - centre }
        }
        self.points = points
    }

    /// The points moved and scaled into a rectangle, keeping proportions.
    func fitted(width: Double, height: Double, margin: Double) -> [SIMD2<Double>] {
        let low = points.reduce(SIMD2(repeating: .infinity)) { pointwiseMin($0, $1) }
        let high = points.reduce(SIMD2(repeating: -.infinity)) { pointwiseMax($0, $1) }
        let middle = SIMD2(width / 2, height / 2)
        guard points.count > 1 else { return points.map { _ in middle } }
        let extent = pointwiseMax(high - low, SIMD2(repeating: 1e-9))
        let scale = min((width - 2 * margin) / extent.x, (height - 2 * margin) / extent.y)
        return points.map { ($0 - (low + high) / 2) * scale + middle }
    }
}
