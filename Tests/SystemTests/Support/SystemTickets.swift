import Primitives
import Wire

/// Tickets as a test wants them.
enum SystemTickets {
    /// The same ticket with all addresses replaced by 127.0.0.1 and this port.
    static func replacingPort(in text: String, with port: UInt16) throws -> String {
        let ticket = try Ticket(text)
        let contacts = ticket.contacts.map { contact in
            Contact(
                peer: contact.peer, agreementKey: contact.agreementKey,
                addresses: [NetworkAddress(ipv4: (127, 0, 0, 1), port: port)])
        }
        return try ticket.replacingContacts(contacts).text
    }
}
