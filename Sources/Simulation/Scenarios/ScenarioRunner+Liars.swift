import Overlay
import Primitives

/// Liars with the swarm's secret among honest peers.
extension ScenarioRunner {
    /// Peers that lie, each in one way: every tenth, but never the first.
    private var liars: [Int] { (1..<options.peers).filter { $0 % 10 == 5 } }

    mutating func liar() {
        let liars = liars
        for (number, index) in liars.enumerated() {
            simulator.corrupt(index, Lie.allCases[number % Lie.allCases.count])
        }
        let end = seconds + options.seconds
        var round = 0
        while seconds < end {
            for index in liars { simulator.schedule(.lie(index), at: instant(seconds + generator.unit())) }
            // Honest peers go on publishing, so that there is something old to replay.
            let writer = drawRunning()
            if simulator.lie(writer) == nil {
                let value = [UInt8(truncatingIfNeeded: round), UInt8(truncatingIfNeeded: writer)]
                simulator.perform(.publish(writer, EntryKey(kind: 0x90), value))
                simulator.perform(.publish(writer, .capability, [UInt8(truncatingIfNeeded: round)] + value))
            }
            round += 1
            run(to: seconds + 1)
        }
        checkHonestViews()
        report.liars = liars.count
        let named = liars.filter { simulator.observer.blames[$0] > 0 }
        report.namedLiars = named.count
        for index in liars where simulator.observer.blames[index] == 0 {
            violate("nobody named liar \(index), which tells lies of the kind \(simulator.lie(index)?.rawValue ?? "")")
        }
        let honest = (0..<options.peers).filter { simulator.lie($0) == nil }
        let wronged = honest.filter { simulator.observer.blames[$0] > 0 }
        report.namedHonest = wronged.count
        for index in wronged { violate("honest peer \(index) was named \(simulator.observer.blames[index]) times") }
    }

    /// Every honest peer has of every honest peer exactly what that one has published, believes no honest peer dead, and has
    /// the same of the liars as the other honest peers.
    private mutating func checkHonestViews() {
        let honest = (0..<options.peers).filter { simulator.lie($0) == nil }
        let agreed = run(to: seconds + options.patienceSeconds, step: 0.5) { simulator in
            var common: Digest?
            for index in honest {
                guard let digest = simulator.digest(of: index) else { return false }
                if let common, common != digest { return false }
                common = digest
            }
            return true
        }
        if agreed == nil { violate("honest peers differ \(Int(options.patienceSeconds)) s after the last lie") }
        for death in simulator.observer.deaths where death.isFalse {
            violate("peer \(death.observer) declared running peer \(death.subject) dead")
        }
        let truths = honest.map { index in
            simulator.node(index)?.snapshot.owner(simulator.identity(index))?.entries ?? []
        }
        for observer in honest {
            guard let snapshot = simulator.node(observer)?.snapshot else { continue }
            if snapshot.owners.contains(where: { simulator.index(of: $0.peer) == nil }) {
                violate("peer \(observer) knows a peer that does not exist")
            }
            for (position, owner) in honest.enumerated()
            where snapshot.owner(simulator.identity(owner))?.entries != truths[position] {
                violate("peer \(observer) has other entries of peer \(owner) than that one")
            }
        }
    }
}
