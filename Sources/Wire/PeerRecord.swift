package import Primitives

/// A peer's own signed word on how to reach it; the incarnation orders its records and refutes suspicion (SWIM, 4.2).
package struct PeerRecord: Hashable, WireCodable {
    package static let signatureContext = "peer record 1"

    package let contact: Contact
    /// Grows with every record that the peer signs; a restarted peer starts from its wall clock in milliseconds.
    package let incarnation: UInt64
    /// Ed25519 signature over the encoding of everything before it.
    package let signature: Signature

    package var peer: PeerID { contact.peer }

    /// Signs a new record for the signer's own peer.
    package init(contact: Contact, incarnation: UInt64, signer: Signer) {
        self.contact = contact
        self.incarnation = incarnation
        signature = Signature(of: Self.signedBytes(contact, incarnation), context: Self.signatureContext, by: signer)
    }

    /// Whether the record's peer signed it.
    package func isAuthentic(_ signer: Signer) -> Bool {
        signer.verify(peer, signature.bytes, Self.signedBytes(contact, incarnation), Self.signatureContext)
    }

    private static func signedBytes(_ contact: Contact, _ incarnation: UInt64) -> [UInt8] {
        var writer = WireWriter()
        writer.write(contact)
        writer.write(incarnation)
        return writer.bytes
    }

    package func encode(to writer: inout WireWriter) {
        writer.write(contact)
        writer.write(incarnation)
        writer.write(signature)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        contact = try reader.read(Contact.self)
        incarnation = try reader.read()
        signature = try reader.readSignature()
    }
}
