package import Primitives

/// Available bandwidth from trains at several rates, after TOPP (Melander, Björkman and Gunningberg 2000): a train that is
/// sent no faster than what others leave free arrives as it was sent; a faster one shares a first-in-first-out link of
/// capacity C with the traffic that is there, and arrives slower by the factor (R + C − A) / C.
package enum AvailableFit {
    /// A train: the rate at which it was sent and the one at which it arrived.
    package struct Point: Hashable, Sendable {
        package var sent: Bandwidth
        package var arrived: Bandwidth

        package init(sent: Bandwidth, arrived: Bandwidth) {
            self.sent = sent
            self.arrived = arrived
        }
    }

    /// Rates of the trains as shares of the capacity.
    package static let shares = [0.2, 0.35, 0.5, 0.65, 0.8, 1.0]
    /// Trains at each rate.
    package static let repetitions = 4
    /// Fewer trains say nothing.
    private static let leastPoints = 6
    /// Candidates for A, evenly between 0 and C.
    private static let steps = 400

    /// The available bandwidth A, 0...C, with the least sum of absolute deviations, which single disturbed trains do not move;
    /// `nil` with too few trains.
    package static func fit(_ points: [Point], capacity: Bandwidth) -> Bandwidth? {
        let usable = points.filter { $0.sent > .zero && $0.arrived > .zero }
        guard usable.count >= leastPoints, capacity > .zero else { return nil }
        let ratios = usable.map { point in
            (
                share: point.sent.bytesPerSecond / capacity.bytesPerSecond,
                ratio: point.sent.bytesPerSecond / point.arrived.bytesPerSecond
            )
        }
        var best = (free: 1.0, deviation: Double.infinity)
        for step in 0...steps {
            let free = Double(step) / Double(steps)
            let deviation = ratios.reduce(0) { $0 + abs($1.ratio - max(1, $1.share + 1 - free)) }
            if deviation <= best.deviation { best = (free, deviation) }
        }
        return Bandwidth(bytesPerSecond: best.free * capacity.bytesPerSecond)
    }
}
