import Overlay
import Primitives

/// Calls that do not copy the core. Reading a property of a value inside an optional copies the value first, and a core has
/// dozens of arrays to count references of; a mutating call works on it where it is.
extension OverlayNode {
    /// Handles an input, and says when the core wants to be woken next.
    mutating func step(_ input: OverlayInput, at now: Instant, into effects: inout [OverlayEffect]) -> Instant? {
        handle(input, at: now, into: &effects)
        return nextDeadline
    }

    /// The closed swarm's list, as it goes to the disk.
    mutating func pages() -> [SignedEntry] { admissions.pages }

    /// The version of an entry that the peer has.
    mutating func version(of owner: PeerID, _ key: EntryKey) -> UInt64? { entry(of: owner, key)?.version }
}
