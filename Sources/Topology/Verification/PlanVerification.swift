internal import Primitives

/// Makes a plan on a graph that is only partly measured worth as much as one on a measured graph: plan, measure the few links
/// that the plan leans on and nobody has measured, plan again.
///
/// A search that minimises over predictions finds the links that are predicted too well. Measuring exactly those undoes
/// it, and every measurement also improves the predictions of the others. Whoever runs the loop does the planning and the
/// measuring, in a live swarm or in a simulation:
///
///     var verification = PlanVerification(measured: graph)
///     var report = try plan(verification.graph)
///     while let pairs = verification.next(after: report) {
///         verification.take(measure(pairs))
///         report = try plan(verification.graph)
///     }
///
/// and takes the `safest` of all its plans, for the last one may lean on predictions again.
package struct PlanVerification: Sendable {
    /// Two peers whose link is to be measured in both directions, by their positions in the graph.
    package struct Pair: Hashable, Comparable, Sendable {
        package var left: Int
        package var right: Int

        package init(_ one: Int, _ other: Int) {
            left = min(one, other)
            right = max(one, other)
        }

        package static func < (one: Pair, other: Pair) -> Bool {
            (one.left, one.right) < (other.left, other.right)
        }
    }

    /// What a measurement found; what it could not find is `nil`.
    package struct Measurement: Hashable, Sendable {
        package var from: Int
        package var to: Int
        package var latencySeconds: Double?
        package var bytesPerSecond: Double?

        package init(from: Int, to: Int, latencySeconds: Double?, bytesPerSecond: Double?) {
            self.from = from
            self.to = to
            self.latencySeconds = latencySeconds
            self.bytesPerSecond = bytesPerSecond
        }
    }

    /// How much may be measured.
    package struct Options: Hashable, Sendable {
        /// Measuring and planning again, at most so often.
        package var rounds = 3
        /// Pairs a round, for each peer of the plan: every one of them takes part in two measurements on average.
        package var pairsPerPeer = 1.0
        /// Links whose part in the uncertain seconds of the plan is smaller than this are not worth a measurement.
        package var leastShare = 0.001

        /// How far predictions are taken for worse than they say when a plan is made: 0 as they are, 1 by their usual error.
        /// Else the search picks what is predicted too well.
        package var caution = 1.0

        package init() {}
    }

    /// What is measured so far, completed by predictions: what to plan on.
    package private(set) var graph: LinkGraph
    /// Rounds of measurement so far.
    package private(set) var rounds = 0
    /// Every pair that was asked for.
    package private(set) var asked: Set<Pair> = []
    private var measured: LinkGraph
    /// The measured graph and predictions as they are.
    private var predicted: LinkGraph
    private let options: Options
    private let seed: UInt64

    /// - Parameters:
    ///   - measured: The graph with its measured links; predictions in it are made anew.
    ///   - seed: That of the predictions.
    package init(measured: LinkGraph, options: Options = Options(), seed: UInt64 = 1) {
        var bare = measured
        for position in bare.rates.indices {
            if bare.rates[position].source == .predicted { bare.rates[position] = .unknown }
            if bare.latencies[position].source == .predicted { bare.latencies[position] = .unknown }
        }
        self.measured = bare
        self.options = options
        self.seed = seed
        predicted = bare.completed(seed: seed)
        graph = predicted
        graph = cautious
    }

    private var cautious: LinkGraph {
        Self.worsened(predicted) { 1 + options.caution * ($0.relativeError ?? 0) }
    }

    /// The graph with predictions worse by a factor.
    private static func worsened(_ graph: LinkGraph, by factor: (LinkEstimate) -> Double) -> LinkGraph {
        var graph = graph
        for position in graph.rates.indices {
            if graph.rates[position].source == .predicted {
                graph.rates[position].value /= factor(graph.rates[position])
            }
            if graph.latencies[position].source == .predicted {
                graph.latencies[position].value *= factor(graph.latencies[position])
            }
        }
        return graph
    }

    /// Which of these plans of the problem is the fastest if every prediction that is left is as wrong as one in ten is.
    ///
    /// - Parameter layouts: At least one.
    package func safest(of layouts: [Layout], problem: PlanningProblem) -> Int {
        var problem = problem
        problem.graph = Self.worsened(predicted) { Elementary.exp($0.spread) }
        let tables = CostTables(problem)
        let seconds = layouts.map { IterationSimulator.run($0, tables: tables).seconds }
        return seconds.indices.min { (seconds[$0], $1) < (seconds[$1], $0) } ?? 0
    }

    /// The pairs to measure before the next plan, the most important first; `nil` if the plan stands: the rounds are used up,
    /// or everything that it leans on is measured.
    package mutating func next(after report: PlanReport) -> [Pair]? {
        guard rounds < options.rounds else { return nil }
        let pairs = doubtfulPairs(of: report)
        guard !pairs.isEmpty else { return nil }
        rounds += 1
        asked.formUnion(pairs)
        return pairs
    }

    /// Puts measurements in the place of predictions, and predicts the rest anew.
    package mutating func take(_ measurements: [Measurement]) {
        for measurement in measurements
        where measurement.from != measurement.to && (0..<measured.count).contains(measurement.from)
            && (0..<measured.count).contains(measurement.to)
        {
            measured.setLink(
                from: measurement.from, to: measurement.to,
                latency: measurement.latencySeconds.flatMap { $0.isFinite && $0 >= 0 ? .measured($0) : nil },
                bytesPerSecond: measurement.bytesPerSecond.flatMap { $0.isFinite && $0 > 0 ? .measured($0) : nil })
        }
        predicted = measured.completed(seed: seed)
        graph = cautious
    }

    /// Predicted links that the plan uses and that were not asked for yet, by the seconds that they may cost beyond what
    /// the plan thinks.
    private func doubtfulPairs(of report: PlanReport) -> [Pair] {
        var doubts: [Pair: Double] = [:]
        for link in report.trace.links {
            let position = graph.position(from: link.source, to: link.target)
            let (rate, latency) = (graph.rates[position], graph.latencies[position])
            let pair = Pair(link.source, link.target)
            guard rate.source == .predicted || latency.source == .predicted, !asked.contains(pair) else { continue }
            let doubt =
                link.bytes / max(rate.value, 1) * (Elementary.exp(rate.spread) - 1)
                + latency.value * (Elementary.exp(latency.spread) - 1)
            doubts[pair, default: 0] += doubt
        }
        let limit = Int((options.pairsPerPeer * Double(report.layout.peers.count)).rounded(.up))
        // Order-free: sorted at once.
        let ordered = doubts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        let total = ordered.reduce(0) { $0 + $1.value }
        return ordered.prefix(limit).filter { $0.value >= options.leastShare * total }.map(\.key)
    }
}
