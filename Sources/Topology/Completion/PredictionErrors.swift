internal import Primitives

/// How far a model's predictions are off, learnt from measured links that the model was not shown.
///
/// The size of an error depends on both peers (some are harder to place than others) and on the figure itself (short
/// round trips are the hardest to predict), so every error is divided by the size expected of its like, and the quantiles
/// of these ratios give the intervals: split conformal prediction with a normalised score (Lei et al. 2018).
struct PredictionErrors: Hashable, Sendable {
    /// One held-out link.
    struct Sample: Hashable, Sendable {
        var left: Int
        var right: Int
        var predicted: Double
        /// ln(measured / predicted).
        var logError: Double
    }

    /// An error beyond this counts as this in means, so that one broken link does not speak for its peer.
    private static let largest = 1.5
    /// What a peer or a class is assumed to have shown before its first sample: so many links of average error.
    private static let priorSamples = 3.0
    /// Predictions are classed by their size into so many classes of equally many samples.
    private static let classes = 4
    /// With fewer samples than this quantiles mean nothing, and the guesses below hold.
    private static let fewest = 10
    private static let guessedSize = 0.3
    private static let guessedRatios = (half: 0.7, nineTenths: 2.5)

    private let average: Double
    private let peerSizes: [Double]
    /// Upper bounds of the predictions of each class but the last.
    private let classBounds: [Double]
    private let classFactors: [Double]
    private let ratios: (half: Double, nineTenths: Double)

    init(_ samples: [Sample], peers: Int) {
        let sizes = samples.map { min(abs($0.logError), Self.largest) }
        guard samples.count >= Self.fewest else {
            average = Self.guessedSize
            peerSizes = Array(repeating: Self.guessedSize, count: peers)
            (classBounds, classFactors) = ([], [1])
            ratios = Self.guessedRatios
            return
        }
        let average = max(1e-4, sizes.reduce(0, +) / Double(sizes.count))
        self.average = average
        var sums = [Double](repeating: Self.priorSamples * average, count: peers)
        var counts = [Double](repeating: Self.priorSamples, count: peers)
        for (sample, size) in zip(samples, sizes) {
            for peer in [sample.left, sample.right] {
                sums[peer] += size
                counts[peer] += 1
            }
        }
        let peerSizes = zip(sums, counts).map { $0 / $1 }
        self.peerSizes = peerSizes
        let ordered = samples.indices.sorted { (samples[$0].predicted, $0) < (samples[$1].predicted, $1) }
        var bounds: [Double] = []
        var factors: [Double] = []
        for index in 0..<Self.classes {
            let members = ordered[(index * ordered.count / Self.classes)..<((index + 1) * ordered.count / Self.classes)]
            let sum = members.reduce(Self.priorSamples * average) { $0 + sizes[$1] }
            factors.append(sum / (Self.priorSamples + Double(members.count)) / average)
            if index < Self.classes - 1, let last = members.last { bounds.append(samples[last].predicted) }
        }
        (classBounds, classFactors) = (bounds, factors)
        let scaled = samples.map { sample in
            abs(sample.logError)
                / Self.size(
                    peerSizes[sample.left], peerSizes[sample.right],
                    Self.factor(sample.predicted, bounds, factors))
        }.sorted()
        ratios = (Self.quantile(scaled, 0.5), Self.quantile(scaled, 0.9))
    }

    /// A prediction of this value between these two peers.
    func prediction(_ value: Double, _ left: Int, _ right: Int) -> Prediction {
        let size = Self.size(peerSizes[left], peerSizes[right], Self.factor(value, classBounds, classFactors))
        return Prediction(
            value: value, relativeError: Elementary.exp(ratios.half * size) - 1, spread: ratios.nineTenths * size)
    }

    /// The mean error of the held-out links, on a logarithmic scale.
    var meanLogError: Double { average }

    private static func size(_ left: Double, _ right: Double, _ factor: Double) -> Double {
        (left * right).squareRoot() * factor
    }

    private static func factor(_ value: Double, _ bounds: [Double], _ factors: [Double]) -> Double {
        factors[bounds.firstIndex { value <= $0 } ?? bounds.count]
    }

    /// The quantile with the correction for a finite sample that conformal prediction asks for.
    private static func quantile(_ sorted: [Double], _ share: Double) -> Double {
        let rank = Int((Double(sorted.count + 1) * share).rounded(.up)) - 1
        return sorted[max(0, min(sorted.count - 1, rank))]
    }

    static func == (left: PredictionErrors, right: PredictionErrors) -> Bool {
        left.average == right.average && left.peerSizes == right.peerSizes && left.classBounds == right.classBounds
            && left.classFactors == right.classFactors && left.ratios == right.ratios
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(average)
        hasher.combine(peerSizes)
        hasher.combine(classFactors)
    }
}
