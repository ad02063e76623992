package import Primitives
package import Wire

/// The founder's word about one peer.
package struct AdmissionStatement: Hashable, Sendable, WireCodable {
    package let peer: PeerID
    /// `false` once it is revoked.
    package let isAdmitted: Bool

    package init(peer: PeerID, isAdmitted: Bool) {
        self.peer = peer
        self.isAdmitted = isAdmitted
    }

    package func encode(to writer: inout WireWriter) {
        writer.write(peer)
        writer.write(UInt8(isAdmitted ? 1 : 2))
    }

    package init(from reader: inout WireReader) throws(WireError) {
        peer = try reader.readPeer()
        let state: UInt8 = try reader.read()
        guard state == 1 || state == 2 else { throw .unknownType(state) }
        isAdmitted = state == 1
    }
}

/// The value of one page of a closed swarm's list (entry kind 6). A peer never moves to another page, so that the versions
/// of its page order everything ever said about it.
package struct AdmissionPage: Hashable, Sendable, WireCodable {
    package var statements: [AdmissionStatement]

    package init(statements: [AdmissionStatement] = []) { self.statements = statements }

    package func encode(to writer: inout WireWriter) { writer.write(statements) }

    package init(from reader: inout WireReader) throws(WireError) {
        statements = try reader.readArray(of: AdmissionStatement.self, maximum: Limits.admissionsPerPage)
    }

    /// The founder's first page, empty: what makes a new closed swarm's list.
    package static func first(version: UInt64, signer: Signer) -> SignedEntry {
        SignedEntry(key: .admission(page: 0), version: version, value: AdmissionPage().wireBytes, signer: signer)
    }
}
