package import Primitives
package import Wire

/// What the membership protocol says to other peers (SWIM: Das, Gupta, Motivala, DSN 2002; Lifeguard: Dadgar, Phillips,
/// Currey, DSN 2018). NETWORK.md, "Membership", has every byte.
package enum MembershipMessage: Hashable, Sendable {
    /// "Are you there?" with the sender's view digest, so that two quiet peers notice that they disagree.
    case ping(sequence: UInt32, viewDigest: UInt64)
    /// Answers a ping with the same sequence.
    case ack(sequence: UInt32, viewDigest: UInt64)
    /// "Ping this peer for me"; the helper says `nack` if it has no answer shortly before `timeoutMilliseconds` is over.
    case pingRequest(sequence: UInt32, target: PeerID, timeoutMilliseconds: UInt16)
    /// A helper's word that the target answered.
    case relayedAck(sequence: UInt32)
    /// A helper's word that it is alive and well, but had no answer from the target (Lifeguard, IV-A).
    case nack(sequence: UInt32)
    /// The peer is alive, in its own signed words.
    case alive(PeerRecord)
    /// The accuser had no answer from the peer. Only the accused can refute, with a higher incarnation.
    case suspect(Accusation)
    /// The accuser's suspicion ran out unrefuted.
    case dead(Accusation)
    /// The peer says goodbye, signed, so that nobody can say it in its place.
    case left(Farewell)
    /// A newcomer shows itself and asks for the members.
    case join(PeerRecord)
    /// Asks for so many pages of live members whose identity is greater than `after` (`nil`: from the first).
    case stateRequest(after: PeerID?, pages: UInt8)
    /// Live members in the order of their identities, up to and including `through`; nothing follows if that is `nil`.
    case statePage([PeerRecord], through: PeerID?)
    /// The bucket digests of the sender's view of live members.
    case viewBuckets(BucketDigests)
    /// The live members in some buckets, each with a hash.
    case viewItems(ItemDigests)
    /// Asks for statements about the peers with these identity prefixes.
    case viewRequest(prefixes: [UInt64])
}

/// "This incarnation of the peer does not answer", and who says so.
package struct Accusation: Hashable, WireCodable {
    package let peer: PeerID
    package let incarnation: UInt64
    package let accuser: PeerID

    package init(peer: PeerID, incarnation: UInt64, accuser: PeerID) {
        self.peer = peer
        self.incarnation = incarnation
        self.accuser = accuser
    }

    package func encode(to writer: inout WireWriter) {
        writer.write(peer)
        writer.write(incarnation)
        writer.write(accuser)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        peer = try reader.readPeer()
        incarnation = try reader.read()
        accuser = try reader.readPeer()
    }
}

/// A signed goodbye; it outranks every statement about the same or an older incarnation.
package struct Farewell: Hashable, WireCodable {
    package static let signatureContext = "farewell 1"

    package let peer: PeerID
    package let incarnation: UInt64
    /// Ed25519 signature over peer and incarnation.
    package let signature: Signature

    /// Signs the goodbye of the signer's own peer.
    package init(incarnation: UInt64, signer: Signer) {
        peer = signer.peer
        self.incarnation = incarnation
        signature = Signature(
            of: Self.signedBytes(signer.peer, incarnation), context: Self.signatureContext, by: signer)
    }

    /// Whether the leaving peer signed it.
    package func isAuthentic(_ signer: Signer) -> Bool {
        signer.verify(peer, signature.bytes, Self.signedBytes(peer, incarnation), Self.signatureContext)
    }

    private static func signedBytes(_ peer: PeerID, _ incarnation: UInt64) -> [UInt8] {
        var writer = WireWriter()
        writer.write(peer)
        writer.write(incarnation)
        return writer.bytes
    }

    package func encode(to writer: inout WireWriter) {
        writer.write(peer)
        writer.write(incarnation)
        writer.write(signature)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        peer = try reader.readPeer()
        incarnation = try reader.read()
        signature = try reader.readSignature()
    }
}

extension MembershipMessage: DatagramMessage {
    /// Type bytes of this protocol.
    package static let types: ClosedRange<UInt8> = 0x01...0x1F

