package import Primitives

/// Everything a newcomer needs to join a swarm, as one string to copy: the swarm's name and secret and a few peers to
/// ask first.
///
/// Whoever holds an open swarm's ticket is a member, and a closed one's ticket names the founder who decides, so it is to be handled like a password; that is why the value is move-only and
/// keeps its secret in guarded memory. The text is `weft1` and lower-case base32 of the encoding below, which has no
/// character that a double click would stop at.
///
///     version u8 = 1 | name string | secret 32 bytes | contacts array | checksum 5 bytes
///     version u8 = 2 | name string | secret 32 bytes | founder 32 bytes | contacts array | checksum 5 bytes
package struct Ticket: ~Copyable, Sendable {
    /// What every ticket of this version starts with; "1" is not in the base32 alphabet, so the prefix cannot be
    /// mistaken for data.
    package static let prefix = "weft1"
    /// Bytes in a swarm's secret.
    package static let secretByteCount = 32
    /// Leading bytes of a SHA-256 digest. A changed character slips through once in 2⁴⁰ times; a ticket needs no more,
    /// since a wrong secret opens nothing anyhow.
    static let checksumByteCount = 5
    static let version: UInt8 = 1
    static let closedVersion: UInt8 = 2
    /// Longer texts are refused before they are decoded: the largest possible ticket has fewer characters.
    static let maximumCharacters = 4096
    /// The largest text that can be a ticket, line end included.
    package static let maximumTextBytes = maximumCharacters + 2

    /// The swarm's name, for people.
    package let swarmName: String
    /// The 32 bytes that make a peer a member.
    package let secret: SecretBytes
    /// Who admits peers, if the swarm is closed. The keys of its handshakes are made of the secret and of this identity, so
    /// that a ticket without it or with another opens nothing.
    package let founder: PeerID?
    /// Peers to ask first, at most `Limits.bootstrapPeersPerTicket`.
    package let contacts: [Contact]

    /// Makes a ticket; throws if the name is empty or too long, the secret has another length, or there are too many
    /// contacts.
    package init(
        swarmName: String, secret: consuming SecretBytes, founder: PeerID? = nil, contacts: [Contact]
    ) throws(TicketError) {
        guard Self.isAcceptable(name: swarmName) else { throw .unusableName }
        guard secret.count == Self.secretByteCount else { throw .wrongSecretLength(secret.count) }
        guard contacts.count <= Limits.bootstrapPeersPerTicket else { throw .tooManyContacts(contacts.count) }
        self.swarmName = swarmName
        self.secret = secret
        self.founder = founder
        self.contacts = contacts
    }

    /// Reads a ticket as it was pasted: surrounding white space, line breaks within and upper case are forgiven.
    package init(_ text: some StringProtocol) throws(TicketError) {
        let compact = String(text.filter { !$0.isWhitespace }).lowercased()
        guard compact.utf8.count <= Self.maximumCharacters else { throw .notATicket }
        guard compact.hasPrefix(Self.prefix) else {
            if compact.hasPrefix("weft"), let version = compact.dropFirst(4).first, version.isNumber {
                throw .unknownVersion(String(version))
            }
            throw .notATicket
        }
        guard var bytes = Base32.decode(compact.dropFirst(Self.prefix.utf8.count)),
            bytes.count > Self.checksumByteCount
        else { throw .damaged }
        defer { eraseBytes(&bytes) }
        let body = bytes.dropLast(Self.checksumByteCount)
        guard Self.checksum(of: body) == bytes.suffix(Self.checksumByteCount) else { throw .damaged }
        try self.init(body: body)
    }

    /// Reads what the checksum covers. The checksum held, so whatever is wrong here was written wrong.
    private init(body: ArraySlice<UInt8>) throws(TicketError) {
        let name: String
        let contacts: [Contact]
        var secretBytes: [UInt8]
        var founder: PeerID?
        do throws(WireError) {
            var reader = WireReader(body)
            let version = try reader.read(UInt8.self)
            guard version == Self.version || version == Self.closedVersion else {
                throw WireError.unknownVersion(version)
            }
            name = try reader.readString(maximum: Limits.nameBytes)
            secretBytes = try reader.readRaw(Self.secretByteCount)
            if version == Self.closedVersion { founder = try reader.readPeer() }
            contacts = try reader.readArray(of: Contact.self, maximum: Limits.bootstrapPeersPerTicket)
            try reader.finish()
        } catch {
            guard case .unknownVersion(let version) = error else { throw .malformed(error) }
            throw .unknownVersion(String(version))
        }
        let secret = SecretBytes(copying: secretBytes)
        eraseBytes(&secretBytes)
        try self.init(swarmName: name, secret: secret, founder: founder, contacts: contacts)
    }

    /// The text to copy.
    package var text: String { Self.prefix + Base32.encode(encodedBytes) }

    /// The bytes behind the text, with their checksum.
    package var encodedBytes: [UInt8] {
        var writer = WireWriter()
        writer.write(founder == nil ? Self.version : Self.closedVersion)
        writer.write(swarmName)
        secret.withUnsafeBytes { writer.writeRaw($0) }
        if let founder { writer.write(founder) }
        writer.write(contacts)
        writer.writeRaw(Self.checksum(of: writer.bytes[...]))
        return writer.bytes
    }

    /// The same swarm with other peers to ask first; contacts beyond the limit are left out.
    package borrowing func replacingContacts(_ contacts: [Contact]) throws(TicketError) -> Ticket {
        try Ticket(
            swarmName: swarmName, secret: secret.duplicate(), founder: founder,
            contacts: Array(contacts.prefix(Limits.bootstrapPeersPerTicket)))
    }

    /// Whether a swarm or a peer may have this name: 1 to 64 bytes of UTF-8 without control characters, which would
    /// let a name draw on somebody's terminal.
    package static func isAcceptable(name: String) -> Bool {
        (1...Limits.nameBytes).contains(name.utf8.count)
            && name.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
    }

    private static func checksum(of body: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var builder = DigestBuilder()
        builder.update(Array("weft ticket 1".utf8))
        builder.update(body)
        return builder.finish().bytes.prefix(checksumByteCount)
    }
}

/// Why a ticket was refused, in a sentence that says what to do.
package enum TicketError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The text does not start like a ticket.
    case notATicket
    /// A ticket of another version than this build reads.
    case unknownVersion(String)
    /// A character was changed, lost or added.
    case damaged
    /// Written by a program that does it differently.
    case malformed(WireError)
    /// A name that is empty, over 64 bytes, or has control characters.
    case unusableName
    /// A secret of another length than 32 bytes.
    case wrongSecretLength(Int)
    /// More contacts than a ticket may hold.
    case tooManyContacts(Int)

    package var description: String {
        switch self {
        case .notATicket:
            "this is not a ticket: a ticket is one word that starts with \"weft1\"; print one with `weft ticket`"
        case .unknownVersion(let version):
            "this ticket has version \(version), and this weft reads versions 1 and 2: use the same weft on both machines"
        case .damaged:
            "the ticket is damaged (a character was changed, lost or added): copy the whole of it again"
        case .malformed(let reason):
            "the ticket's checksum is right but its contents are not (\(reason)): it was not made by weft"
        case .unusableName:
            "a name needs 1 to \(Limits.nameBytes) bytes and no control characters: choose another"
        case .wrongSecretLength(let count):
            "a swarm's secret has \(Ticket.secretByteCount) bytes, not \(count)"
        case .tooManyContacts(let count):
            "a ticket holds at most \(Limits.bootstrapPeersPerTicket) peers, not \(count)"
        }
    }
}
