import Overlay
import Primitives
import Wire

/// Random faults, their end, and what must hold afterwards.
extension ScenarioRunner {
    mutating func chaos() {
        let end = instant(seconds + options.seconds)
        var faults = FaultSchedule(
            generator: generator.split(), profile: options.profile,
            isPublic: (0..<simulator.count).map(simulator.isPublic))
        while simulator.time < end {
            let (pause, action) = faults.next(running: simulator.observer.isRunning)
            run(to: seconds + pause)
            simulator.perform(action)
        }
        simulator.perform(.setNetwork(options.profile))
        for index in 0..<options.peers where !simulator.observer.isRunning[index] {
            simulator.perform(
                generator.unit() < 0.5 ? .restart(index) : .restartEmpty(index, knowing: [drawReachable()]))
        }
        heal()
    }

    /// Ends all faults and demands that everyone agrees again.
    mutating func heal() {
        simulator.perform(.partition([]))
        simulator.perform(.setNetwork(options.profile))
        // Pauses that are under way end by themselves.
        _ = run(to: seconds + 10, step: 0.05) { !$0.isAnyonePaused }
        let at = seconds
        guard let agreed = run(to: at + options.patienceSeconds, step: 0.25, until: Self.agree) else {
            let wrong = simulator.observer.wrongBeliefs
            return violate(
                "\(Int(options.patienceSeconds)) s after the last fault: \(wrong) wrong beliefs, digests differ")
        }
        report.healSeconds = agreed - at
        // Suspicions from before the end of the faults may still run out.
        let membership = MembershipConfiguration()
        let shortest =
            (0..<simulator.count)
            .compactMap { simulator.node($0)?.timerProfile.minimumSuspicion(count: options.peers) }.max() ?? .zero
        let suspicion = shortest * membership.suspicionMaximumFactor
        run(to: at + suspicion.seconds + 1)
        let deaths = simulator.observer.deaths.count
        run(to: seconds + 10)
        for death in simulator.observer.deaths[deaths...] where death.isFalse {
            violate("peer \(death.observer) declared running peer \(death.subject) dead after the network had healed")
        }
    }

    /// What every core keeps is bounded, whatever has happened; of a large swarm every so manieth is looked at.
    mutating func checkBounds() {
        for index in stride(from: 0, to: simulator.count, by: max(1, simulator.count / 100)) {
            guard let node = simulator.node(index) else { continue }
            if node.members.count > Limits.members { violate("peer \(index) keeps \(node.members.count) members") }
            for owner in node.snapshot.owners where owner.entries.count > Limits.entriesPerOwner {
                violate("peer \(index) keeps \(owner.entries.count) entries of \(owner.peer.short)")
            }
        }
    }
}
