internal import Primitives

/// Predicts the round trips that nobody measured, each with its error.
///
/// `CoordinateFit` places the peers; what its distances leave unexplained of the measured pairs is shared out to pairs
/// between the same neighbourhoods (`ResidualField`): a detour between two places is a detour for all who live there, and no
/// position can say that. How far to trust the residuals is decided, and how large errors are is learnt, on measured pairs
/// that the fit was not shown.
package struct RoundTripModel: Sendable {
    /// Distance, in median round trips, over which the similarity of two places falls to 1/e. Anything from 0.3 to 0.6
    /// does equally well on cloud regions and on synthetic networks.
    static let reach = 0.4
    /// Noise to try, the strongest last; beyond it there is the plain fit.
    private static let noises = [0.3, 1, 4, 16]
    /// A residual counts as at most so many median ones.
    private static let largestResidual = 4.0
    /// No round trip is predicted below this share of the shortest measured one.
    private static let leastShare = 0.5
    private static let folds = 4
    /// Beyond this many measured pairs one of the folds is enough to learn from.
    private static let manyPairs = 3000

    private let fit: CoordinateFit
    private let field: ResidualField?
    private let errors: PredictionErrors
    private let least: Double
    private let hasMeasurement: [Bool]

    /// Fits the model.
    ///
    /// - Parameters:
    ///   - roundTrips: Measured pairs of peers, in either order, with the round trip in seconds. Pairs of a peer with
    ///     itself, out of range or without a positive finite time are ignored.
    ///   - peers: The number of peers; the pairs name them from 0.
    ///   - seed: Chooses the start and the folds. The same pairs in the same order with the same seed give the same bits.
    package static func fit(roundTrips: [(Int, Int, Double)], peers: Int, seed: UInt64) -> RoundTripModel {
        let usable = roundTrips.filter { left, right, seconds in
            left != right && (0..<peers).contains(left) && (0..<peers).contains(right) && seconds > 0
                && seconds.isFinite
        }
        return RoundTripModel(usable, peers: peers, seed: seed)
    }

    private init(_ roundTrips: [(Int, Int, Double)], peers: Int, seed: UInt64) {
        var hasMeasurement = [Bool](repeating: false, count: peers)
        for (left, right, _) in roundTrips {
            hasMeasurement[left] = true
            hasMeasurement[right] = true
        }
        self.hasMeasurement = hasMeasurement
        let least = Self.leastShare * (roundTrips.map(\.2).min() ?? 0)
        self.least = least
        let (noise, samples) = Self.crossValidate(roundTrips, peers: peers, least: least, seed: seed)
        errors = PredictionErrors(samples, peers: peers)
        let fit = CoordinateFit.fit(roundTrips: roundTrips, peers: peers, seed: seed)
        self.fit = fit
        field = noise.map { Self.field(fit, roundTrips, peers: peers, noise: $0, least: least) }
    }

    /// The predicted round trip in seconds; `nil` if no pair was measured. A peer that has no measured pair is predicted
    /// near the middle, with an error of 1.
    package func predict(_ left: Int, _ right: Int) -> Prediction? {
        guard let value = Self.value(fit, field, left, right, least: least) else { return nil }
        guard hasMeasurement[left], hasMeasurement[right] else {
            return Prediction(value: value, relativeError: 1, spread: 2)
        }
        return errors.prediction(value, left, right)
    }

    /// How close every two peers' places are, 1 for the same place; row-major.
    var similarities: [Double] { fit.similarities(reach: Self.reach) }

    private static func value(
        _ fit: CoordinateFit, _ field: ResidualField?, _ left: Int, _ right: Int, least: Double
    ) -> Double? {
        guard let seconds = fit.predict(left, right) else { return nil }
        let plain = max(seconds, least)
        guard let field else { return plain }
        return max(least, plain * Elementary.exp(field.correction(left, right)))
    }

    private static func field(
        _ fit: CoordinateFit, _ roundTrips: [(Int, Int, Double)], peers: Int, noise: Double, least: Double
    ) -> ResidualField {
        let residuals = roundTrips.map { left, right, seconds in
            Elementary.log(seconds / max(fit.predict(left, right) ?? seconds, least))
        }
        let sizes = residuals.map { abs($0) }.sorted()
        let limit = largestResidual * (sizes.isEmpty ? 0 : sizes[sizes.count / 2])
        return ResidualField(
            kernel: fit.similarities(reach: reach), peers: peers, pairs: roundTrips.map { ($0.0, $0.1) },
            residuals: residuals.map { max(-limit, min(limit, $0)) }, noise: noise, isSymmetric: true)
    }

    /// The noise that predicts held-out pairs best, `nil` if the plain fit does, and the errors it makes on them.
    private static func crossValidate(
        _ roundTrips: [(Int, Int, Double)], peers: Int, least: Double, seed: UInt64
    ) -> (noise: Double?, samples: [PredictionErrors.Sample]) {
        guard roundTrips.count >= 2 * folds else { return (nil, []) }
        var order = Array(roundTrips.indices)
        var generator = SeededGenerator(seed: seed ^ 0x5245_5349_4455_414C)
        generator.shuffle(&order)
        var samples = [[PredictionErrors.Sample]](repeating: [], count: noises.count + 1)
        for fold in 0..<(roundTrips.count > manyPairs ? 1 : folds) {
            let training = order.indices.filter { $0 % folds != fold }.map { roundTrips[order[$0]] }
            let fit = CoordinateFit.fit(roundTrips: training, peers: peers, seed: seed)
            let fields =
                noises.map { field(fit, training, peers: peers, noise: $0, least: least) } as [ResidualField?] + [nil]
            for position in order.indices where position % folds == fold {
                let (left, right, seconds) = roundTrips[order[position]]
                for (index, field) in fields.enumerated() {
                    guard let value = value(fit, field, left, right, least: least) else { continue }
                    samples[index].append(
                        .init(left: left, right: right, predicted: value, logError: Elementary.log(seconds / value)))
                }
            }
        }
        var best = (index: noises.count, error: Double.infinity)
        for (index, samples) in samples.enumerated().reversed() {
            let error = PredictionErrors(samples, peers: peers).meanLogError
            if error < best.error { best = (index, error) }
        }
        return (best.index < noises.count ? noises[best.index] : nil, samples[best.index])
    }
}
