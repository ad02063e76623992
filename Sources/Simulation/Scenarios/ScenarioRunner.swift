import Overlay
import Primitives

/// Plays a scenario and reports.
package struct ScenarioRunner {
    let options: ScenarioOptions
    var simulator: Simulator
    var generator: SeededGenerator
    var report: SimulationReport
    private var progress: ((Double) -> Void)?

    /// Peers beyond those of the options, which churn brings in.
    let spare: Int

    private var nextSample = 0.0
    private var sampledSeconds = 0.0
    private var sampledBytes = 0

    /// - Parameter progress: Called from time to time with the virtual seconds so far.
    /// - Parameter tracer: Gets a line for everything worth knowing about the run.
    package static func run(
        _ options: ScenarioOptions, progress: ((Double) -> Void)? = nil, tracer: ((TraceLine) -> Void)? = nil
    ) -> SimulationReport {
        if options.scenario == .paths { return PathScenario.run(options, progress: progress) }
        var runner = ScenarioRunner(options)
        runner.progress = progress
        runner.simulator.tracer = tracer
        runner.simulator.tracesPackets = options.tracesPackets
        return runner.play()
    }

    private init(_ options: ScenarioOptions) {
        self.options = options
        generator = SeededGenerator(seed: options.seed ^ 0x5EED)
        spare =
            switch options.scenario {
            case .churn: max(2, options.peers / 10)
            case .admission: 1
            default: 0
            }
        var configuration = OverlayNode.Configuration()
        configuration.probing.measuresLinks = options.measuresLinks
        configuration.probing.measuresBandwidth = options.measuresBandwidth
        simulator = Simulator(
            peers: options.peers + spare, profile: options.profile, seed: options.seed, configuration: configuration,
            clocks: options.clocks, nats: options.nats, isClosed: options.scenario == .admission)
        report = SimulationReport(scenario: options.scenario, peers: options.peers, seed: options.seed)
    }

    private mutating func play() -> SimulationReport {
        join()
        switch options.scenario {
        case .join, .paths: break
        case .steady: steady()
        case .crash: crash()
        case .leave: leave()
        case .lossy: lossy()
        case .partition: partition()
        case .churn: churn()
        case .admission: admission()
        case .measure: measure()
        case .upkeep: upkeep()
        case .chaos: chaos()
        case .liar: liar()
        case .script: script()
        }
        report.virtualSeconds = seconds
        report.falseDeaths = simulator.observer.deaths.count { $0.isFalse }
        report.deliveries = simulator.deliveries
        report.packetsLost = simulator.network.counters.lost + simulator.network.counters.cut
        report.queueDrops = simulator.network.counters.queueDrops
        report.packetsCorrupted = simulator.network.counters.corrupted
        report.packetsFiltered = simulator.network.counters.filtered
        checkBounds()
        report.violations = simulator.observer.violations
        report.digest = simulator.digest.description
        return report
    }

    // MARK: Time

    var seconds: Double { Double(simulator.time.nanoseconds) / 1e9 }

    func instant(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }

    mutating func run(to end: Double) { _ = run(to: end, step: options.recordsTimeline ? 0.25 : 1) { _ in false } }

    /// Runs until a condition holds, looking every `step` seconds: the time at which it did, or `nil` at the end.
    mutating func run(to end: Double, step: Double, until condition: (Simulator) -> Bool) -> Double? {
        let last = instant(end)
        while simulator.time < last {
            if condition(simulator) { return seconds }
            simulator.run(until: min(last, simulator.time + .nanoseconds(Int64(step * 1e9))))
            sample()
            progress?(seconds)
        }
        return condition(simulator) ? seconds : nil
    }

    /// Adds to the timeline, four times a virtual second.
    private mutating func sample() {
        guard options.recordsTimeline, seconds >= nextSample else { return }
        nextSample = seconds + 0.25
        let pairs = max(simulator.observer.runningCount * (simulator.count - 1), 1)
        let sent = simulator.sentBytes
        let rate = Double(sent - sampledBytes) / Double(simulator.count) / max(seconds - sampledSeconds, 1e-9)
        (sampledBytes, sampledSeconds) = (sent, seconds)
        let sample = SimulationReport.Sample(
            seconds: seconds, wrongShare: Double(simulator.observer.wrongBeliefs) / Double(pairs),
            bytesPerPeerPerSecond: rate)
        report.timeline = (report.timeline ?? []) + [sample]
    }

    mutating func violate(_ text: String) { simulator.noteViolation(text) }

    static func agree(_ simulator: Simulator) -> Bool {
        simulator.observer.wrongBeliefs == 0 && simulator.commonDigest != nil
    }

    /// Draws a running peer other than the first, which everybody joined through, or the first if it is alone.
    mutating func drawRunning() -> Int {
        let running = (1..<simulator.count).filter { simulator.observer.isRunning[$0] }
        return running.isEmpty ? 0 : running[generator.index(below: running.count)]
    }

    /// A running peer that anybody can reach: a newcomer finds nobody else.
    mutating func drawReachable() -> Int {
        let running = (0..<simulator.count).filter { simulator.observer.isRunning[$0] && simulator.isPublic($0) }
        return running.isEmpty ? 0 : running[generator.index(below: running.count)]
    }
}
