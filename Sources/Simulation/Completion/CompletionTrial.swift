import Overlay
import Primitives
package import Topology

/// Measures some links of a known network, predicts the others and holds the predictions against the truth.
package struct CompletionTrial: Sendable {
    /// Which links are measured.
    package enum Choice: String, CaseIterable, Sendable {
        /// As live peers choose: mostly by rendezvous hash, a quarter the nearest.
        case rendezvous
        /// Every peer draws its partners by itself.
        case random
    }

    /// How far predictions were off.
    package struct Errors: Codable, Hashable, Sendable {
        /// Of the unmeasured links, relative.
        package var median: Double
        package var ninetieth: Double
        /// Share of the truths inside the predictions' intervals, which are meant to hold nine of ten.
        package var covered: Double
        package var count: Int

        /// From pairs of a truth and its prediction.
        init(_ pairs: [(truth: Double, prediction: Prediction)]) {
            let errors = pairs.map { abs($0.prediction.value - $0.truth) / $0.truth }.sorted()
            count = errors.count
            median = errors.isEmpty ? 0 : errors[errors.count / 2]
            ninetieth = errors.isEmpty ? 0 : errors[min(errors.count - 1, errors.count * 9 / 10)]
            let inside = pairs.count { abs(Elementary.log($0.truth / $0.prediction.value)) <= $0.prediction.spread }
            covered = errors.isEmpty ? 1 : Double(inside) / Double(errors.count)
        }
    }

    /// 2⌈log₂ N⌉, and at least 8: as many partners as live peers choose.
    package static func partnerCount(peers: Int) -> Int {
        min(peers - 1, max(8, 2 * (Int.bitWidth - max(1, peers - 1).leadingZeroBitCount)))
    }

    /// The measured pairs, the smaller index first, in order.
    package let pairs: [(Int, Int)]
    private let network: TrueNetwork
    private let seed: UInt64

    /// - Parameter partners: Partners that every peer chooses; others choose it, too, so it has more.
    package init(_ network: TrueNetwork, choice: Choice, partners: Int, seed: UInt64) {
        self.network = network
        self.seed = seed
        var generator = SeededGenerator(seed: seed)
        var chosen = [Bool](repeating: false, count: network.count * network.count)
        let members = Self.identities(network.count, &generator)
        for peer in 0..<network.count {
            let others = (0..<network.count).filter { $0 != peer && network.roundTrip(peer, $0) != nil }
            let wanted: [Int]
            switch choice {
            case .random:
                var order = others
                generator.shuffle(&order)
                wanted = Array(order.prefix(partners))
            case .rendezvous:
                let nearest = others.sorted {
                    (network.roundTrip(peer, $0) ?? 0, $0) < (network.roundTrip(peer, $1) ?? 0, $1)
                }
                let index = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1, $0) })
                wanted = PartnerSelection.partners(
                    of: members[peer], among: others.map { members[$0] }.sorted(),
                    nearest: nearest.prefix(16).map { members[$0] }, wanted: partners
                ).compactMap { index[$0] }
            }
            for other in wanted { chosen[min(peer, other) * network.count + max(peer, other)] = true }
        }
        pairs = (0..<(network.count * network.count)).filter { chosen[$0] }.map {
            ($0 / network.count, $0 % network.count)
        }
    }

    private static func identities(_ count: Int, _ generator: inout SeededGenerator) -> [PeerID] {
        (0..<count).compactMap { _ in PeerID(bytes: (0..<32).map { _ in UInt8(truncatingIfNeeded: generator.next()) }) }
    }

    private func roundTripModel() -> RoundTripModel {
        RoundTripModel.fit(
            roundTrips: pairs.compactMap { left, right in
                network.roundTrip(left, right).map { (left, right, $0) }
            }, peers: network.count, seed: seed)
    }

    /// Errors of the predicted rates of all unmeasured links, both directions, and the model that was chosen.
    package func rates() -> (errors: Errors, kind: RateModel.Kind) {
        let count = network.count
        let places = roundTripModel()
        var roundTrips = [Double](repeating: 0, count: count * count)
        for left in 0..<count {
            for right in 0..<count where right != left {
                roundTrips[left * count + right] = places.predict(left, right)?.value ?? 0
            }
        }
        for (left, right) in pairs {
            let measured = network.roundTrip(left, right) ?? 0
            roundTrips[left * count + right] = measured
            roundTrips[right * count + left] = measured
        }
        let measured = pairs.flatMap { [($0.0, $0.1), ($0.1, $0.0)] }.compactMap { sender, receiver in
            network.rate(from: sender, to: receiver).map { (sender, receiver, $0) }
        }
        let model = RateModel.fit(rates: measured, roundTrips: roundTrips, model: places, peers: count, seed: seed)
        let others = unmeasured.flatMap { [($0.0, $0.1), ($0.1, $0.0)] }
        return (
            Errors(
                others.compactMap { sender, receiver in
                    guard let truth = network.rate(from: sender, to: receiver),
                        let prediction = model.predict(from: sender, to: receiver)
                    else { return nil }
                    return (truth, prediction)
                }), model.kind
        )
    }

    /// Errors of the predicted round trips of all unmeasured pairs.
    package func roundTrips() -> Errors {
        let model = roundTripModel()
        return Errors(
            unmeasured.compactMap { left, right in
                guard let truth = network.roundTrip(left, right), let prediction = model.predict(left, right) else {
                    return nil
                }
                return (truth, prediction)
            })
    }

    /// Pairs that were not measured, the smaller index first.
    private var unmeasured: [(Int, Int)] {
        var measured = [Bool](repeating: false, count: network.count * network.count)
        for (left, right) in pairs { measured[left * network.count + right] = true }
        return (0..<network.count).flatMap { left in
            ((left + 1)..<max(left + 1, network.count)).filter { !measured[left * network.count + $0] }
                .map { (left, $0) }
        }
    }
}
