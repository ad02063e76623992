import Primitives

/// What real streams tell of links.
extension Probing {
    /// Takes in what streams carried to a peer: bears out the rate to it for now, or has it measured at once.
    mutating func record(_ sample: DeliverySample, to peer: PeerID, at now: Instant, _ effects: inout [Effect]) {
        guard configuration.measuresBandwidth, links[peer]?.measuredAt != nil, let known = links[peer]?.sendBandwidth
        else {
            return
        }
        switch links[peer]?.passive.record(sample, known: known, policy: configuration.passive, at: now) {
        case .confirmed: links[peer]?.confirmedAt = now
        case .suspect where session?.peer != peer: measure(peer, available: false, at: now, &effects)
        case .suspect, .some(.none), nil: break
        }
    }

    /// When a link was last measured, or borne out since. The peer's direction is not, so that a whole measurement is not put
    /// off for ever.
    func freshSince(_ link: ProbedLink) -> Instant? {
        guard let measuredAt = link.measuredAt, let confirmedAt = link.confirmedAt, confirmedAt > measuredAt else {
            return link.measuredAt
        }
        return min(confirmedAt, measuredAt + configuration.bandwidthAge * Self.longestPassiveAge)
    }

    /// In units of the usual age.
    private static let longestPassiveAge = 2
}
