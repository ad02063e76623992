package import Primitives

/// What the protocols promise, each promise as a scenario with a bar: `weft simulate --table` plays them all.
///
/// The network is `NetworkProfile.world`: one-way delays of 5 to 120 ms, access links of 20 Mbit/s to 1 Gbit/s, 0.1 % loss.
/// Packet trains for bandwidth are switched off where they are no part of the promise, because they are most of the packets of
/// a simulation; echoes and everything else of probing stay. Bytes are UDP payload with the session's overhead, of
/// membership, gossip and probing together.
package enum ScenarioTable {
    /// One promise.
    package struct Row: Sendable {
        /// For `--only`; unique.
        package let name: String
        package let title: String
        /// What is measured, and the most that it may be.
        package let measure: String
        package let unit: String
        package let limit: Double
        /// The runs; more than one for the sweep.
        package let runs: [ScenarioOptions]
        /// The figure of a run.
        let figure: @Sendable (SimulationReport) -> Double?
        /// Plays a row of a single link, which has no runs.
        let links: (@Sendable () -> LinkTable.Figures)?

        init(
            name: String, title: String, measure: String, unit: String, limit: Double, runs: [ScenarioOptions],
            figure: @escaping @Sendable (SimulationReport) -> Double?
        ) {
            (self.name, self.title, self.measure, self.unit, self.limit) = (name, title, measure, unit, limit)
            (self.runs, self.figure, links) = (runs, figure, nil)
        }

        init(
            name: String, title: String, measure: String, unit: String, limit: Double,
            links: @escaping @Sendable () -> LinkTable.Figures
        ) {
            (self.name, self.title, self.measure, self.unit, self.limit) = (name, title, measure, unit, limit)
            (runs, figure, self.links) = ([], { _ in nil }, links)
        }
    }

    /// How a row came out.
    package struct Outcome: Hashable, Sendable, Codable {
        package var name: String
        package var title: String
        package var measure: String
        package var unit: String
        package var limit: Double
        /// The worst of all runs; absent if some run has no figure.
        package var measured: Double?
        package var passed: Bool
        package var runs: Int
        package var deliveries: Int
        package var virtualSeconds: Double
        /// The first broken invariants, with the seed.
        package var violations: [String]
    }

    /// All promises, in order.
    package static func rows(seed: UInt64 = 1, sweepSeeds: Int = 200) -> [Row] {
        func options(_ scenario: Scenario, _ peers: Int, seconds: Double? = nil) -> ScenarioOptions {
            var options = ScenarioOptions(scenario: scenario, peers: peers, seed: seed, seconds: seconds)
            options.measuresBandwidth = scenario == .measure || scenario == .upkeep
            return options
        }
        func row(
            _ name: String, _ title: String, _ measure: String, _ unit: String, atMost limit: Double,
            _ options: ScenarioOptions, _ figure: @escaping @Sendable (SimulationReport) -> Double?
        ) -> Row {
            Row(
                name: name, title: title, measure: measure, unit: unit, limit: limit, runs: [options], figure: figure)
        }
        let rows = [
            row(
                "join", "1,000 peers join at once through one", "until everyone knows everyone", "s", atMost: 6,
                options(.join, 1000)
            ) { $0.joinSeconds },
            row(
                "crash-50", "crashes among 50", "until the median survivor knows", "s", atMost: 3.5,
                options(.crash, 50)
            ) { $0.detectionSeconds?.median },
            row(
                "crash-1000", "crashes among 1,000", "until the median survivor knows", "s", atMost: 5,
                options(.crash, 1000)
            ) { $0.detectionSeconds?.median },
            row(
                "lossy", "300 peers, 10 % loss, pauses of up to 2 s, one hour", "healthy peers declared dead", "",
                atMost: 0, options(.lossy, 300, seconds: 3600)
            ) { Double($0.falseDeaths) },
            row(
                "partition", "300 peers cut in half for 60 s", "after the heal until one digest", "s", atMost: 15,
                options(.partition, 300, seconds: 60)
            ) { $0.healSeconds },
            row(
                "churn", "300 peers, a tenth replaced a minute", "live peers missing from a view", "%", atMost: 1,
                options(.churn, 300, seconds: 300)
            ) { $0.worstMissingShare.map { $0 * 100 } },
            row(
                "steady-50", "quiet swarm of 50", "sent by a peer", "B/s", atMost: 300, options(.steady, 50)
            ) { $0.bytesPerPeerPerSecond },
            row(
                "steady-1000", "quiet swarm of 1,000", "sent by a peer", "B/s", atMost: 500, options(.steady, 1000)
            ) { $0.bytesPerPeerPerSecond },
            row(
                "graph-32", "first graph of 32 peers, all pairs", "until everybody has all of it", "s", atMost: 35,
                options(.measure, 32, seconds: 35)
            ) { $0.graphSeconds },
            row(
                "graph-128", "first graph of 128 peers", "until everybody has all of it", "s", atMost: 25,
                options(.measure, 128, seconds: 25)
            ) { $0.graphSeconds },
            row(
                "graph-1000", "first graph of 1,000 peers", "until everybody has all of it", "s", atMost: 45,
                options(.measure, 1000, seconds: 45)
            ) { $0.graphSeconds },
            row(
                "upkeep", "32 peers measure all pairs for an hour", "of an access link, the busiest peer's average",
                "%",
                atMost: 0.5, options(.upkeep, 32)
            ) { $0.accessShare.map { $0.most * 100 } },
            row(
                "upkeep-window", "the same", "of an access link, in the busiest ten minutes", "%", atMost: 1,
                options(.upkeep, 32)
            ) { $0.accessShareInWindow.map { $0.most * 100 } },
            row(
                "liar", "200 peers, a tenth of them liars", "liars not named, and honest peers named", "", atMost: 0,
                options(.liar, 200)
            ) { report in
                guard let liars = report.liars, let named = report.namedLiars, let wronged = report.namedHonest else {
                    return nil
                }
                return Double(liars - named + wronged)
            },
            row(
                "admission", "closed swarm of 50, one revoked, one never admitted",
                "until a revoked peer has lost every session", "s", atMost: 5, options(.admission, 50)
            ) { $0.admission?.cutOffSeconds },
            row(
                "paths", "24 peers with three addresses each; some get slow, some die",
                "most that a round trip exceeds the least", "ms", atMost: 10, options(.paths, 24)
            ) { report in
                guard let paths = report.paths, let chosen = paths.chosenExcessSeconds?.most,
                    let later = paths.detourExcessSeconds?.most
                else { return nil }
                return max(chosen, later) * 1000
            },
            Row(
                name: "sweep", title: "50 to 300 peers, \(sweepSeeds) seeds, random faults of every kind",
                measure: "invariants broken",
                unit: "", limit: 0, runs: sweep(seeds: sweepSeeds, from: seed)
            ) { Double($0.violations.count) },
        ]
        return linkRows(seed: seed) + rows
    }

    /// Runs of the scenario `chaos`, in each of which the seed also chooses the number of peers, their clocks and the address
    /// translators before up to a quarter of them.
    package static func sweep(seeds: Int, from first: UInt64, peers: ClosedRange<Int> = 50...300) -> [ScenarioOptions] {
        (0..<seeds).map { number in
            let seed = first &+ UInt64(number)
            var generator = SeededGenerator(seed: seed ^ 0x0DDB_A11)
            let count = peers.lowerBound + generator.index(below: peers.count)
            var options = ScenarioOptions(scenario: .chaos, peers: count, seed: seed, seconds: 40)
            options.measuresBandwidth = false
            options.drawConditions(using: &generator)
            return options
        }
    }

    /// Plays a row of a single link; `nil` for the others.
    package static func playLinks(_ row: Row) -> Outcome? {
        guard let figures = row.links?() else { return nil }
        return Outcome(
            name: row.name, title: row.title, measure: row.measure, unit: row.unit, limit: row.limit,
            measured: figures.value,
            passed: figures.violations.isEmpty && (figures.value.map { $0 <= row.limit } ?? false),
            runs: figures.runs, deliveries: 0, virtualSeconds: figures.virtualSeconds,
            violations: Array(figures.violations.prefix(20)))
    }

    /// The outcome of a row from the reports of all its runs.
    package static func judge(_ row: Row, _ reports: [SimulationReport]) -> Outcome {
        let figures = reports.map(row.figure)
        let isComplete = !figures.isEmpty && figures.allSatisfy { $0 != nil }
        let worst = isComplete ? figures.compactMap { $0 }.max() : nil
        let violations = reports.flatMap { report in report.violations.map { "seed \(report.seed): \($0)" } }
        return Outcome(
            name: row.name, title: row.title, measure: row.measure, unit: row.unit, limit: row.limit, measured: worst,
            passed: violations.isEmpty && (worst.map { $0 <= row.limit } ?? false), runs: reports.count,
            deliveries: reports.reduce(0) { $0 + $1.deliveries },
            virtualSeconds: reports.reduce(0) { $0 + $1.virtualSeconds }, violations: Array(violations.prefix(20)))
    }
}

extension ScenarioOptions {
    /// Draws clocks (up to 200 ppm and two seconds off) and, for every second seed, address translators.
    package mutating func drawConditions(using generator: inout SeededGenerator) {
        clocks = ClockProfile(driftPartsPerMillion: generator.index(below: 201), offset: .seconds(2))
        guard generator.unit() < 0.5 else { return }
        let hidden = generator.index(below: peers / 4 + 1)
        nats = (0..<hidden).map { _ in NATBox.Kind.allCases[generator.index(below: NATBox.Kind.allCases.count)] }
    }
}
