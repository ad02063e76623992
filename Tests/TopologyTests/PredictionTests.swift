import Primitives
import Testing

@testable import Topology

/// Residual kriging and the errors that predictions carry.
struct PredictionTests {
    @Test func aDetourBetweenTwoPlacesIsLearntForAllWhoLiveThere() {
        // Two towns of four peers each, and a route between them that is twice as long as any position could tell:
        // three of the four by four pairs were measured.
        let peers = 8
        func similarity(_ left: Int, _ right: Int) -> Double {
            left == right ? 1 : (left < 4) == (right < 4) ? 0.9 : 0.05
        }
        let kernel = (0..<(peers * peers)).map { similarity($0 / peers, $0 % peers) }
        let field = ResidualField(
            kernel: kernel, peers: peers, pairs: [(0, 4), (1, 5), (2, 6), (0, 1), (4, 5)],
            residuals: [0.7, 0.7, 0.7, 0, 0], noise: 0.1, isSymmetric: true)
        #expect(abs(field.correction(3, 7) - 0.7) < 0.15, "between the towns: \(field.correction(3, 7))")
        #expect(abs(field.correction(2, 3)) < 0.15, "within a town: \(field.correction(2, 3))")
        #expect(abs(field.correction(3, 7) - field.correction(7, 3)) < 1e-6, "a pair stands for both directions")
    }

    @Test func intervalsHoldNineOfTenErrorsOfTheirKind() {
        // Peer 0's links err ten times as much as the others'.
        var generator = SeededGenerator(seed: 4)
        func sample(_ left: Int, _ right: Int) -> PredictionErrors.Sample {
            let size = left == 0 ? 0.5 : 0.05
            return .init(left: left, right: right, predicted: 1, logError: size * (generator.unit() - 0.5))
        }
        let pairs = (0..<20).flatMap { left in ((left + 1)..<20).map { (left, $0) } }
        let errors = PredictionErrors(pairs.map { sample($0.0, $0.1) }, peers: 20)
        #expect(errors.prediction(1, 0, 5).spread > 2 * errors.prediction(1, 3, 5).spread)
        let fresh = pairs.map { sample($0.0, $0.1) }
        let covered = fresh.count { abs($0.logError) <= errors.prediction(1, $0.left, $0.right).spread }
        let share = Double(covered) / Double(fresh.count)
        #expect((0.8...0.99).contains(share), "\(share) inside intervals for nine of ten")
    }

    @Test func withoutAnythingToLearnFromErrorsAreGuessedLarge() {
        let model = RoundTripModel.fit(roundTrips: [(0, 1, 0.02), (1, 2, 0.03)], peers: 4, seed: 1)
        let known = model.predict(0, 2)
        #expect((known?.relativeError ?? 0) > 0.1, "two measurements promise little: \(String(describing: known))")
        #expect(model.predict(0, 3)?.relativeError == 1, "nobody measured peer 3")
        #expect(RoundTripModel.fit(roundTrips: [], peers: 4, seed: 1).predict(0, 1) == nil)
    }
}
