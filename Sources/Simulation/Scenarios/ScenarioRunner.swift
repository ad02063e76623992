import Overlay
import Primitives

/// Plays a scenario and reports.
package struct ScenarioRunner {
    private let options: ScenarioOptions
    private var simulator: Simulator
    private var generator: SeededGenerator
    private var report: SimulationReport
    private var progress: ((Double) -> Void)?

    /// Peers beyond those of the options, which churn brings in.
    private let spare: Int

    /// How long a swarm may take to join or to agree before that counts as a violation.
    private static let patience = 60.0

    /// - Parameter progress: Called from time to time with the virtual seconds so far.
    package static func run(_ options: ScenarioOptions, progress: ((Double) -> Void)? = nil) -> SimulationReport {
        var runner = ScenarioRunner(options)
        runner.progress = progress
        return runner.play()
    }

    private init(_ options: ScenarioOptions) {
        self.options = options
        generator = SeededGenerator(seed: options.seed ^ 0x5EED)
        spare = options.scenario == .churn ? max(2, options.peers / 10) : 0
        var configuration = OverlayNode.Configuration()
        configuration.probing.measuresBandwidth = options.measuresBandwidth
        simulator = Simulator(
            peers: options.peers + spare, profile: options.profile, seed: options.seed, configuration: configuration)
        report = SimulationReport(scenario: options.scenario, peers: options.peers, seed: options.seed)
    }

    private mutating func play() -> SimulationReport {
        join()
        switch options.scenario {
        case .join: break
        case .steady: steady()
        case .crash: crash()
        case .leave: leave()
        case .lossy: lossy()
        case .partition: partition()
        case .churn: churn()
        case .measure: measure()
        case .chaos: chaos()
        }
        report.virtualSeconds = seconds
        report.falseDeaths = simulator.observer.deaths.count { $0.isFalse }
        report.deliveries = simulator.deliveries
        report.packetsLost = simulator.network.counters.lost + simulator.network.counters.cut
        report.queueDrops = simulator.network.counters.queueDrops
        report.violations = simulator.observer.violations
        report.digest = simulator.digest.description
        return report
    }

    // MARK: Time

    private var seconds: Double { Double(simulator.time.nanoseconds) / 1e9 }

    private func instant(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }

    private mutating func run(to end: Double) { _ = run(to: end, step: 1) { _ in false } }

    /// Runs until a condition holds, looking every `step` seconds: the time at which it did, or `nil` at the end.
    private mutating func run(to end: Double, step: Double, until condition: (Simulator) -> Bool) -> Double? {
        let last = instant(end)
        while simulator.time < last {
            if condition(simulator) { return seconds }
            simulator.run(until: min(last, simulator.time + .nanoseconds(Int64(step * 1e9))))
            progress?(seconds)
        }
        return condition(simulator) ? seconds : nil
    }

    private mutating func violate(_ text: String) { simulator.noteViolation(text) }

    private static func agree(_ simulator: Simulator) -> Bool {
        simulator.observer.wrongBeliefs == 0 && simulator.commonDigest != nil
    }

    // MARK: Scenarios

    private mutating func join() {
        simulator.perform(.start(0, knowing: []))
        var last = 0.0
        for index in 1..<options.peers {
            let at = generator.unit() * 0.2
            last = max(last, at)
            simulator.schedule(.start(index, knowing: [0]), at: instant(at))
        }
        run(to: last)
        if let done = run(to: last + Self.patience, step: 0.01, until: { $0.observer.wrongBeliefs == 0 }) {
            report.joinSeconds = done - last
        } else {
            violate("\(simulator.observer.wrongBeliefs) wrong beliefs \(Int(Self.patience)) s after the last start")
        }
        if let equal = run(to: last + Self.patience, step: 0.25, until: Self.agree) {
            report.digestsEqualSeconds = equal - last
        } else {
            violate("digests differ \(Int(Self.patience)) s after the last start")
        }
    }

    private mutating func steady() {
        // Measuring and what follows from it is over by then.
        run(to: max(seconds, 40))
        let before = (simulator.sentBytes, simulator.sentDatagrams)
        let start = seconds
        run(to: start + options.seconds)
        let share = Double(options.peers) * (seconds - start)
        report.bytesPerPeerPerSecond = Double(simulator.sentBytes - before.0) / share
        report.datagramsPerPeerPerSecond = Double(simulator.sentDatagrams - before.1) / share
        for death in simulator.observer.deaths {
            violate("peer \(death.observer) declared peer \(death.subject) dead in a healthy swarm")
        }
        if simulator.commonDigest == nil { violate("digests differ in a quiet swarm") }
    }

    private mutating func crash() {
        var times: [Double] = []
        for _ in 0..<min(5, options.peers - 2) {
            let victim = drawRunning()
            let at = seconds
            let known = simulator.observer.deaths.count
            simulator.perform(.crash(victim))
            let done = run(to: at + options.seconds, step: 0.05) { $0.observer.wrongBeliefs == 0 }
            if done == nil { violate("\(simulator.observer.wrongBeliefs) peers missed the death of peer \(victim)") }
            times += simulator.observer.deaths[known...].filter { $0.subject == victim }
                .map { Double($0.at.nanoseconds) / 1e9 - at }
        }
        report.detectionSeconds = SimulationReport.Spread(times)
    }

    private mutating func leave() {
        var times: [Double] = []
        for _ in 0..<min(5, options.peers - 2) {
            let peer = drawRunning()
            let at = seconds
            simulator.perform(.leave(peer))
            if let done = run(to: at + options.seconds, step: 0.01, until: { $0.observer.wrongBeliefs == 0 }) {
                times.append(done - at)
            } else {
                violate("\(simulator.observer.wrongBeliefs) peers missed the goodbye of peer \(peer)")
            }
        }
        report.leaveSeconds = SimulationReport.Spread(times)
    }

    private mutating func lossy() {
        simulator.perform(.setLoss(0.1))
        let end = instant(seconds + options.seconds)
        while simulator.time < end {
            // Pauses of one second on average, so that this many are going on at any moment.
            for _ in 0..<max(1, options.peers / 100) {
                simulator.schedule(
                    .pause(drawRunning(), .nanoseconds(Int64(generator.unit() * 2e9))),
                    at: instant(seconds + generator.unit()))
            }
            run(to: seconds + 1)
        }
        for death in simulator.observer.deaths where death.isFalse {
            violate("peer \(death.observer) declared running peer \(death.subject) dead")
        }
        heal()
    }

    private mutating func partition() {
        let inside = (0..<simulator.count).map { $0 < options.peers / 2 }
        simulator.perform(.partition([Partition(isInside: inside, direction: .both)]))
        run(to: seconds + options.seconds)
        heal()
    }

    private mutating func churn() {
        var stopped = Array(options.peers..<(options.peers + spare))
        let pause = 60 / (0.1 * Double(options.peers))
        let end = instant(seconds + options.seconds)
        var started = [Double](repeating: 0, count: simulator.count)
        var next = seconds + pause
        var worst = 0.0
        while simulator.time < end {
            if seconds >= next {
                next += pause
                let old = drawRunning()
                let new = stopped.removeFirst()
                stopped.append(old)
                simulator.perform(generator.unit() < 0.5 ? .crash(old) : .leave(old))
                simulator.perform(.restartEmpty(new, knowing: [drawRunning(), drawRunning()]))
                started[new] = seconds
            }
            run(to: max(seconds + 0.01, min(next, seconds + 0.5)))
            worst = max(worst, missingShare(started))
        }
        report.worstMissingShare = worst
        if worst >= 0.01 { violate("\(worst * 100) % of live peers were missing from a live peer's view") }
        heal()
    }

    /// Share of ordered pairs of peers that have run for three seconds in which the first does not know the second.
    private func missingShare(_ started: [Double]) -> Double {
        let settled = (0..<simulator.count).filter { simulator.observer.isRunning[$0] && seconds - started[$0] > 3 }
        guard settled.count > 1 else { return 0 }
        var missing = 0
        for observer in settled {
            for subject in settled where subject != observer && !simulator.observer.believes(observer, subject) {
                missing += 1
            }
        }
        return Double(missing) / Double(settled.count * (settled.count - 1))
    }

    private mutating func measure() {
        run(to: seconds + options.seconds)
        guard run(to: seconds + Self.patience, step: 0.25, until: Self.agree) != nil else {
            return violate("the peers do not agree on the graph")
        }
        report.measurement = GraphAccuracy.compare(simulator)
    }

    private mutating func chaos() {
        let end = instant(seconds + options.seconds)
        var faults = FaultSchedule(generator: generator.split(), peers: options.peers)
        while simulator.time < end {
            let (pause, action) = faults.next(running: simulator.observer.isRunning)
            run(to: seconds + pause)
            simulator.perform(action)
        }
        simulator.perform(.setLoss(options.profile.loss))
        for index in 0..<options.peers where !simulator.observer.isRunning[index] {
            simulator.perform(generator.unit() < 0.5 ? .restart(index) : .restartEmpty(index, knowing: [drawRunning()]))
        }
        heal()
    }

    /// Ends all faults and demands that everyone agrees again.
    private mutating func heal() {
        simulator.perform(.partition([]))
        simulator.perform(.setLoss(options.profile.loss))
        // Pauses that are under way end by themselves.
        _ = run(to: seconds + 10, step: 0.05) { !$0.isAnyonePaused }
        let at = seconds
        guard let agreed = run(to: at + Self.patience, step: 0.25, until: Self.agree) else {
            let wrong = simulator.observer.wrongBeliefs
            return violate("\(Int(Self.patience)) s after the last fault: \(wrong) wrong beliefs, digests differ")
        }
        report.healSeconds = agreed - at
        // Suspicions from before the end of the faults may still run out.
        run(to: at + 5)
        let deaths = simulator.observer.deaths.count
        run(to: seconds + 10)
        for death in simulator.observer.deaths[deaths...] where death.isFalse {
            violate("peer \(death.observer) declared running peer \(death.subject) dead after the network had healed")
        }
    }

    /// A running peer other than the first, which everybody joined through, or the first if it is alone.
    private mutating func drawRunning() -> Int {
        let running = (1..<simulator.count).filter { simulator.observer.isRunning[$0] }
        return running.isEmpty ? 0 : running[generator.index(below: running.count)]
    }
}
