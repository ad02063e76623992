internal import Primitives
internal import Wire

/// Views are compared by digests that ride on every ping and ack. News that missed somebody, because it is only sent a
/// bounded number of times, is so found within a probe interval instead of at the next periodic full exchange.
extension Membership {
    /// Statements sent in answer to one comparison: 8 datagrams of records.
    private static var maximumStatements: Int { 48 }
    /// Messages of item digests sent at once: enough for 1,440 differing members.
    private static var maximumItemPages: Int { 16 }

    /// What the view digest sums up: a mix of identity and incarnation (the finaliser of SplitMix64). Suspicion is left out,
    /// because it passes by itself.
    static func viewHash(_ peer: PeerID, _ incarnation: UInt64) -> UInt64 {
        var value = peer.prefix ^ (incarnation &* 0x9E37_79B9_7F4A_7C15)
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return (value ^ (value >> 31)) | 1
    }

    /// Begins a comparison if the digests differ and the difference is not just news on its way.
    mutating func compareView(
        _ digest: UInt64, with sender: PeerID, at now: Instant, into effects: inout [Effect]
    ) {
        guard digest != view.root else {
            // Somebody else's view is the same: nothing is missing from the list that was being read.
            paging = nil
            return finishJoining(into: &effects)
        }
        if let next = nextViewSync, now < next { return }
        let isPatient = now - (lastViewSync ?? startedAt) < configuration.viewSyncInterval * 2
        guard news.isEmpty || !isPatient else { return }
        nextViewSync = now + configuration.viewSyncInterval * (0.75 + 0.5 * generator.unit())
        lastViewSync = now
        if liveCount <= ItemDigests.maximumCount {
            effects.append(.send(items(in: .max).prefix(1).map { .viewItems($0) }, to: sender))
        } else {
            effects.append(.send([.viewBuckets(view.digests)], to: sender))
        }
    }

    mutating func answer(_ digests: BucketDigests, from sender: PeerID, into effects: inout [Effect]) {
        let mask = view.differing(from: digests)
        guard mask != 0 else { return }
        for page in items(in: mask).prefix(Self.maximumItemPages) {
            effects.append(.send([.viewItems(page)], to: sender))
        }
    }

    mutating func answer(_ digests: ItemDigests, from sender: PeerID, into effects: inout [Effect]) {
        var statements: [MembershipMessage] = []
        var wanted: [UInt64] = []
        // What the sender lacks or has otherwise.
        forEachLive(in: digests.range) { slot, subject, incarnation in
            let prefix = subject.prefix
            guard digests.covers(prefix), subject != sender, statements.count < Self.maximumStatements else {
                return
            }
            let stated = digests.hash(of: prefix)
            guard stated != Self.itemHash(subject, incarnation) else { return }
            statements.append(.alive(slot.map { others[$0].record } ?? ownRecord))
            if stated != nil { wanted.append(prefix) }
        }
        // What only the sender has, or has as living.
        for item in digests.items {
            if let slot = others.slot(withPrefix: item.prefix) {
                guard !others[slot].state.isLive else { continue }
                statements += overridingStatements(at: slot)
                wanted.append(item.prefix)
            } else if item.prefix != peer.prefix {
                wanted.append(item.prefix)
            }
        }
        if !wanted.isEmpty {
            statements.append(.viewRequest(prefixes: Array(wanted.prefix(ItemDigests.maximumCount))))
        }
        if !statements.isEmpty { effects.append(.send(statements, to: sender)) }
    }

    mutating func answer(_ prefixes: [UInt64], from sender: PeerID, into effects: inout [Effect]) {
        var statements: [MembershipMessage] = []
        for prefix in prefixes.prefix(Self.maximumStatements) {
            if prefix == peer.prefix {
                statements.append(.alive(ownRecord))
            } else if let slot = others.slot(withPrefix: prefix) {
                if others[slot].state == .suspect { statements.append(.alive(others[slot].record)) }
                statements += overridingStatements(at: slot)
            }
        }
        if !statements.isEmpty { effects.append(.send(statements, to: sender)) }
    }

    private static func itemHash(_ peer: PeerID, _ incarnation: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: viewHash(peer, incarnation))
    }

    private func items(in mask: UInt64) -> [ItemDigests] {
        var items: [ItemDigests.Item] = []
        for range in DigestTable.prefixes(in: mask) {
            forEachLive(in: range) { _, subject, incarnation in
                guard items.last?.prefix != subject.prefix else { return }
                items.append(ItemDigests.Item(prefix: subject.prefix, hash: Self.itemHash(subject, incarnation)))
            }
        }
        return ItemDigests.pages(mask: mask, items: items)
    }

    /// Live members with prefixes in a range, this peer (which has no slot) among them, in the order of the identities.
    /// Without the records, for a copy of each would be most of the work.
    private func forEachLive(
        in range: ClosedRange<UInt64>,
        _ body: (_ slot: PeerSlot?, _ peer: PeerID, _ incarnation: UInt64) -> Void
    ) {
        var ownIsDue = range.contains(peer.prefix)
        for slot in others.slots(withPrefixes: range) where others[slot].state.isLive {
            let subject = others.peer(at: slot)
            if ownIsDue, subject > peer {
                body(nil, peer, ownRecord.incarnation)
                ownIsDue = false
            }
            body(slot, subject, others[slot].record.incarnation)
        }
        if ownIsDue { body(nil, peer, ownRecord.incarnation) }
    }
}