    package func encode(to writer: inout WireWriter) {
        writer.write(type)
        switch self {
        case .ping(let sequence, let digest), .ack(let sequence, let digest):
            writer.write(sequence)
            writer.write(digest)
        case .pingRequest(let sequence, let target, let timeout):
            writer.write(sequence)
            writer.write(target)
            writer.write(timeout)
        case .relayedAck(let sequence), .nack(let sequence): writer.write(sequence)
        case .alive(let record), .join(let record): writer.write(record)
        case .suspect(let accusation), .dead(let accusation): writer.write(accusation)
        case .left(let farewell): writer.write(farewell)
        case .stateRequest(let cursor, let pages):
            writer.writeOptional(cursor) { $0.write($1) }
            writer.write(pages)
        case .statePage(let records, let cursor):
            writer.writeOptional(cursor) { $0.write($1) }
            writer.write(records)
        case .viewBuckets(let digests): writer.write(digests)
        case .viewItems(let digests): writer.write(digests)
        case .viewRequest(let prefixes):
            writer.writeVarint(UInt64(prefixes.count))
            for prefix in prefixes { writer.write(prefix) }
        }
    }

    /// Records in one page; the smallest record takes 137 bytes.
    package static let maximumRecordsPerPage = 8

    /// Pages that one request may ask for: 32 datagrams, 38 kB, fit in every access queue and take 15 ms at 20 Mbit/s.
    package static let maximumPagesPerRequest: UInt8 = 32

    private static func readCursor(from reader: inout WireReader) throws(WireError) -> PeerID? {
        try reader.readOptional { (reader: inout WireReader) throws(WireError) in try reader.readPeer() }
    }

    private var type: UInt8 {
        switch self {
        case .ping: 0x01
        case .ack: 0x02
        case .pingRequest: 0x03
        case .relayedAck: 0x04
        case .nack: 0x05
        case .alive: 0x06
        case .suspect: 0x07
        case .dead: 0x08
        case .left: 0x09
        case .join: 0x0A
        case .stateRequest: 0x0B
        case .statePage: 0x0C
        case .viewBuckets: 0x0D
        case .viewItems: 0x0E
        case .viewRequest: 0x0F
        }
    }

    package init(type: UInt8, from reader: inout WireReader) throws(WireError) {
        switch type {
        case 0x01: self = .ping(sequence: try reader.read(), viewDigest: try reader.read())
        case 0x02: self = .ack(sequence: try reader.read(), viewDigest: try reader.read())
        case 0x03:
            self = .pingRequest(
                sequence: try reader.read(), target: try reader.readPeer(), timeoutMilliseconds: try reader.read())
        case 0x04: self = .relayedAck(sequence: try reader.read())
        case 0x05: self = .nack(sequence: try reader.read())
        case 0x06: self = .alive(try reader.read(PeerRecord.self))
        case 0x07: self = .suspect(try reader.read(Accusation.self))
        case 0x08: self = .dead(try reader.read(Accusation.self))
        case 0x09: self = .left(try reader.read(Farewell.self))
        case 0x0A: self = .join(try reader.read(PeerRecord.self))
        case 0x0B: self = .stateRequest(after: try Self.readCursor(from: &reader), pages: try reader.read())
        case 0x0C:
            let cursor = try Self.readCursor(from: &reader)
            self = .statePage(
                try reader.readArray(of: PeerRecord.self, maximum: Self.maximumRecordsPerPage), through: cursor)
        case 0x0D: self = .viewBuckets(try reader.read(BucketDigests.self))
        case 0x0E: self = .viewItems(try reader.read(ItemDigests.self))
        case 0x0F:
            let count = try reader.readCount(maximum: ItemDigests.maximumCount)
            guard count * 8 <= reader.remaining else { throw .truncated }
            var prefixes: [UInt64] = []
            prefixes.reserveCapacity(count)
            for _ in 0..<count { prefixes.append(try reader.read()) }
            self = .viewRequest(prefixes: prefixes)
        default: throw .unknownType(type)
        }
    }
}
