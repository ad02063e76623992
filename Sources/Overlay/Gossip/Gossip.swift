package import Primitives
internal import Wire

/// Spreads the signed entries of every peer to every peer: new ones are pushed a few times, and anti-entropy finds and sends
/// what is missing.
///
/// Anti-entropy (after Scuttlebutt: van Renesse, Dumitriu, Gough, Thomas, LADIS 2008, but by digests, since pushed entries
/// arrive out of order): every ping and ack carries the root digest of the sender's entries. If roots stay different, one
/// side sends the hash of every owner's entries (through bucket digests first, if owners are many), the other answers with
/// its versions for the owners that differ, and then each sends the other what is newer.
package struct Gossip: ProtocolCore {
    package enum Input: Sendable {
        case start
        case receive(GossipMessage, from: PeerID)
        case timer
        case publish(EntryKey, value: [UInt8])
        case memberUp(PeerID)
        case memberDown(PeerID)
        case memberForgotten(PeerID)
    }

    package enum Effect: Sendable {
        /// Messages for one peer.
        case send([GossipMessage], to: PeerID)
        /// So many datagrams full of pending entries for each of so many neighbours, whom membership draws.
        case push(fanOut: Int, datagrams: Int)
        case event(OverlayEvent)
    }

    /// One of an owner's entries, as the subject of a push.
    struct Subject: Hashable, Sendable {
        let owner: PeerID
        let key: EntryKey
    }

    let configuration: GossipConfiguration
    let signer: Signer
    private var generator: SeededGenerator

    package internal(set) var store: EntryStore
    package private(set) var counters = OverlayCounters()
    private var pending = BroadcastQueue<Subject>()
    /// Live peers beside this one.
    private var liveCount = 0

    private var lastVersion: UInt64
    private var startedAt: Instant?
    private var withdrawals: [EntryKey] = []
    private var nextPush: Instant?
    private var lastPush: Instant?
    private var lastChange: Instant?
    private var lastSync: Instant?
    private var nextSync: Instant?

    /// A store that holds nothing but this peer as an owner. Versions of own entries start above `firstVersion`, the wall
    /// clock in milliseconds at the start, so that a peer which lost its memory still publishes newer ones.
    package init(
        configuration: GossipConfiguration = GossipConfiguration(), signer: Signer, firstVersion: UInt64, seed: UInt64,
        pool: (any StatementPool)? = nil
    ) {
        self.configuration = configuration
        self.signer = signer
        generator = SeededGenerator(seed: seed)
        lastVersion = firstVersion
        store = EntryStore(seed: seed, pool: pool)
        store.revive(signer.peer)
    }

    /// The message that rides on pings and acks.
    package var rootMessage: GossipMessage { .root(store.digests.root) }

    package mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        switch input {
        case .start: startedAt = startedAt ?? now
        case .receive(let message, let sender): receive(message, from: sender, at: now, into: &effects)
        case .timer: break
        case .publish(let key, let value): publish(key, value, at: now, into: &effects)
        case .memberUp(let peer):
            guard !store.isLive(peer) else { break }
            store.revive(peer)
            liveCount += 1
            lastChange = now
        case .memberDown(let peer):
            retire(peer)
            lastChange = now
        case .memberForgotten(let peer):
            retire(peer)
            store.forget(peer)
        }
        runTimers(at: now, into: &effects)
    }

    private mutating func retire(_ peer: PeerID) {
        guard peer != signer.peer, store.isLive(peer) else { return }
        store.retire(peer)
        liveCount -= 1
    }

    // MARK: Own entries

    private mutating func publish(
        _ key: EntryKey, _ value: [UInt8], at now: Instant, into effects: inout [Effect]
    ) {
        guard value.count <= Limits.entryDatagramValueBytes else {
            effects.append(.event(.publishRefused(key, byteCount: value.count)))
            return
        }
        withdrawals.removeAll { $0 == key }
        guard store.entry(of: signer.peer, key)?.value != value else { return }
        lastVersion += 1
        take(SignedEntry(key: key, version: lastVersion, value: value, signer: signer), at: now, into: &effects)
    }

    /// Another peer has an entry of ours that is newer than what we know of: a former life whose clock was ahead.
    private mutating func hearOfMyself(_ entry: SignedEntry, at now: Instant, into effects: inout [Effect]) {
        let known = store.entry(of: signer.peer, entry.key)
        if let known, known.version > entry.version { return counters.count(.stale) }
        if let known, known.version == entry.version, known.value == entry.value { return counters.count(.duplicate) }
        guard entry.isAuthentic(signer) else { return counters.count(.forged) }
        lastVersion = max(lastVersion, entry.version)
        if let known {
            lastVersion += 1
            take(
                SignedEntry(key: entry.key, version: lastVersion, value: known.value, signer: signer), at: now,
                into: &effects)
        } else {
            // Kept like everybody else keeps it, until it is published again or withdrawn.
            withdrawals.append(entry.key)
            take(entry, at: now, into: &effects)
        }
    }

    // MARK: Entries

    private mutating func take(_ entry: SignedEntry, at now: Instant, into effects: inout [Effect]) {
        switch store.offer(entry, signer: signer) {
        case .stored: accept(entry, at: now, into: &effects)
        case .dropped(let reason): counters.count(reason)
        case .equivocation(let replaced):
            counters.count(.equivocation)
            effects.append(.event(.equivocation(owner: entry.owner, entry.key)))
            if replaced { accept(entry, at: now, into: &effects) }
        }
    }

    private mutating func accept(_ entry: SignedEntry, at now: Instant, into effects: inout [Effect]) {
        lastChange = now
        if let kept = store.kept(of: entry.owner, entry.key) {
            pending.insert(kept.datagramBytes, about: Subject(owner: entry.owner, key: entry.key))
        }
        schedulePush(at: now)
        effects.append(.event(.entryUpdated(owner: entry.owner, entry.key)))
    }

    /// Takes what live owners have published, where nothing is known of them yet, as old news.
    mutating func remember(_ entries: [OwnedEntries]) { for contents in entries { store.adopt(contents) } }

    // MARK: Pushing

    private mutating func schedulePush(at now: Instant) {
        guard nextPush == nil else { return }
        let soon = now + configuration.pushInterval / 5  // a moment to gather what comes together
        nextPush = lastPush.map { max(soon, $0 + configuration.pushInterval) } ?? soon
    }

    private mutating func runTimers(at now: Instant, into effects: inout [Effect]) {
        if let due = nextPush, due <= now {
            nextPush = nil
            lastPush = now
            if !pending.isEmpty, liveCount > 0 {
                nextPush = now + configuration.pushInterval
                effects.append(.push(fanOut: configuration.pushFanOut, datagrams: configuration.pushDatagrams))
            }
        }
        if let due = withdrawalTime, due <= now {
            let keys = withdrawals
            withdrawals = []
            for key in keys {
                lastVersion += 1
                take(SignedEntry(key: key, version: lastVersion, value: [], signer: signer), at: now, into: &effects)
            }
        }
    }

    /// Fills a datagram that is about to leave with pending entries.
    package mutating func fill(_ packer: inout DatagramPacker) {
        pending.take(into: &packer, limit: configuration.pushes)
    }

    private var withdrawalTime: Instant? {
        guard !withdrawals.isEmpty, let startedAt else { return nil }
        return startedAt + configuration.withdrawalGrace
    }

    package var nextDeadline: Instant? {
        guard let first = nextPush else { return withdrawalTime }
        return withdrawalTime.map { min($0, first) } ?? first
    }

    // MARK: Anti-entropy

    private mutating func receive(
        _ message: GossipMessage, from sender: PeerID, at now: Instant, into effects: inout [Effect]
    ) {
        switch message {
        case .root(let root): compare(root, with: sender, at: now, into: &effects)
        case .entry(let entry):
            if entry.owner == signer.peer {
                hearOfMyself(entry, at: now, into: &effects)
            } else {
                take(entry, at: now, into: &effects)
            }
        case .buckets(let digests):
            let mask = store.digests.differing(from: digests)
            guard mask != 0 else { return }
            for page in store.items(in: mask).prefix(Self.maximumItemPages) {
                effects.append(.send([.owners(page)], to: sender))
            }
        case .owners(let digests): answer(digests, from: sender, into: &effects)
        case .versions(let owner, let versions): answer(versions, of: owner, from: sender, into: &effects)
        case .request(let owner, let keys): answer(keys, of: owner, from: sender, into: &effects)
        }
    }

    /// Messages of owner digests sent at once: enough for 1,440 owners that differ.
    private static let maximumItemPages = 16

    private mutating func compare(_ root: UInt64, with sender: PeerID, at now: Instant, into effects: inout [Effect]) {
        guard root != store.digests.root, sender != signer.peer, store.isLive(sender) else { return }
        if let nextSync, now < nextSync { return }
        let isSettled = lastChange.map { now - $0 >= configuration.settleTime } ?? true
        let isImpatient = (lastSync ?? startedAt).map { now - $0 >= configuration.syncPatience } ?? true
        guard isSettled || isImpatient else { return }
        lastSync = now
        nextSync = now + configuration.syncInterval * (0.75 + 0.5 * generator.unit())
        if store.owners.count <= ItemDigests.maximumCount {
            for page in store.items(in: .max) { effects.append(.send([.owners(page)], to: sender)) }
        } else {
            effects.append(.send([.buckets(store.digests.digests)], to: sender))
        }
    }

    /// The sender's hash for every owner it has entries of: whoever is missing there gets the entries at once, whoever
    /// differs is compared version by version.
    private mutating func answer(_ digests: ItemDigests, from sender: PeerID, into effects: inout [Effect]) {
        var answers: [GossipMessage] = []
        var bytes = 0
        for slot in store.owners.slots(withPrefixes: digests.range)
        where store.owners[slot].isLive && bytes < configuration.answerBytes {
            let peer = store.owners.peer(at: slot)
            guard digests.covers(peer.prefix) else { continue }
            let stated = digests.hash(of: peer.prefix)
            if let stated {
                guard stated != EntryStore.itemHash(store.owners[slot].contents.sum) else { continue }
                let entries = store.owners[slot].contents.entries
                answers.append(
                    .versions(
                        owner: peer, entries.map { EntryVersion(key: $0.entry.key, version: $0.entry.version) }))
                bytes += PeerID.byteCount + 2 + 10 * entries.count
            } else {
                for kept in store.owners[slot].contents.entries {
                    answers.append(.entry(kept.entry))
                    bytes += kept.entry.value.count + Self.entryOverheadBytes
                }
            }
        }
        if !answers.isEmpty { effects.append(.send(answers, to: sender)) }
    }

    /// Type, owner, key, version, length and signature of an entry.
    private static let entryOverheadBytes = 1 + 32 + 2 + 8 + 2 + 64

    private mutating func answer(
        _ versions: [EntryVersion], of peer: PeerID, from sender: PeerID, into effects: inout [Effect]
    ) {
        guard let slot = store.owners.slot(of: peer), store.owners[slot].isLive else { return }
        var wanted: [EntryKey] = []
        var answers: [GossipMessage] = []
        let entries = store.owners[slot].contents.entries.map(\.entry)
        for entry in entries {
            let stated = versions.first { $0.key == entry.key }?.version
            // An equal version is sent, too, if it is the only possible cause of the difference: equivocation.
            if stated.map({ $0 < entry.version }) ?? true { answers.append(.entry(entry)) }
        }
        let contents = store.owners[slot].contents
        for version in versions where contents.hasRoom(for: version.key) {
            let known = entries.first { $0.key == version.key }?.version
            if known.map({ $0 < version.version }) ?? true { wanted.append(version.key) }
        }
        if answers.isEmpty, wanted.isEmpty, versions.allSatisfy({ contents.hasRoom(for: $0.key) }) {
            answers = entries.map { .entry($0) }
            wanted = entries.map(\.key)
        }
        if !wanted.isEmpty { answers.append(.request(owner: peer, wanted)) }
        if !answers.isEmpty { effects.append(.send(answers, to: sender)) }
    }

    private mutating func answer(
        _ keys: [EntryKey], of peer: PeerID, from sender: PeerID, into effects: inout [Effect]
    ) {
        var bytes = 0
        var answers: [GossipMessage] = []
        for key in keys where bytes < configuration.answerBytes {
            guard let entry = store.entry(of: peer, key) else { continue }
            bytes += entry.value.count + Self.entryOverheadBytes
            answers.append(.entry(entry))
        }
        if !answers.isEmpty { effects.append(.send(answers, to: sender)) }
    }
}
