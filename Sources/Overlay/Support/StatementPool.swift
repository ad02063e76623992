internal import Primitives
internal import Synchronization
package import Wire

/// One copy of each signed statement for all nodes of a process, and one check of its signature.
///
/// The nodes of a swarm come to hold the same records and entries. A process that runs one of them gains nothing by a pool; a
/// simulator that runs a thousand would keep, check and hash each statement a thousand times. What is in the pool never
/// changes, so no node can tell whether it shares.
package final class StatementPool: Sendable {
    /// What an owner's entries are found by: the sum of the hashes tells one set of entries from another.
    private struct ContentsKey: Hashable {
        let owner: PeerID
        let sum: UInt64
    }

    private struct State {
        var records: [Signature: KeptRecord] = [:]
        var entries: [Signature: KeptEntry] = [:]
        var contents: [ContentsKey: OwnedEntries] = [:]
        /// Statements at which those that nobody holds any more are thrown out.
        var threshold = 4096

        /// Throws out what nobody else holds, once there is much.
        mutating func tidyIfLarge() {
            guard records.count + entries.count + contents.count >= threshold else { return }
            Self.keepShared(&contents)  // first, for they hold entries
            Self.keepShared(&entries)
            Self.keepShared(&records)
            threshold = 4096 + 2 * (records.count + entries.count + contents.count)
        }

        private static func keepShared<Key: Hashable, Statement: AnyObject>(_ table: inout [Key: Statement]) {
            for key in Array(table.keys) {
                guard var statement = table.removeValue(forKey: key) else { continue }
                if !isKnownUniquelyReferenced(&statement) { table[key] = statement }
            }
        }
    }

    private let state = Mutex(State())

    /// An empty pool.
    package init() {}

    /// The pool's copy of an entry, whose signature then needs no check.
    package func entry(equalTo entry: SignedEntry) -> KeptEntry? {
        state.withLock { $0.entries[entry.signature].flatMap { $0.entry == entry ? $0 : nil } }
    }

    /// Takes an entry that was found authentic.
    package func add(_ kept: KeptEntry) {
        state.withLock {
            $0.tidyIfLarge()
            $0.entries[kept.entry.signature] = kept
        }
    }

    /// The pool's copy of a record, whose signature then needs no check.
    package func record(equalTo record: PeerRecord) -> KeptRecord? {
        state.withLock { $0.records[record.signature].flatMap { $0.record == record ? $0 : nil } }
    }

    /// Takes a record that was found authentic.
    package func add(_ kept: KeptRecord) {
        state.withLock {
            $0.tidyIfLarge()
            $0.records[kept.record.signature] = kept
        }
    }

    /// The pool's copy of an owner's entries, or these, if the pool has none that are the same.
    package func share(_ contents: OwnedEntries) -> OwnedEntries {
        let key = ContentsKey(owner: contents.owner, sum: contents.sum)
        return state.withLock {
            if let known = $0.contents[key], known.entries.elementsEqual(contents.entries, by: ===) { return known }
            $0.tidyIfLarge()
            $0.contents[key] = contents
            return contents
        }
    }
}
