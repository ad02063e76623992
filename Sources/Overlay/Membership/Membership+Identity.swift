internal import Primitives
internal import Wire

/// One identity in two processes, as when a state directory is copied: both sign records, each with a higher incarnation
/// than the other's. Each holder notices records that it did not sign; the other members notice that the records alternate.
extension Membership {
    /// A record with this peer's identity.
    mutating func hearOfMyself(_ record: PeerRecord, at now: Instant, into effects: inout [Effect]) {
        // Of two records with one incarnation others would keep either, so an equal one has to be outbid as well.
        guard record.incarnation >= ownRecord.incarnation, record.signature != ownRecord.signature else { return }
        guard record.isAuthentic(signer) else { return counters.count(.forged) }
        // Soon after the start it is a former life with a clock ahead of ours. Old records may come in any order.
        let isSettling = !hasJoined || now - startedAt < configuration.formerLifeWindow
        if isSettling, formerLives < Self.maximumFormerLives {
            formerLives += 1
            effects.append(.event(.formerLifeOutbid(incarnation: record.incarnation)))
            return renewOwnRecord(contact: ownRecord.contact, after: record.incarnation, at: now)
        }
        // Two peers with one identity must not drive each other's incarnations up at the speed of gossip.
        if let next = nextOutbidding, now < next { return }
        nextOutbidding = now + configuration.outbiddingInterval
        effects.append(
            .event(.identityConflict(incarnation: record.incarnation, addresses: record.contact.addresses)))
        renewOwnRecord(contact: ownRecord.contact, after: record.incarnation, at: now)
    }

    /// Records of former lives that are outbid at once after the start; more of them are a living twin's.
    private static var maximumFormerLives: Int { 4 }

    /// A record of another peer that is not newer than the known one, and not the same.
    mutating func hearTwin(
        _ slot: PeerSlot, _ record: PeerRecord, from sender: PeerID, at now: Instant, into effects: inout [Effect]
    ) {
        let known = others[slot].record
        // A peer that came back with an old clock must not be shadowed by the record of its former life.
        if sender == record.peer { effects.append(.send([.alive(known)], to: sender)) }
        guard record.incarnation == known.incarnation, others[slot].state == .alive else { return }
        guard let kept = authenticated(record) else { return counters.count(.forged) }
        if others[slot].twins.noteEqualIncarnation(at: now) { effects.append(.event(.identityUsedTwice(record.peer))) }
        // Everybody has to keep the same one of the two, whichever came first.
        guard record.signature.bytes.lexicographicallyPrecedes(known.signature.bytes) else { return }
        revive(slot, with: kept, at: now, into: &effects)
    }

    /// Two processes with one identity take each other's sessions away, so either hears little. Whichever of them pings gets
    /// the record that is known, and sees whether it is its own.
    mutating func remindTwin(_ peer: PeerID, at now: Instant, into effects: inout [Effect]) {
        guard let slot = others.slot(of: peer), others[slot].twins.isPossible(at: now) else { return }
        effects.append(.send([.alive(others[slot].record)], to: peer))
    }

    /// A newer record takes the place of the known one.
    mutating func noteReplacement(
        _ slot: PeerSlot, by record: PeerRecord, at now: Instant, into effects: inout [Effect]
    ) {
        let old = others[slot].record.contact.addresses
        guard old != record.contact.addresses else { return }
        if others[slot].twins.noteChange(from: old, to: record.contact.addresses, at: now) {
            effects.append(.event(.identityUsedTwice(record.peer)))
        }
    }
}

/// Counts how often a peer's addresses return to those before, which is what two processes that outbid each other look
/// like to others. A laptop that wanders between two networks does it more slowly.
struct TwinSigns: Sendable {
    /// Returns within `window` that are reported. A guess: a cable pulled and put back makes one.
    static let threshold = 3
    static let window: Duration = .seconds(120)
    /// Shortest time between two reports about one peer.
    static let reportInterval: Duration = .seconds(300)

    private var before: [NetworkAddress] = []
    private var count = 0
    private var windowStart: Instant?
    private var nextReport: Instant?
    private var lastSign: Instant?

    /// Whether this change is to be reported.
    mutating func noteChange(from old: [NetworkAddress], to new: [NetworkAddress], at now: Instant) -> Bool {
        defer { before = old }
        lastSign = now
        return before == new && note(at: now)
    }

    /// Whether a second record for one incarnation is to be reported.
    mutating func noteEqualIncarnation(at now: Instant) -> Bool {
        lastSign = now
        return note(at: now)
    }

    /// Whether there may be two processes: they were reported, or the addresses have changed of late, which most often is
    /// a peer that has moved. Asking costs that one a record more in the answers to its pings.
    func isPossible(at now: Instant) -> Bool {
        nextReport.map { now < $0 } ?? false || lastSign.map { now - $0 < Self.window } ?? false
    }

    private mutating func note(at now: Instant) -> Bool {
        if windowStart.map({ now - $0 > Self.window }) ?? true {
            windowStart = now
            count = 0
        }
        count += 1
        guard count >= Self.threshold, nextReport.map({ now >= $0 }) ?? true else { return false }
        nextReport = now + Self.reportInterval
        return true
    }
}
