internal import Primitives

/// Predicts the rates that nobody measured, each with its error, by whichever of two models does better on measured links
/// that it was not shown: the slower of the two access links, or factorised rates.
package struct RateModel: Sendable {
    /// A model of rates.
    package enum Kind: String, Sendable {
        /// `AccessRateFit`: right where access links are the bottleneck.
        case access
        /// `FactorisedRates`: right where rates depend on who the two are and how far apart.
        case factorised
    }

    private static let folds = 3
    /// Beyond this many measured pairs one of the folds is enough to learn from.
    private static let manyPairs = 1500
    /// If the access links explain held-out links as well as this, on average, nothing else is tried.
    private static let goodEnough = 0.03

    /// Which model won.
    package let kind: Kind
    private let access: AccessRateFit
    private let factorised: FactorisedRates?
    private let errors: PredictionErrors

    /// Fits the models and chooses one.
    ///
    /// - Parameters:
    ///   - rates: Measured directed links: sender, receiver, bytes per second. Links of a peer with itself, out of range or
    ///     without a positive finite rate are ignored.
    ///   - roundTrips: Measured or predicted round trip of every pair in seconds, row-major; 0 where there is none.
    ///   - model: Where the peers are.
    ///   - seed: Chooses the folds.
    package static func fit(
        rates: [(Int, Int, Double)], roundTrips: [Double], model: RoundTripModel, peers: Int, seed: UInt64
    ) -> RateModel {
        let usable = rates.filter { sender, receiver, rate in
            sender != receiver && (0..<peers).contains(sender) && (0..<peers).contains(receiver) && rate > 0
                && rate.isFinite
        }
        let known = roundTrips.filter { $0 > 0 }.sorted()
        let typical = known.isEmpty ? 1 : known[known.count / 2]
        let ground = RateField.Ground(
            peers: peers, places: model.similarities,
            logRoundTrips: roundTrips.map { Elementary.log($0 > 0 ? $0 : typical) })
        return RateModel(usable, ground: ground, seed: seed)
    }

    private init(_ rates: [(Int, Int, Double)], ground: RateField.Ground, seed: UInt64) {
        access = AccessRateFit.fit(rates: rates, peers: ground.peers)
        let folds = Self.folds(rates, peers: ground.peers, seed: seed)
        let plain = Self.errors(folds, peers: ground.peers) { training in
            let fit = AccessRateFit.fit(rates: training, peers: ground.peers)
            return { fit.predict(from: $0, to: $1) }
        }
        guard !folds.isEmpty, plain.meanLogError > Self.goodEnough else {
            (kind, factorised, errors) = (.access, nil, plain)
            return
        }
        let refined = Self.errors(folds, peers: ground.peers) { training in
            let fit = AccessRateFit.fit(rates: training, peers: ground.peers)
            let rates = FactorisedRates(training, access: fit, ground: ground)
            return { rates.predict(from: $0, to: $1) }
        }
        if refined.meanLogError < plain.meanLogError {
            (kind, errors) = (.factorised, refined)
            factorised = FactorisedRates(rates, access: access, ground: ground)
        } else {
            (kind, factorised, errors) = (.access, nil, plain)
        }
    }

    /// The predicted rate in bytes per second; `nil` if nothing from the sender or nothing to the receiver was measured.
    package func predict(from sender: Int, to receiver: Int) -> Prediction? {
        let value =
            factorised.map { $0.predict(from: sender, to: receiver) } ?? access.predict(from: sender, to: receiver)
        guard let value, value > 0 else { return nil }
        return errors.prediction(value, sender, receiver)
    }

    private struct Fold {
        var training: [(Int, Int, Double)]
        var heldOut: [(Int, Int, Double)]
    }

    /// Both directions of a pair are in one fold: each would give the other away.
    private static func folds(_ rates: [(Int, Int, Double)], peers: Int, seed: UInt64) -> [Fold] {
        func pair(_ link: (Int, Int, Double)) -> Int { min(link.0, link.1) * peers + max(link.0, link.1) }
        var pairs = Array(Set(rates.map(pair))).sorted()
        guard pairs.count >= 4 * folds else { return [] }
        var generator = SeededGenerator(seed: seed ^ 0x5241_5445)
        generator.shuffle(&pairs)
        var foldOfPair: [Int: Int] = [:]
        for (position, pair) in pairs.enumerated() { foldOfPair[pair] = position % folds }
        return (0..<(pairs.count > manyPairs ? 1 : folds)).map { fold in
            Fold(
                training: rates.filter { foldOfPair[pair($0)] != fold },
                heldOut: rates.filter { foldOfPair[pair($0)] == fold })
        }
    }

    private static func errors(
        _ folds: [Fold], peers: Int, fit: ([(Int, Int, Double)]) -> (Int, Int) -> Double?
    ) -> PredictionErrors {
        var samples: [PredictionErrors.Sample] = []
        for fold in folds {
            let predict = fit(fold.training)
            for (sender, receiver, rate) in fold.heldOut {
                guard let value = predict(sender, receiver), value > 0 else { continue }
                samples.append(
                    .init(left: sender, right: receiver, predicted: value, logError: Elementary.log(rate / value)))
            }
        }
        return PredictionErrors(samples, peers: peers)
    }
}
