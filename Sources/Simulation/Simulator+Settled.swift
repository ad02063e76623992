import Overlay
import Primitives

extension Simulator {
    /// Starts all peers at once as a swarm that has long settled: everybody knows everybody's record and capabilities, and
    /// nobody has a session or has measured anything. Joining costs a simulation the square of what it costs a peer, so this is
    /// how swarms begin that are too large to be watched joining.
    package mutating func startSettled() {
        for index in 0..<count { perform(.start(index, knowing: [])) }
        // In the order of the identities, in which tables take them fastest.
        let order = (0..<count).sorted { identity($0) < identity($1) }
        let records = order.compactMap { peers[$0].node?.keptRecord }
        let entries = order.compactMap { peers[$0].node?.ownEntries }
        for index in 0..<count { remember(records, entries, index) }
    }
}
