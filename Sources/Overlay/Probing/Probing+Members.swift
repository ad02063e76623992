import Primitives
import Wire

/// Members come and go; some of them are partners, whose links are measured.
extension Probing {
    mutating func memberUp(_ peer: PeerID, others: Int, at now: Instant, _ effects: inout [Effect]) {
        guard peer != local else { return }
        let unrestEnds = self.unrestEnds ?? now + configuration.longestUnrest
        self.unrestEnds = unrestEnds
        calmAt = max(calmAt ?? now, min(now + configuration.calm, unrestEnds) + spread)
        membershipChanged(others: others, at: now, &effects)
    }

    mutating func memberDown(_ peer: PeerID, others: Int, at now: Instant, _ effects: inout [Effect]) {
        guard peer != local else { return }
        removeLink(to: peer)
        nearest.removeAll { $0.peer == peer }
        neighbours.removeAll { $0 == peer }
        if held?.peer == peer { held = nil }
        site.forget(peer)
        if session?.peer == peer {
            session = nil
            scheduleDeadline = now
        }
        membershipChanged(others: others, at: now, &effects)
    }

    /// In a small swarm everyone is a partner at once; in a large one the choice is costly and waits for others.
    private mutating func membershipChanged(others: Int, at now: Instant, _ effects: inout [Effect]) {
        memberCount = others
        guard configuration.measuresLinks else { return }
        if memberCount < PartnerSelection.allPairsMembers {
            effects.append(.needMembers)
        } else if selectionDeadline.map({ $0 > now + .milliseconds(500) }) ?? true {
            selectionDeadline = now + .milliseconds(500)
        }
    }

    /// Chooses among all other live members, sorted.
    mutating func selectPartners(among members: [PeerID], at now: Instant) {
        memberCount = members.count
        chooseNeighbours(at: now)
        partners = PartnerSelection.partners(of: local, among: members, nearest: neighbours)
        for peer in partners { addLink(to: peer, at: now) }
        for peer in linkOrder where !partners.contains(peer) {
            guard let link = links[peer], link.measuredAt == nil, !link.isRequested, session?.peer != peer else {
                continue
            }
            removeLink(to: peer)
        }
        selectionDeadline = memberCount < PartnerSelection.allPairsMembers ? nil : neighboursDeadline
    }

    /// Takes the nearest members known so far, which become known only with time, and keeps them for long, because every
    /// new partner is news for the whole swarm.
    mutating func chooseNeighbours(at now: Instant) {
        guard memberCount >= PartnerSelection.allPairsMembers else { return }
        guard let deadline = neighboursDeadline else {
            neighboursDeadline = now + configuration.firstNeighbours
            return
        }
        guard now >= deadline else { return }
        neighboursDeadline = now + configuration.bandwidthAge
        neighbours = nearest.map(\.peer)
    }

    /// Begins to measure a link, with its first echo at a slightly random time.
    mutating func addLink(to peer: PeerID, at now: Instant) {
        guard let place = Self.place(of: peer, in: linkOrder, present: false) else { return }
        linkOrder.insert(peer, at: place)
        var link = ProbedLink(since: now, echoes: configuration.firstEchoes, interval: configuration.firstEchoInterval)
        link.nextEcho = now + configuration.firstEchoInterval * generator.unit()
        links[peer] = link
        noteEchoDeadline(of: peer)
    }

    mutating func removeLink(to peer: PeerID) {
        guard let place = Self.place(of: peer, in: linkOrder, present: true) else { return }
        linkOrder.remove(at: place)
        waiting.removeAll { $0 == peer }
        links[peer] = nil
    }

    /// Where a peer is in a sorted list, or where it belongs; `nil` if it is there (or not) against expectation.
    static func place(of peer: PeerID, in sorted: [PeerID], present: Bool) -> Int? {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < peer { low = middle + 1 } else { high = middle }
        }
        return (low < sorted.count && sorted[low] == peer) == present ? low : nil
    }
}
