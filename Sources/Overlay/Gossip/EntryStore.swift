package import Primitives
internal import Wire

/// The entries of every known owner, with digests that are kept up to date one entry at a time.
///
/// Owners are added and removed by membership. Entries of an owner that is not live stay, so that a peer which comes back
/// need not be fetched again, but count in no digest and are offered to nobody.
package struct EntryStore: Sendable {
    /// An entry and the digest of its content.
    struct Stored: Sendable {
        let entry: SignedEntry
        let contentDigest: Digest

        init(_ entry: SignedEntry) {
            self.entry = entry
            contentDigest = entry.contentDigest
        }

        /// The item of the set digest: the first eight bytes of the content's digest.
        var hash: UInt64 { contentDigest.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
    }

    struct Owner: Sendable {
        var isLive: Bool
        /// Sorted by key.
        var entries: [Stored] = []
        /// Sum of the hashes of the entries.
        var sum: UInt64 = 0
        /// Digest over the entries, in the snapshot.
        var digest = DigestBuilder().finish()

        /// Whether an entry under a key may be kept. Of an owner with too many, everybody keeps those with the smallest keys,
        /// whatever arrived first: so two peers that were told different parts still come to hold the same.
        func hasRoom(for key: EntryKey) -> Bool {
            guard entries.count >= Limits.entriesPerOwner, let last = entries.last else { return true }
            return key <= last.entry.key
        }
    }

    /// What happened to an entry that was offered.
    enum Verdict: Equatable, Sendable {
        case stored
        case dropped(OverlayDrop)
        /// Two values for one version; the one with the greater content digest stays, so that everybody keeps the same.
        case equivocation(replaced: Bool)
    }

    private(set) var owners: PeerTable<Owner>
    private(set) var digests = DigestTable()

    /// A store without owners; the seed is that of their table.
    package init(seed: UInt64 = 1) { owners = PeerTable(seed: seed) }

    // MARK: Owners

    /// Whether an owner's entries count.
    func isLive(_ peer: PeerID) -> Bool { owners.slot(of: peer).map { owners[$0].isLive } ?? false }

    /// Makes an owner live; its entries count from now on.
    mutating func revive(_ peer: PeerID) {
        if let slot = owners.slot(of: peer) {
            guard !owners[slot].isLive else { return }
            owners[slot].isLive = true
            digests.replace(peer, old: 0, new: owners[slot].sum)
        } else {
            _ = owners.insert(Owner(isLive: true), for: peer)
        }
    }

    /// Takes an owner out of the digests.
    mutating func retire(_ peer: PeerID) {
        guard let slot = owners.slot(of: peer), owners[slot].isLive else { return }
        owners[slot].isLive = false
        digests.replace(peer, old: owners[slot].sum, new: 0)
    }

    /// Drops an owner and its entries.
    mutating func forget(_ peer: PeerID) {
        retire(peer)
        owners.remove(peer)
    }

    // MARK: Entries

    /// The entry under a key.
    package func entry(of peer: PeerID, _ key: EntryKey) -> SignedEntry? {
        guard let slot = owners.slot(of: peer) else { return nil }
        let position = Self.position(of: key, in: owners[slot].entries)
        let entries = owners[slot].entries
        return position < entries.count && entries[position].entry.key == key ? entries[position].entry : nil
    }

    /// Takes an entry if it is new, in bounds and signed by a live owner.
    mutating func offer(_ entry: SignedEntry, signer: Signer) -> Verdict {
        guard let slot = owners.slot(of: entry.owner), owners[slot].isLive else { return .dropped(.unknownOwner) }
        let count = owners[slot].entries.count
        let position = Self.position(of: entry.key, in: owners[slot].entries)
        guard position < count, owners[slot].entries[position].entry.key == entry.key else {
            guard owners[slot].hasRoom(for: entry.key) else { return .dropped(.overLimit) }
            guard entry.isAuthentic(signer) else { return .dropped(.forged) }
            let stored = Stored(entry)
            owners[slot].entries.insert(stored, at: position)
            let evicted = count >= Limits.entriesPerOwner ? owners[slot].entries.removeLast() : nil
            change(slot, by: stored.hash &- (evicted?.hash ?? 0))
            return .stored
        }
        // Most of what comes is known. The numbers tell, without counting a reference to the known value.
        let version = owners[slot].entries[position].entry.version
        if entry.version < version { return .dropped(.stale) }
        // Nobody can make an equal signature for another value, and it is at hand.
        if entry.version == version,
            owners[slot].entries[position].entry.signature == entry.signature
                || owners[slot].entries[position].entry.value == entry.value
        {
            return .dropped(.duplicate)
        }
        let known = owners[slot].entries[position]
        guard entry.isAuthentic(signer) else { return .dropped(.forged) }
        let stored = Stored(entry)
        let equivocates = entry.version == known.entry.version
        if equivocates, stored.contentDigest < known.contentDigest { return .equivocation(replaced: false) }
        owners[slot].entries[position] = stored
        change(slot, by: stored.hash &- known.hash)
        return equivocates ? .equivocation(replaced: true) : .stored
    }

    private mutating func change(_ slot: Int, by difference: UInt64) {
        let old = owners[slot].sum
        owners[slot].sum = old &+ difference
        owners[slot].digest = Self.digest(of: owners[slot])
        digests.replace(owners.peer(at: slot), old: old, new: owners[slot].sum)
    }

    private static func position(of key: EntryKey, in entries: [Stored]) -> Int {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].entry.key < key { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Summaries

    /// The hash that stands for an owner in a comparison: 32 bits of the sum of its entries' hashes.
    static func itemHash(_ sum: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: sum ^ (sum >> 32)) }

    /// Live owners in some buckets that have entries.
    func items(in mask: UInt64) -> [ItemDigests] {
        var items: [ItemDigests.Item] = []
        for range in DigestTable.prefixes(in: mask) {
            for slot in owners.slots(withPrefixes: range) where owners[slot].isLive && !owners[slot].entries.isEmpty {
                let prefix = owners.peer(at: slot).prefix
                guard items.last?.prefix != prefix else { continue }
                items.append(ItemDigests.Item(prefix: prefix, hash: Self.itemHash(owners[slot].sum)))
            }
        }
        return ItemDigests.pages(mask: mask, items: items)
    }

    /// Everything of the live owners.
    package var snapshot: GraphSnapshot {
        GraphSnapshot(
            owners: owners.order.filter { owners[$0].isLive }.map { slot in
                GraphSnapshot.Owner(
                    peer: owners.peer(at: slot),
                    entries: owners[slot].entries.map(\.entry).filter { !$0.value.isEmpty },
                    digest: owners[slot].digest)
            })
    }

    /// The snapshot's digest, without the snapshot.
    package var snapshotDigest: Digest {
        GraphSnapshot.digest(
            of: owners.order.filter { owners[$0].isLive }.map { (owners.peer(at: $0), owners[$0].digest) })
    }

    private static func digest(of owner: Owner) -> Digest {
        var builder = DigestBuilder()
        for stored in owner.entries { builder.update(stored.contentDigest.bytes) }
        return builder.finish()
    }
}
