internal import Primitives

/// What a piece of news is about. The accusers of one suspicion travel side by side, each in its lane.
struct NewsSubject: Hashable, Sendable {
    let peer: PeerID
    let lane: UInt8
}

extension Membership {
    /// Queues a statement for everybody, in place of what was queued about the peer before.
    mutating func spread(_ statement: MembershipMessage, about peer: PeerID, lane: UInt8 = 0, at now: Instant) {
        if !isReadingOldNews { spread(statement.datagramBytes, about: peer, lane: lane, at: now) }
    }

    /// Queues an encoded statement.
    mutating func spread(_ statement: [UInt8], about peer: PeerID, lane: UInt8 = 0, at now: Instant) {
        if lane == 0 {
            for lane in 1...UInt8(Suspicion.maximumConfirmations) { news.remove(NewsSubject(peer: peer, lane: lane)) }
        }
        news.insert(statement, about: NewsSubject(peer: peer, lane: lane))
        if nextGossip == nil {
            // A moment to gather what comes together.
            let soon = now + profile.gossipInterval / 5
            nextGossip = lastGossip.map { max(soon, $0 + profile.gossipInterval) } ?? soon
        }
    }

    mutating func runGossip(at now: Instant, into effects: inout [Effect]) {
        guard let due = nextGossip, due <= now else { return }
        lastGossip = now
        nextGossip = nil
        guard !news.isEmpty, !live.isEmpty else { return }
        nextGossip = now + profile.gossipInterval
        let isFlood = news.count > configuration.floodItems
        let datagrams = isFlood ? configuration.floodDatagrams : configuration.gossipDatagrams
        for peer in drawNeighbours(configuration.gossipFanOut) {
            effects.append(.spread(to: peer, datagrams: datagrams))
        }
    }

    /// Fills a datagram that is about to leave with news.
    package mutating func fill(_ packer: inout DatagramPacker) {
        news.take(into: &packer, limit: configuration.retransmits(count: liveCount, queued: news.count))
    }

    /// Up to `count` different live peers for which `condition` holds, drawn at random.
    mutating func draw(_ count: Int, where condition: (Entry) -> Bool) -> [PeerID] {
        var drawn: [PeerID] = []
        guard live.count > 3 * count else {
            var candidates = live.filter { condition(others[$0]) }
            generator.shuffle(&candidates)
            return candidates.prefix(count).map { others.peer(at: $0) }
        }
        var attempts = 0
        while drawn.count < count, attempts < 4 * count + 8 {
            attempts += 1
            let slot = live[generator.index(below: live.count)]
            let peer = others.peer(at: slot)
            if !drawn.contains(peer), condition(others[slot]) { drawn.append(peer) }
        }
        return drawn
    }
}
