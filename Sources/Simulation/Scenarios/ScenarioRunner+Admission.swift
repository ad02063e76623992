import Overlay
import Primitives
import Wire

/// A closed swarm, whose founder is the first peer.
extension ScenarioRunner {
    /// What honest members publish after a revocation, and the revoked one must not see.
    private static let newsKey = EntryKey(kind: 0x91)
    /// The time within which a revoked peer has to be cut off.
    private static let cutOffSeconds = 5.0

    /// The peer that has the ticket and is never on the list until the end.
    private var outsider: Int { options.peers }

    mutating func admitAll() {
        for index in 1..<options.peers { decide(index, isAdmitted: true) }
    }

    private mutating func decide(_ index: Int, isAdmitted: Bool) {
        simulator.give(
            .decide(AdmissionStatement(peer: simulator.identity(index), isAdmitted: isAdmitted)), to: 0)
    }

    mutating func admission() {
        var result = SimulationReport.Admission()
        result.refusedSeconds = knock()
        let revoked = drawRunning()
        result.cutOffSeconds = revoke(revoked)
        checkSilence(around: revoked)
        let at = seconds
        decide(outsider, isAdmitted: true)
        let member = outsider
        let admitted = run(to: at + options.patienceSeconds, step: 0.05) { simulator in
            (0..<simulator.count).allSatisfy { other in
                other == revoked || other == member || simulator.observer.believes(other, member)
            }
        }
        if let admitted { result.admittedSeconds = admitted - at } else { violate("an admitted peer does not get in") }
        report.admission = result
    }

    /// Somebody with the ticket alone: is told so, and gets nothing else.
    private mutating func knock() -> Double? {
        let (at, outsider) = (seconds, outsider)
        simulator.perform(.start(outsider, knowing: [0, 1, 2]))
        let told = run(to: at + 10, step: 0.05) { $0.node(outsider)?.admissions.isRefused == true }
        if told == nil { violate("a peer that is not admitted was not told within 10 s") }
        run(to: at + 10)
        if simulator.receivedCount(outsider) > 0 || simulator.sessionCount(outsider) > 0 {
            violate("a peer that is not admitted got \(simulator.receivedCount(outsider)) datagrams")
        }
        if (0..<options.peers).contains(where: { simulator.observer.believes($0, outsider) }) {
            violate("a peer that is not admitted is taken for a member")
        }
        return told.map { $0 - at }
    }

    private mutating func revoke(_ peer: Int) -> Double? {
        let at = seconds
        decide(peer, isAdmitted: false)
        let done = run(to: at + Self.cutOffSeconds, step: 0.01) { $0.sessionCount(peer) == 0 }
        if done == nil {
            violate("a revoked peer has \(simulator.sessionCount(peer)) sessions after \(Int(Self.cutOffSeconds)) s")
        }
        return done.map { $0 - at }
    }

    /// From now on the peer learns nothing, however it tries: everybody publishes, and nothing gets to it.
    private mutating func checkSilence(around revoked: Int) {
        let before = simulator.receivedCount(revoked)
        let writers = (0..<options.peers).filter { $0 != revoked }
        for writer in writers { simulator.perform(.publish(writer, Self.newsKey, [1])) }
        run(to: seconds + options.seconds)
        if simulator.receivedCount(revoked) != before {
            violate("a revoked peer got \(simulator.receivedCount(revoked) - before) datagrams afterwards")
        }
        for writer in writers where simulator.node(revoked)?.entry(of: simulator.identity(writer), Self.newsKey) != nil
        {
            violate("a revoked peer learnt what peer \(writer) published")
        }
        for reader in writers {
            for writer in writers
            where simulator.node(reader)?.entry(of: simulator.identity(writer), Self.newsKey) == nil {
                violate("peer \(reader) did not learn what peer \(writer) published")
            }
            if simulator.observer.believes(reader, revoked) {
                violate("peer \(reader) takes a revoked peer for a member")
            }
        }
        for death in simulator.observer.deaths where death.isFalse {
            violate("peer \(death.observer) declared running peer \(death.subject) dead")
        }
    }
}
