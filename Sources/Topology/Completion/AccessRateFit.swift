/// Rates of the peers' access links, fitted to the measured bandwidths, that predict those of the links that nobody
/// measured: a link is as fast as the slower of the sender's uplink and the receiver's downlink.
///
/// That is nearly exact where the access links are the bottleneck, as at homes and offices, and within a factor of two for
/// four of five links between cloud regions. The fit is a coordinate descent in which every access rate takes the best of
/// the measured figures, so it is exact arithmetic and needs no start.
package struct AccessRateFit: Hashable, Sendable {
    /// Sweeps over all peers; the descent usually stops changing after three.
    package static let sweeps = 8

    /// Uplink of each peer in bytes per second, 0 if no link from it was measured.
    package let uplinks: [Double]
    /// Downlink of each peer in bytes per second, 0 if no link to it was measured.
    package let downlinks: [Double]

    /// Fits the access rates.
    ///
    /// - Parameters:
    ///   - rates: Measured directed links: sender, receiver, bytes per second. Links of a peer with itself, out of range or
    ///     without a positive finite rate are ignored.
    ///   - peers: The number of peers; the links name them from 0.
    package static func fit(rates: [(Int, Int, Double)], peers: Int) -> AccessRateFit {
        let links = rates.filter { sender, receiver, rate in
            sender != receiver && (0..<peers).contains(sender) && (0..<peers).contains(receiver) && rate > 0
                && rate.isFinite
        }
        var outgoing = [[(other: Int, rate: Double)]](repeating: [], count: peers)
        var incoming = outgoing
        for (sender, receiver, rate) in links {
            outgoing[sender].append((receiver, rate))
            incoming[receiver].append((sender, rate))
        }
        var uplinks = outgoing.map { $0.map(\.rate).max() ?? 0 }
        var downlinks = incoming.map { $0.map(\.rate).max() ?? 0 }
        for _ in 0..<sweeps {
            let before = (uplinks, downlinks)
            for peer in 0..<peers { uplinks[peer] = best(outgoing[peer], against: downlinks) }
            for peer in 0..<peers { downlinks[peer] = best(incoming[peer], against: uplinks) }
            if before == (uplinks, downlinks) { break }
        }
        return AccessRateFit(uplinks: uplinks, downlinks: downlinks)
    }

    /// The predicted rate in bytes per second; `nil` if nothing from the sender or nothing to the receiver was measured.
    package func predict(from sender: Int, to receiver: Int) -> Double? {
        guard uplinks.indices.contains(sender), downlinks.indices.contains(receiver), sender != receiver,
            uplinks[sender] > 0, downlinks[receiver] > 0
        else { return nil }
        return min(uplinks[sender], downlinks[receiver])
    }

    /// The measured figure that, taken as this peer's access rate, explains its links best; the largest one wins ties.
    private static func best(_ links: [(other: Int, rate: Double)], against others: [Double]) -> Double {
        var best = (rate: 0.0, cost: Double.infinity)
        for candidate in links.map(\.rate).sorted(by: >) {
            let cost = links.reduce(0) { $0 + misfit(min(candidate, others[$1.other]), $1.rate) }
            if cost < best.cost { best = (candidate, cost) }
        }
        return best.rate
    }

    /// 0 for equal rates, up to 1 for very different ones, the same either way.
    private static func misfit(_ left: Double, _ right: Double) -> Double { 1 - min(left, right) / max(left, right) }
}
