import Overlay
import Primitives

/// Plays the steps of a `ScenarioScript`, heals the swarm, and compares with what is expected.
extension ScenarioRunner {
    /// How long a replaced peer is away.
    private static let replacementSeconds = 5.0

    mutating func script() {
        guard let script = options.script else { return violate("there is no script to play") }
        report.name = script.name
        let start = seconds
        let sent = (simulator.sentBytes, simulator.sentDatagrams)
        var crashes: [(peer: Int, at: Double)] = []
        for step in script.steps {
            run(to: start + step.at.seconds)
            if case .crash(let peers) = step.action { crashes += peers.map { ($0, seconds) } }
            perform(step.action)
        }
        run(to: start + script.lasts.seconds)
        if seconds > start {
            let share = Double(options.peers) * (seconds - start)
            report.bytesPerPeerPerSecond = Double(simulator.sentBytes - sent.0) / share
            report.datagramsPerPeerPerSecond = Double(simulator.sentDatagrams - sent.1) / share
        }
        heal()
        noteDetections(crashes)
        compare(with: script.expectation)
    }

    private mutating func perform(_ action: ScenarioScript.Action) {
        switch action {
        case .crash(let peers): for peer in peers { simulator.perform(.crash(peer)) }
        case .leave(let peers): for peer in peers { simulator.perform(.leave(peer)) }
        case .restart(let peers): for peer in peers { simulator.perform(.restart(peer)) }
        case .restartEmpty(let peers):
            for peer in peers { simulator.perform(.restartEmpty(peer, knowing: [drawReachable()])) }
        case .pause(let peers, let duration): for peer in peers { simulator.perform(.pause(peer, duration)) }
        case .partition(let partition):
            simulator.perform(.partition(simulator.network.partitions + [partition]))
        case .heal: simulator.perform(.partition([]))
        case .network(let profile): simulator.perform(.setNetwork(profile))
        case .churn(let share, let duration): churn(share, for: duration.seconds)
        case .publish(let peers, let byteCount):
            let value = [UInt8](repeating: UInt8(truncatingIfNeeded: byteCount), count: byteCount)
            for peer in peers {
                simulator.perform(.publish(peer, EntryKey(kind: EntryKey.firstExperimentalKind), value))
            }
        }
    }

    /// Schedules the whole of a churn; which peers it hits is drawn now, among all but the first.
    private mutating func churn(_ sharePerMinute: Double, for duration: Double) {
        let pause = 60 / max(sharePerMinute * Double(options.peers), 1e-3)
        var at = pause
        while at < duration {
            let victim = 1 + generator.index(below: options.peers - 1)
            let end: Simulator.Action = generator.unit() < 0.5 ? .crash(victim) : .leave(victim)
            simulator.schedule(end, at: instant(seconds + at))
            simulator.schedule(
                .restartEmpty(victim, knowing: [0]), at: instant(seconds + at + Self.replacementSeconds))
            at += pause
        }
    }

    /// From each crash to the moments at which the others declared the peer dead.
    private mutating func noteDetections(_ crashes: [(peer: Int, at: Double)]) {
        var times: [Double] = []
        for crash in crashes {
            for death in simulator.observer.deaths where death.subject == crash.peer && !death.isFalse {
                let at = Double(death.at.nanoseconds) / 1e9
                if at >= crash.at { times.append(at - crash.at) }
            }
        }
        report.detections = times.sorted()
        report.detectionSeconds = SimulationReport.Spread(times)
    }

    private mutating func compare(with expectation: ScenarioScript.Expectation) {
        func check(_ what: String, _ found: Double?, _ bar: Double?) {
            guard let bar else { return }
            guard let found else { return violate("\(what): at most \(bar) expected, but there is no figure") }
            if found > bar { violate("\(what): at most \(bar) expected, but it was \(found)") }
        }
        check("seconds until all had joined", report.joinSeconds, expectation.joinSeconds)
        check("seconds until all agreed after the faults", report.healSeconds, expectation.healSeconds)
        check(
            "seconds until the median survivor knew of a crash", report.detectionSeconds?.median,
            expectation.medianDetectionSeconds)
        check(
            "running peers declared dead", Double(simulator.observer.deaths.count { $0.isFalse }),
            expectation.falseDeaths.map(Double.init))
        check("bytes a peer a second", report.bytesPerPeerPerSecond, expectation.bytesPerPeerPerSecond)
    }
}
