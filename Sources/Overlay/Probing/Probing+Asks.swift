internal import Primitives

extension Probing {
    /// Another peer plans on a link of this one that nobody has measured. What was measured just now is not measured again, and
    /// no more than so many links at a time are measured at others' wish.
    mutating func measureAsked(_ peer: PeerID, at now: Instant, _ effects: inout [Effect]) {
        if let measuredAt = links[peer]?.measuredAt, now < measuredAt + configuration.askInterval { return }
        // Order-free: a count.
        guard links.values.count(where: \.isRequested) < configuration.maximumAsked else { return }
        measure(peer, available: false, at: now, &effects)
    }
}
