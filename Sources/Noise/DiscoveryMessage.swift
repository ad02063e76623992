internal import Primitives
package import Wire

/// A peer's announcement to its local network: its contact, under a MAC that only the swarm's peers can make and check.
package struct DiscoveryMessage: Hashable, Sendable {
    package static let kind: UInt8 = 0x20
    package static let version: UInt8 = 1

    package let contact: Contact
    /// The sender's wall clock in milliseconds; strictly growing, so that old announcements can be told.
    package let timestamp: UInt64
    /// Whether those who hear it are asked to announce themselves too.
    package let isQuestion: Bool

    package init(contact: Contact, timestamp: UInt64, isQuestion: Bool) {
        self.contact = contact
        self.timestamp = timestamp
        self.isQuestion = isQuestion
    }

    /// The datagram.
    package func sealed(with secret: SwarmSecret) -> [UInt8] {
        var writer = WireWriter()
        writer.writeRaw([Self.kind, Self.version, 0, 0])
        writer.write(timestamp)
        writer.write(isQuestion)
        writer.write(contact)
        return writer.bytes + secret.discoveryMAC(of: writer.bytes)
    }

    /// Reads a datagram; `nil` if it is not from the swarm or not canonical.
    package init?(datagram: [UInt8], secret: SwarmSecret) {
        let split = datagram.count - Digest.byteCount
        guard split > 0, datagram.count <= Limits.datagramBytes,
            equalInConstantTime(secret.discoveryMAC(of: Array(datagram[..<split])), Array(datagram[split...]))
        else { return nil }
        do throws(WireError) {
            var reader = WireReader(datagram[..<split])
            guard try reader.readRaw(4) == [Self.kind, Self.version, 0, 0] else { return nil }
            timestamp = try reader.read()
            isQuestion = try reader.readBool()
            contact = try reader.read(Contact.self)
            try reader.finish()
        } catch { return nil }
    }
}
