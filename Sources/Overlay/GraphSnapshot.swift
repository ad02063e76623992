package import Primitives
internal import Wire

/// The live members and their entries at one moment; equal digests mean equal contents.
package struct GraphSnapshot: Hashable, Sendable {
    /// One live member with its entries, sorted by key; withdrawn entries are not among them.
    package struct Owner: Hashable, Sendable {
        package let peer: PeerID
        package let entries: [SignedEntry]
        /// SHA-256 over the content digests of the owner's entries, withdrawn ones included.
        package let digest: Digest

        package init(peer: PeerID, entries: [SignedEntry], digest: Digest) {
            self.peer = peer
            self.entries = entries
            self.digest = digest
        }

        /// The value under a key.
        package func value(_ key: EntryKey) -> [UInt8]? { entries.first { $0.key == key }?.value }
    }

    /// Sorted by identity, this peer among them.
    package let owners: [Owner]
    /// SHA-256 over every owner's identity and digest, in order.
    package let digest: Digest

    package init(owners: [Owner]) {
        self.owners = owners
        self.digest = Self.digest(of: owners.map { ($0.peer, $0.digest) })
    }

    /// The digest of a snapshot with these owners, sorted by identity.
    package static func digest(of owners: [(peer: PeerID, digest: Digest)]) -> Digest {
        var builder = DigestBuilder()
        builder.update(Array("weft graph 1".utf8))
        for owner in owners {
            builder.update(owner.peer.bytes)
            builder.update(owner.digest.bytes)
        }
        return builder.finish()
    }

    /// All entries, sorted by owner and key.
    package var entries: [SignedEntry] { owners.flatMap(\.entries) }

    /// What is known of one live peer.
    package func owner(_ peer: PeerID) -> Owner? {
        var low = 0
        var high = owners.count
        while low < high {
            let middle = (low + high) / 2
            if owners[middle].peer < peer { low = middle + 1 } else { high = middle }
        }
        return low < owners.count && owners[low].peer == peer ? owners[low] : nil
    }

    /// A live peer's capability, if it has published a readable one.
    package func capability(of peer: PeerID) -> Capability? {
        owner(peer)?.value(.capability).flatMap { try? Capability(wireBytes: $0) }
    }
}
