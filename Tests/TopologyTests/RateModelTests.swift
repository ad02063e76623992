import Primitives
import Testing

@testable import Topology

/// Prediction of rates, and which model is chosen for which network.
struct RateModelTests {
    private static let peers = 24

    /// Links of every second pair with rates by this rule; everyone is equally far from everyone.
    private static func model(_ rate: (Int, Int) -> Double) -> RateModel {
        var links: [(Int, Int, Double)] = []
        for sender in 0..<peers {
            for receiver in 0..<peers where receiver != sender && isMeasured(sender, receiver) {
                links.append((sender, receiver, rate(sender, receiver)))
            }
        }
        let places = RoundTripModel.fit(
            roundTrips: links.filter { $0.0 < $0.1 }.map { ($0.0, $0.1, 0.02) }, peers: peers, seed: 1)
        return RateModel.fit(
            rates: links, roundTrips: Array(repeating: 0.02, count: peers * peers), model: places, peers: peers, seed: 1
        )
    }

    private static func isMeasured(_ left: Int, _ right: Int) -> Bool { (left * 7 + right * 7) % 5 < 3 }

    private static func worst(_ model: RateModel, _ rate: (Int, Int) -> Double) -> Double {
        var errors: [Double] = []
        for sender in 0..<peers {
            for receiver in 0..<peers where receiver != sender && !isMeasured(sender, receiver) {
                guard let found = model.predict(from: sender, to: receiver) else { continue }
                errors.append(abs(found.value / rate(sender, receiver) - 1))
            }
        }
        return errors.sorted().dropLast(errors.count / 10).last ?? .infinity
    }

    @Test func accessLinksAreToldFromTheLinksTheyLimit() {
        func rate(_ sender: Int, _ receiver: Int) -> Double {
            min(1e6 * Double(1 + sender % 6), 2e6 * Double(1 + receiver % 3))
        }
        let model = Self.model(rate)
        #expect(model.kind == .access)
        #expect(Self.worst(model, rate) < 0.02, "off by \(Self.worst(model, rate))")
    }

    @Test func kindsOfPeersAreFoundWhereAccessLinksExplainNothing() {
        // Three providers: fast inside each, slow between two of them, in between otherwise.
        let table = [[8e8, 1e8, 3e8], [1e8, 2e9, 2e8], [3e8, 2e8, 1e9]]
        func rate(_ sender: Int, _ receiver: Int) -> Double { table[sender % 3][receiver % 3] }
        let model = Self.model(rate)
        #expect(model.kind == .factorised)
        #expect(Self.worst(model, rate) < 0.25, "off by \(Self.worst(model, rate))")
    }

    @Test func aPeerThatNobodyMeasuredHasNoRate() {
        let places = RoundTripModel.fit(roundTrips: [(0, 1, 0.02)], peers: 3, seed: 1)
        let model = RateModel.fit(
            rates: [(0, 1, 1e6), (1, 0, 1e6)], roundTrips: Array(repeating: 0.02, count: 9), model: places, peers: 3,
            seed: 1)
        #expect(model.predict(from: 0, to: 1)?.value == 1e6)
        #expect(model.predict(from: 0, to: 2) == nil)
    }
}
