internal import Primitives
package import Wire

/// A peer's record that was found authentic. An object, so that what holds it is small, and many nodes of one process may hold
/// the same (`StatementPool`).
package final class KeptRecord: Sendable {
    package let record: PeerRecord
    /// Encoded as a statement of membership, where that is worth its memory.
    private let message: [UInt8]?

    package init(_ record: PeerRecord, withMessage: Bool) {
        self.record = record
        message = withMessage ? MembershipMessage.alive(record).datagramBytes : nil
    }

    /// The message that spreads the record.
    var datagramBytes: [UInt8] { message ?? MembershipMessage.alive(record).datagramBytes }
}
