package import Primitives
internal import Wire

/// An entry that was found authentic, with the digest of its content. An object, so that what holds it is small, and many nodes of
/// one process may hold the same (`StatementPool`).
package final class KeptEntry: Sendable {
    package let entry: SignedEntry
    package let contentDigest: Digest
    /// Encoded as a message of gossip, where that is worth its memory.
    private let message: [UInt8]?

    package init(_ entry: SignedEntry, withMessage: Bool) {
        self.entry = entry
        contentDigest = entry.contentDigest
        message = withMessage ? GossipMessage.entry(entry).datagramBytes : nil
    }

    /// The message of gossip that spreads the entry.
    var datagramBytes: [UInt8] { message ?? GossipMessage.entry(entry).datagramBytes }

    /// The item of the set digest: the first eight bytes of the content's digest.
    var hash: UInt64 { contentDigest.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
}

/// All entries of one owner, as a value that does not change: a new entry makes a new one.
package final class OwnedEntries: Sendable {
    package let owner: PeerID
    /// Sorted by key.
    package let entries: [KeptEntry]
    /// Sum of the hashes of the entries.
    package let sum: UInt64
    /// Digest over the entries, in the snapshot.
    let digest: Digest

    package init(owner: PeerID, entries: [KeptEntry] = []) {
        self.owner = owner
        self.entries = entries
        sum = entries.reduce(0) { $0 &+ $1.hash }
        var builder = DigestBuilder()
        for kept in entries { builder.update(kept.contentDigest.bytes) }
        digest = builder.finish()
    }

    /// Where an entry is, or would be.
    func position(of key: EntryKey) -> Int {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].entry.key < key { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Whether the entry under a key is there.
    func holds(_ key: EntryKey, at position: Int) -> Bool {
        position < entries.count && entries[position].entry.key == key
    }

    /// Whether an entry under a key may be kept. Of an owner with too many, everybody keeps those with the smallest keys,
    /// whatever arrived first: so two peers that were told different parts still come to hold the same.
    func hasRoom(for key: EntryKey) -> Bool {
        guard entries.count >= Limits.entriesPerOwner, let last = entries.last else { return true }
        return key <= last.entry.key
    }

    /// With another entry, in place of the last one if there were too many.
    func inserting(_ kept: KeptEntry, at position: Int) -> OwnedEntries {
        var entries = entries
        entries.insert(kept, at: position)
        if entries.count > Limits.entriesPerOwner { entries.removeLast() }
        return OwnedEntries(owner: owner, entries: entries)
    }

    /// With a newer entry under the same key.
    func replacing(_ kept: KeptEntry, at position: Int) -> OwnedEntries {
        var entries = entries
        entries[position] = kept
        return OwnedEntries(owner: owner, entries: entries)
    }
}
