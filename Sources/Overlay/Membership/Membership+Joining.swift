internal import Primitives
internal import Wire

/// A peer through which this one wants into the swarm, or wants to stay in touch with it.
struct JoinAttempt: Sendable {
    let contact: Contact
    var nextAttempt: Instant
    var wait: Duration
}

/// A member list that arrives page by page.
struct Paging: Sendable {
    /// Everybody up to this identity has been listed.
    var cursor: PeerID?
    /// Who sent the last page.
    var source: PeerID
    var deadline: Instant
    /// How many the next request asks for.
    var pages: Int
}

extension Membership {
    /// Contacts that are tried at the same time.
    private static var maximumJoins: Int { 32 }
    /// A burst of pages is over when none has come for this long.
    private static var pageGap: Duration { .milliseconds(60) }
    /// A request for pages is repeated, elsewhere, after this long: above most round trips, and soon enough for a newcomer
    /// whose request came to somebody with too many.
    private static var pageTimeout: Duration { .milliseconds(400) }

    // MARK: The newcomer

    mutating func discover(_ contact: Contact, at now: Instant, into effects: inout [Effect]) {
        guard contact.peer != peer, !isLive(contact.peer), policy.keeps(contact.peer) else { return }
        if let known = joins.firstIndex(where: { $0.contact.peer == contact.peer }) {
            guard joins[known].contact != contact else { return }
            joins.remove(at: known)
        }
        guard joins.count < Self.maximumJoins else { return counters.count(.overLimit) }
        joins.append(JoinAttempt(contact: contact, nextAttempt: now, wait: configuration.joinRetryMinimum))
        if !isStarted { return }
        effects.append(.learn(contact))
    }

    /// Takes the records of members that this peer does not know yet as old news.
    mutating func remember(_ records: [KeptRecord], at now: Instant, into effects: inout [Effect]) {
        isReadingOldNews = true
        for kept in records where kept.record.peer != peer && others.slot(of: kept.record.peer) == nil {
            guard others.count < Limits.members else { break }
            revive(others.insert(Entry(kept, state: .left, since: now)), with: kept, at: now, into: &effects)
        }
        isReadingOldNews = false
    }

    func isLive(_ peer: PeerID) -> Bool { others.slot(of: peer).map { others[$0].state.isLive } ?? false }

    /// Knocks wherever nobody has answered yet. Contacts are kept for good: when a partition heals, or when everybody else
    /// has gone, they are the way back in.
    mutating func runJoins(at now: Instant, into effects: inout [Effect]) {
        for index in joins.indices where joins[index].nextAttempt <= now {
            if isLive(joins[index].contact.peer) {
                joins[index].wait = configuration.joinRetryMinimum
                joins[index].nextAttempt = now + configuration.joinRetryMaximum
                continue
            }
            effects.append(.send([.join(ownRecord)], to: joins[index].contact.peer))
            let wait = joins[index].wait
            // Whoever has not answered the first time may have lost the keys of an old session.
            if wait > configuration.joinRetryMinimum { effects.append(.renewSession(joins[index].contact.peer)) }
            joins[index].nextAttempt = now + wait * (0.75 + 0.5 * generator.unit())
            joins[index].wait = min(wait * 2, configuration.joinRetryMaximum)
        }
        if let due = paging?.deadline, due <= now { requestPage(at: now, into: &effects) }
    }

    /// The session could not be made; the next knock is not due earlier for that, but others may be tried at once.
    mutating func sessionFailed(_ peer: PeerID, at now: Instant) {
        guard !hasJoined else { return }
        for index in joins.indices where joins[index].contact.peer != peer && !isLive(joins[index].contact.peer) {
            joins[index].nextAttempt = min(joins[index].nextAttempt, now)
        }
    }

    mutating func takePage(
        _ records: [PeerRecord], through cursor: PeerID?, from sender: PeerID, at now: Instant,
        into effects: inout [Effect]
    ) {
        // Old news to everybody but us: not spread further.
        isReadingOldNews = true
        for record in records { hear(record, from: peer, at: now, into: &effects) }
        isReadingOldNews = false
        guard let cursor else {
            paging = nil
            finishJoining(into: &effects)
            return
        }
        if let known = paging?.cursor, known >= cursor { return }
        let pages = paging?.pages ?? configuration.firstPages
        paging = Paging(cursor: cursor, source: sender, deadline: now + Self.pageGap, pages: pages)
    }

