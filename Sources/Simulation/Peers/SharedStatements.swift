package import Overlay
internal import Primitives
internal import Synchronization
package import Wire

/// The pool of a simulation's peers. Now and then it throws out what no peer holds any more.
package final class SharedStatements: StatementPool {
    /// What an owner's entries are found by: the sum of the hashes tells one set of entries from another.
    private struct ContentsKey: Hashable {
        let owner: PeerID
        let sum: UInt64
    }

    private struct State {
        var recordTable: [Signature: KeptRecord] = [:]
        var entryTable: [Signature: KeptEntry] = [:]
        var contentsTable: [ContentsKey: OwnedEntries] = [:]
        /// Statements at which those that nobody holds any more are thrown out.
        var threshold = 4096

        /// Throws out what nobody else holds, once there is much.
        mutating func tidyIfLarge() {
            guard recordTable.count + entryTable.count + contentsTable.count >= threshold else { return }
            Self.keepShared(&contentsTable)  // first, for they hold entries
            Self.keepShared(&entryTable)
            Self.keepShared(&recordTable)
            threshold = 4096 + 2 * (recordTable.count + entryTable.count + contentsTable.count)
        }

        private static func keepShared<Key: Hashable, Statement: AnyObject>(_ table: inout [Key: Statement]) {
            // Order-free: each is judged by itself.
            for key in Array(table.keys) {
                guard var statement = table.removeValue(forKey: key) else { continue }
                if !isKnownUniquelyReferenced(&statement) { table[key] = statement }
            }
        }
    }

    private let state = Mutex(State())

    /// An empty pool.
    package init() {}

    package func entry(equalTo entry: SignedEntry) -> KeptEntry? {
        state.withLock { $0.entryTable[entry.signature].flatMap { $0.entry == entry ? $0 : nil } }
    }

    package func add(_ kept: KeptEntry) {
        state.withLock {
            $0.tidyIfLarge()
            $0.entryTable[kept.entry.signature] = kept
        }
    }

    package func record(equalTo record: PeerRecord) -> KeptRecord? {
        state.withLock { $0.recordTable[record.signature].flatMap { $0.record == record ? $0 : nil } }
    }

    package func add(_ kept: KeptRecord) {
        state.withLock {
            $0.tidyIfLarge()
            $0.recordTable[kept.record.signature] = kept
        }
    }

    package func share(_ contents: OwnedEntries) -> OwnedEntries {
        let key = ContentsKey(owner: contents.owner, sum: contents.sum)
        return state.withLock {
            if let known = $0.contentsTable[key], known.entries.elementsEqual(contents.entries, by: ===) {
                return known
            }
            $0.tidyIfLarge()
            $0.contentsTable[key] = contents
            return contents
        }
    }
}
