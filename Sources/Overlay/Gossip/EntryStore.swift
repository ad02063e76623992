package import Primitives
internal import Wire

/// The entries of every known owner, with digests that are kept up to date one entry at a time.
///
/// Owners are added and removed by membership. Entries of an owner that is not live stay, so that a peer which comes back
/// need not be fetched again, but count in no digest and are offered to nobody.
package struct EntryStore: Sendable {
    struct Owner: PeerOwned {
        var isLive: Bool
        var contents: OwnedEntries

        var peer: PeerID { contents.owner }
    }

    /// What happened to an entry that was offered.
    package enum Verdict: Equatable, Sendable {
        case stored
        case dropped(OverlayDrop)
        /// Two values for one version; the one with the greater content digest stays, so that everybody keeps the same.
        case equivocation(replaced: Bool)
    }

    private(set) var owners: PeerTable<Owner>
    private(set) var digests = DigestTable()

    private let pool: (any StatementPool)?

    /// A store without owners; the seed is that of their table. Nodes that share a process may share a pool.
    package init(seed: UInt64 = 1, pool: (any StatementPool)? = nil) {
        owners = PeerTable(seed: seed)
        self.pool = pool
    }

    // MARK: Owners

    /// Whether an owner's entries count.
    func isLive(_ peer: PeerID) -> Bool { owners.slot(of: peer).map { owners[$0].isLive } ?? false }

    /// Makes an owner live; its entries count from now on.
    package mutating func revive(_ peer: PeerID) {
        if let slot = owners.slot(of: peer) {
            guard !owners[slot].isLive else { return }
            owners[slot].isLive = true
            digests.replace(peer, old: 0, new: owners[slot].contents.sum)
        } else {
            _ = owners.insert(Owner(isLive: true, contents: share(OwnedEntries(owner: peer))))
        }
    }

    /// Takes an owner out of the digests.
    mutating func retire(_ peer: PeerID) {
        guard let slot = owners.slot(of: peer), owners[slot].isLive else { return }
        owners[slot].isLive = false
        digests.replace(peer, old: owners[slot].contents.sum, new: 0)
    }

    /// Drops an owner and its entries.
    mutating func forget(_ peer: PeerID) {
        retire(peer)
        owners.remove(peer)
    }

    // MARK: Entries

    /// The entry under a key.
    package func entry(of peer: PeerID, _ key: EntryKey) -> SignedEntry? { kept(of: peer, key)?.entry }

    /// The entry under a key, as it is kept.
    package func kept(of peer: PeerID, _ key: EntryKey) -> KeptEntry? {
        guard let slot = owners.slot(of: peer) else { return nil }
        let contents = owners[slot].contents
        let position = contents.position(of: key)
        return contents.holds(key, at: position) ? contents.entries[position] : nil
    }

    /// All entries of an owner.
    func contents(of peer: PeerID) -> OwnedEntries? { owners.slot(of: peer).map { owners[$0].contents } }

    /// Takes all entries of a live owner of which there are none yet. They were found authentic.
    mutating func adopt(_ contents: OwnedEntries) {
        guard let slot = owners.slot(of: contents.owner), owners[slot].isLive,
            owners[slot].contents.entries.isEmpty
        else { return }
        replace(slot, by: contents)
    }

    /// Takes an entry if it is new, in bounds and signed by a live owner.
    package mutating func offer(_ entry: SignedEntry, signer: Signer) -> Verdict {
        guard let slot = owners.slot(of: entry.owner), owners[slot].isLive else { return .dropped(.unknownOwner) }
        let contents = owners[slot].contents
        let position = contents.position(of: entry.key)
        guard contents.holds(entry.key, at: position) else {
            guard contents.hasRoom(for: entry.key) else { return .dropped(.overLimit) }
            guard let kept = authenticated(entry, signer) else { return .dropped(.forged) }
            replace(slot, by: contents.inserting(kept, at: position))
            return .stored
        }
        let known = contents.entries[position]
        let version = known.entry.version
        if entry.version < version { return .dropped(.stale) }
        // Nobody can make an equal signature for another value, and it is at hand.
        if entry.version == version, entry.signature == known.entry.signature || entry.value == known.entry.value {
            return .dropped(.duplicate)
        }
        guard let kept = authenticated(entry, signer) else { return .dropped(.forged) }
        let equivocates = entry.version == version
        if equivocates, kept.contentDigest < known.contentDigest { return .equivocation(replaced: false) }
        replace(slot, by: contents.replacing(kept, at: position))
        return equivocates ? .equivocation(replaced: true) : .stored
    }

    /// The entry to keep, if its owner signed it.
    private func authenticated(_ entry: SignedEntry, _ signer: Signer) -> KeptEntry? {
        if let known = pool?.entry(equalTo: entry) { return known }
        guard entry.isAuthentic(signer) else { return nil }
        let kept = KeptEntry(entry, withMessage: pool != nil)
        pool?.add(kept)
        return kept
    }

    private func share(_ contents: OwnedEntries) -> OwnedEntries { pool?.share(contents) ?? contents }

    private mutating func replace(_ slot: PeerSlot, by contents: OwnedEntries) {
        digests.replace(contents.owner, old: owners[slot].contents.sum, new: contents.sum)
        owners[slot].contents = share(contents)
    }

    // MARK: Summaries

    /// The hash that stands for an owner in a comparison: 32 bits of the sum of its entries' hashes.
    static func itemHash(_ sum: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: sum ^ (sum >> 32)) }

    /// Live owners in some buckets that have entries.
    func items(in mask: UInt64) -> [ItemDigests] {
        var items: [ItemDigests.Item] = []
        for range in DigestTable.prefixes(in: mask) {
            for slot in owners.slots(withPrefixes: range)
            where owners[slot].isLive && !owners[slot].contents.entries.isEmpty {
                let prefix = owners.peer(at: slot).prefix
                guard items.last?.prefix != prefix else { continue }
                items.append(ItemDigests.Item(prefix: prefix, hash: Self.itemHash(owners[slot].contents.sum)))
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
                    entries: owners[slot].contents.entries.map(\.entry).filter { !$0.value.isEmpty },
                    digest: owners[slot].contents.digest)
            })
    }

    /// What equal stores have in common, and different ones as good as never.
    package var root: UInt64 { digests.root }

    /// The snapshot's digest, without the snapshot.
    package var snapshotDigest: Digest {
        GraphSnapshot.digest(
            of: owners.order.filter { owners[$0].isLive }.map { (owners.peer(at: $0), owners[$0].contents.digest) })
    }
}
