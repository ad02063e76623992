package import Wire

/// One copy of each signed statement for all nodes of a process, and one check of its signature.
///
/// The nodes of a swarm come to hold the same records and entries. A process that runs one of them gains nothing by a pool; a
/// simulator that runs a thousand would keep, check and hash each statement a thousand times. What is in a pool never
/// changes, so no node can tell whether it shares.
package protocol StatementPool: AnyObject, Sendable {
    /// The pool's copy of an entry, whose signature then needs no check.
    func entry(equalTo entry: SignedEntry) -> KeptEntry?

    /// Takes an entry that was found authentic.
    func add(_ kept: KeptEntry)

    /// The pool's copy of a record, whose signature then needs no check.
    func record(equalTo record: PeerRecord) -> KeptRecord?

    /// Takes a record that was found authentic.
    func add(_ kept: KeptRecord)

    /// The pool's copy of an owner's entries, or these, if the pool has none that are the same.
    func share(_ contents: OwnedEntries) -> OwnedEntries
}
