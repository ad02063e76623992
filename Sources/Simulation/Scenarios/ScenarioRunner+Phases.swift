import Overlay
import Primitives

/// The main phases of the scenarios.
extension ScenarioRunner {
    mutating func join() {
        if options.startsSettled { return simulator.startSettled() }
        simulator.perform(.start(0, knowing: []))
        if options.scenario == .admission { admitAll() }
        var last = 0.0
        for index in 1..<options.peers {
            let at = generator.unit() * 0.2
            last = max(last, at)
            simulator.schedule(.start(index, knowing: [0]), at: instant(at))
        }
        run(to: last)
        if let done = run(to: last + options.patienceSeconds, step: 0.01, until: { $0.observer.wrongBeliefs == 0 }) {
            report.joinSeconds = done - last
        } else {
            violate(
                "\(simulator.observer.wrongBeliefs) wrong beliefs \(Int(options.patienceSeconds)) s after the last start"
            )
        }
        if let equal = run(to: last + options.patienceSeconds, step: 0.25, until: Self.agree) {
            report.digestsEqualSeconds = equal - last
        } else {
            violate("digests differ \(Int(options.patienceSeconds)) s after the last start")
        }
    }

    mutating func steady() {
        settle()
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

    /// Waits until first measurements and what follows from them are over: until two windows of ten seconds, at least 30
    /// seconds after the start, differ by less than a tenth in what was sent.
    private mutating func settle() {
        run(to: max(seconds, 30))
        var before = Double.infinity
        let end = seconds + Self.settlingSeconds
        while seconds < end {
            let sent = simulator.sentBytes
            run(to: seconds + 10)
            let now = Double(simulator.sentBytes - sent)
            if abs(now - before) < 0.1 * now { break }
            before = now
        }
        report.settledSeconds = seconds
    }

    /// The longest that `settle` waits; a swarm that has not settled by then is measured as it is.
    private static let settlingSeconds = 300.0

    /// Whether all links to partners are measured, and everybody knows it.
    static func isGraphKnown(_ simulator: Simulator) -> Bool { simulator.isGraphComplete && agree(simulator) }

    /// Counts what each access link carries, in windows of ten minutes from the start on.
    mutating func upkeep() {
        var shares: [[Double]] = Array(repeating: [], count: simulator.count)
        var before = Array(repeating: (up: 0, down: 0), count: simulator.count)
        var start = 0.0
        while start < options.seconds {
            run(to: start + Self.windowSeconds)
            let carried = simulator.carriedBytes
            for index in 0..<carried.count {
                let access = simulator.network.access[index]
                let up = Double(carried[index].up - before[index].up) / access.up.bytesPerSecond
                let down = Double(carried[index].down - before[index].down) / access.down.bytesPerSecond
                shares[index].append(max(up, down) / (seconds - start))
            }
            before = carried
            start = seconds
        }
        report.accessShare = SimulationReport.Spread(shares.map { $0.reduce(0, +) / Double(max($0.count, 1)) })
        report.accessShareInWindow = SimulationReport.Spread(shares.flatMap { $0 })
        guard run(to: seconds + options.patienceSeconds, step: 0.25, until: Self.agree) != nil else {
            return violate("the peers do not agree on the graph")
        }
        report.measurement = GraphAccuracy.compare(simulator)
    }

    /// Over shorter times than this a train that lasts milliseconds has any share of a link.
    private static let windowSeconds = 600.0

    /// Up to so many peers, more crashes are played: the time to a single one's discovery varies by a second.
    private static let manyCrashes = 200

    mutating func crash() {
        var times: [Double] = []
        // Round trips to neighbours are known by then.
        run(to: max(seconds, 15))
        for _ in 0..<(options.peers <= Self.manyCrashes ? 20 : 5) {
            let victim = drawRunning()
            let at = seconds
            let known = simulator.observer.deaths.count
            simulator.perform(.crash(victim))
            let done = run(to: at + options.seconds, step: 0.05) { $0.observer.wrongBeliefs == 0 }
            if done == nil { violate("\(simulator.observer.wrongBeliefs) peers missed the death of peer \(victim)") }
            times += simulator.observer.deaths[known...].filter { $0.subject == victim }
                .map { Double($0.at.nanoseconds) / 1e9 - at }
            // It comes back, so that the swarm keeps its size.
            simulator.perform(.restartEmpty(victim, knowing: [drawReachable()]))
            if run(to: seconds + options.patienceSeconds, step: 0.05, until: { $0.observer.wrongBeliefs == 0 }) == nil {
                violate("peer \(victim) did not come back")
            }
            run(to: seconds + 2)
        }
        report.detectionSeconds = SimulationReport.Spread(times)
        report.detections = times.sorted()
    }

    mutating func leave() {
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

    mutating func lossy() {
        simulator.perform(.setLoss(0.1))
        let end = instant(seconds + options.seconds)
        // A pause that began within another would make one of up to twice the length.
        var pausedUntil = [Double](repeating: 0, count: simulator.count)
        while simulator.time < end {
            // Pauses of one second on average, so that this many are going on at any moment.
            for _ in 0..<max(1, options.peers / 100) {
                let peer = drawRunning()
                let at = seconds + generator.unit()
                let length = generator.unit() * 2
                guard at >= pausedUntil[peer] else { continue }
                pausedUntil[peer] = at + length
                simulator.schedule(.pause(peer, .nanoseconds(Int64(length * 1e9))), at: instant(at))
            }
            run(to: seconds + 1)
        }
        for death in simulator.observer.deaths where death.isFalse {
            violate("peer \(death.observer) declared running peer \(death.subject) dead")
        }
        heal()
    }

    mutating func partition() {
        let inside = (0..<simulator.count).map { $0 < options.peers / 2 }
        simulator.perform(.partition([Partition(isInside: inside, direction: .both)]))
        run(to: seconds + options.seconds)
        heal()
    }

    mutating func churn() {
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
                simulator.perform(.restartEmpty(new, knowing: [drawReachable(), drawReachable()]))
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
    func missingShare(_ started: [Double]) -> Double {
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

    mutating func measure() {
        let end = seconds + options.seconds
        if let done = run(to: end + options.patienceSeconds, step: 0.25, until: Self.isGraphKnown) {
            report.graphSeconds = done
        } else {
            violate("the first graph is not complete \(Int(seconds)) s after the first start")
        }
        run(to: end)
        guard run(to: seconds + options.patienceSeconds, step: 0.25, until: Self.agree) != nil else {
            return violate("the peers do not agree on the graph")
        }
        report.measurement = GraphAccuracy.compare(simulator)
    }
}
