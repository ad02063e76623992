package import Wire

/// Signed records of peers that were alive lately, so that a node that restarts finds its swarm without the ticket's
/// contacts.
///
///     version u8 = 1 | records array
package struct PeerCache: Hashable, WireCodable {
    /// More are left out; a newcomer needs only one that still answers.
    package static let maximumRecords = 256
    /// The largest file that is read back.
    static let maximumBytes = 1 << 20
    private static let version: UInt8 = 1

    /// Best first: those with which the node spoke last.
    package let records: [PeerRecord]

    /// Keeps the first `maximumRecords`.
    package init(records: [PeerRecord]) { self.records = Array(records.prefix(Self.maximumRecords)) }

    package func encode(to writer: inout WireWriter) {
        writer.write(Self.version)
        writer.write(records)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let version = try reader.read(UInt8.self)
        guard version == Self.version else { throw .unknownVersion(version) }
        records = try reader.readArray(of: PeerRecord.self, maximum: Self.maximumRecords)
    }
}