    /// Asks for what follows, of a member drawn at random, so that one bootstrap peer does not carry a crowd by itself.
    private mutating func requestPage(at now: Instant, into effects: inout [Effect]) {
        guard let current = paging else { return }
        let source = draw(1) { $0.state == .alive && $0.roundTrip.smoothed != nil }.first ?? current.source
        paging?.source = source
        paging?.deadline = now + Self.pageTimeout
        let maximum = MembershipMessage.maximumPagesPerRequest
        paging?.pages = min(current.pages * 2, Int(maximum))
        let pages = UInt8(clamping: min(paging?.pages ?? 1, Int(maximum)))
        effects.append(.send([.stateRequest(after: current.cursor, pages: pages)], to: source))
    }

    mutating func finishJoining(into effects: inout [Effect]) {
        guard !hasJoined else { return }
        hasJoined = true
        effects.append(.event(.joined(members: liveCount)))
    }

    // MARK: The member

    mutating func admit(_ record: PeerRecord, from sender: PeerID, at now: Instant, into effects: inout [Effect]) {
        guard record.peer == sender else { return counters.count(.unexpected) }
        hear(record, from: sender, at: now, into: &effects)
        sendPages(max(1, takePages(configuration.firstPages, at: now)), after: nil, to: sender, into: &effects)
    }

    /// Answers a request for further pages; in a crowd perhaps with nothing, and the newcomer asks somebody else.
    mutating func answerStateRequest(
        after cursor: PeerID?, pages: UInt8, from sender: PeerID, at now: Instant, into effects: inout [Effect]
    ) {
        let pages = takePages(Int(min(pages, MembershipMessage.maximumPagesPerRequest)), at: now)
        guard pages > 0 else { return counters.count(.overLimit) }
        sendPages(pages, after: cursor, to: sender, into: &effects)
    }

    /// As many of so many pages as may be sent now.
    private mutating func takePages(_ wanted: Int, at now: Instant) -> Int {
        if now >= pageBurst.end { pageBurst = (now + configuration.pageBurstInterval, configuration.pageBurst) }
        let pages = min(wanted, pageBurst.left)
        pageBurst.left -= pages
        return pages
    }

    /// Lists live members from a cursor on, this peer among them, in at most so many datagrams.
    mutating func sendPages(_ pages: Int, after cursor: PeerID?, to receiver: PeerID, into effects: inout [Effect]) {
        var records = listedRecords(after: cursor, except: receiver, pages: pages)
        for page in 0..<pages {
            var bytes = Self.pageOverheadBytes
            var count = 0
            for record in records.prefix(MembershipMessage.maximumRecordsPerPage) {
                bytes += record.encodedByteCount
                if bytes > Limits.datagramPayloadBytes { break }
                count += 1
            }
            let rest = records.dropFirst(count)
            let through = rest.isEmpty ? nil : records.prefix(count).last?.peer
            effects.append(.send([.statePage(Array(records.prefix(count)), through: through)], to: receiver))
            if rest.isEmpty || page + 1 == pages { return }
            records = rest
        }
    }

    /// Type, cursor and count.
    private static var pageOverheadBytes: Int { 1 + 1 + PeerID.byteCount + 1 }

    /// As many records as the pages of one request can hold, and one more to show that something follows.
    private func listedRecords(
        after cursor: PeerID?, except receiver: PeerID, pages: Int
    ) -> ArraySlice<PeerRecord> {
        let maximum = pages * MembershipMessage.maximumRecordsPerPage + 1
        var records: [PeerRecord] = []
        var ownIsListed = cursor.map { $0 >= peer } ?? false
        var position = cursor.map { others.position(of: $0) } ?? 0
        while records.count < maximum, position < others.order.count {
            let entry = others[others.order[position]]
            position += 1
            if let cursor, entry.record.peer <= cursor { continue }
            if !ownIsListed, entry.record.peer > peer {
                records.append(ownRecord)
                ownIsListed = true
            }
            if entry.state.isLive, entry.record.peer != receiver { records.append(entry.record) }
        }
        if !ownIsListed, records.count < maximum { records.append(ownRecord) }
        return records[...]
    }
}

extension PeerRecord {
    /// Bytes of the encoding, without encoding it.
    var encodedByteCount: Int {
        // Identity, agreement key, address count, addresses of 18 bytes, incarnation, signature.
        PeerID.byteCount + 32 + 1 + contact.addresses.count * 18 + 8 + IdentityKey.signatureByteCount
    }
}
