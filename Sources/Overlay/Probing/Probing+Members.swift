import Primitives
import Wire

/// Members come and go; some of them are partners, whose links are measured.
extension Probing {
    mutating func memberUp(_ peer: PeerID, at now: Instant) {
        guard peer != local, let place = Self.place(of: peer, in: members, present: false) else { return }
        members.insert(peer, at: place)
        let unrestEnds = self.unrestEnds ?? now + configuration.longestUnrest
        self.unrestEnds = unrestEnds
        calmAt = max(calmAt ?? now, min(now + configuration.calm, unrestEnds) + spread)
        membershipChanged(at: now)
    }

    mutating func memberDown(_ peer: PeerID, at now: Instant) {
        guard let place = Self.place(of: peer, in: members, present: true) else { return }
        members.remove(at: place)
        removeLink(to: peer)
        nearest.removeAll { $0.peer == peer }
        neighbours.removeAll { $0 == peer }
        if held?.peer == peer { held = nil }
        if session?.peer == peer {
            session = nil
            scheduleDeadline = now
        }
        membershipChanged(at: now)
    }

    /// In a small swarm everyone is a partner at once; in a large one the choice is costly and waits for others.
    mutating func membershipChanged(at now: Instant) {
        if members.count < PartnerSelection.allPairsMembers {
            selectPartners(at: now)
        } else if selectionDeadline.map({ $0 > now + .milliseconds(500) }) ?? true {
            selectionDeadline = now + .milliseconds(500)
        }
    }

    mutating func selectPartners(at now: Instant) {
        chooseNeighbours(at: now)
        partners = PartnerSelection.partners(of: local, among: members, nearest: neighbours)
        for peer in partners { addLink(to: peer, at: now) }
        for peer in linkOrder where !partners.contains(peer) {
            guard let link = links[peer], link.measuredAt == nil, !link.isRequested, session?.peer != peer else {
                continue
            }
            removeLink(to: peer)
        }
        selectionDeadline = members.count < PartnerSelection.allPairsMembers ? nil : neighboursDeadline
    }

    /// Takes the nearest members known so far, which become known only with time, and keeps them for long, because every
    /// new partner is news for the whole swarm.
    mutating func chooseNeighbours(at now: Instant) {
        guard members.count >= PartnerSelection.allPairsMembers else { return }
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
        var link = ProbedLink(since: now, echoes: configuration.firstEchoes)
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
