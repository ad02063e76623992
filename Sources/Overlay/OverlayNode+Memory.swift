package import Primitives

extension OverlayNode {
    /// Takes members and their entries as old news, as if this peer had known them for long: nobody is told, and nothing is
    /// checked again. For simulations that begin with a swarm which has settled.
    package mutating func remember(
        _ records: [KeptRecord], _ entries: [OwnedEntries], at now: Instant, into effects: inout [Effect]
    ) {
        var routed = Routed()
        membership.remember(records, at: now, into: &routed.membership)
        routeMembership(&routed, at: now)
        gossip.remember(entries)
        route(&routed, at: now, into: &effects)
    }

    /// What other peers keep of this one's record.
    package var keptRecord: KeptRecord { KeptRecord(record, withMessage: true) }

    /// This peer's own entries.
    package var ownEntries: OwnedEntries? { gossip.store.contents(of: peer) }
}
