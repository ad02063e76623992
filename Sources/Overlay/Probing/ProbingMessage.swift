package import Primitives
package import Wire

/// What two peers say to each other to measure the link between them; types 0x40 to 0x4A of a datagram's messages.
package enum ProbingMessage: Hashable {
    /// Asks for an `echoReply` with the same unpredictable token.
    case echo(token: UInt32)
    /// Answers an `echo` at once, and says how long after its arrival that was.
    case echoReply(token: UInt32, held: Duration)
    /// Asks for the peer's access link for one bandwidth session.
    case reserve(session: UInt32, TrainSession.Purpose, allowanceBytes: UInt32)
    /// The peer's access link is reserved: the initiator sends the first train. Both ends say what their budget bears.
    case grant(session: UInt32, allowanceBytes: UInt32)
    /// The peer's access link is taken by another session; it should be free after this time.
    case busy(session: UInt32, retryAfterMilliseconds: UInt16)
    /// One packet of a train; fills a datagram.
    case train(TrainPacket)
    /// What the receiver of a train measured.
    case report(TrainReport)
    /// The session is over; the access link is free.
    case finish(session: UInt32)
    /// Asks a peer to measure its link to the member whose identity begins with these eight bytes, and to publish it.
    case ask(target: UInt64)
    /// Tells a peer behind the same access link whether this one's session takes it.
    case site(SiteClaim)

    /// Types of these messages; the overlay routes by it.
    package static let types: ClosedRange<UInt8> = 0x40...0x5F
}

/// One packet of a train of back-to-back packets.
package struct TrainPacket: Hashable, Sendable {
    /// Bytes of the message before the filler: type, session, train, index, count, pace, filler length.
    package static let headerBytes = 16
    /// Bytes of the token behind it.
    package static let tokenBytes = 8
    /// Filler that makes the message fill a datagram.
    package static let fillerBytes = Limits.datagramPayloadBytes - headerBytes - tokenBytes
    /// Most packets in one train: 79 ms at 1 Gbit/s, and a bitmap of them fits in a report.
    package static let maximumCount = 8192

    package var session: UInt32
    /// Number of the train in its direction, from 0.
    package var train: UInt8
    /// Number of the packet in its train, from 0.
    package var index: UInt16
    /// Packets in the train.
    package var count: UInt16
    /// Nanoseconds from one packet to the next as they are sent; 0 if they leave back to back.
    package var pace: UInt32
    /// Unpredictable; the report proves with it that this packet arrived.
    package var token: UInt64

    package init(session: UInt32, train: UInt8, index: UInt16, count: UInt16, pace: UInt32 = 0, token: UInt64 = 0) {
        self.session = session
        self.train = train
        self.index = index
        self.count = count
        self.pace = pace
        self.token = token
    }
}

/// What the receiver of a train measured (`TrainEstimate`).
package struct TrainReport: Hashable, Sendable {
    package var session: UInt32
    package var train: UInt8
    /// Packets that arrived.
    package var received: UInt16
    /// Which of them.
    package var arrived: ArrivedPackets
    /// The exclusive or of their tokens.
    package var proof: UInt64
    /// Rate over the last 60 %, or over all of a paced train, zero if too few packets arrived.
    package var tail: Bandwidth
    /// Rate over the first 40 %, zero if unknown.
    package var head: Bandwidth
    /// Time from the first arrival to the last.
    package var span: Duration

    package init(
        session: UInt32, train: UInt8, received: UInt16, arrived: ArrivedPackets = .all, proof: UInt64 = 0,
        tail: Bandwidth, head: Bandwidth, span: Duration
    ) {
        self.arrived = arrived
        self.proof = proof
        self.session = session
        self.train = train
        self.received = received
        self.tail = tail
        self.head = head
        self.span = span
    }
}

extension ProbingMessage: WireCodable, DatagramMessage {
    package func encode(to writer: inout WireWriter) {
        switch self {
        case .echo(let token):
            writer.write(UInt8(0x40))
            writer.write(token)
        case .echoReply(let token, let held):
            writer.write(UInt8(0x49))
            writer.write(token)
            writer.write(UInt32(clamping: held.nanoseconds))
        case .reserve(let session, let purpose, let allowanceBytes):
            writer.write(UInt8(0x42))
            writer.write(session)
            writer.write(purpose.rawValue)
            writer.write(allowanceBytes)
        case .grant(let session, let allowanceBytes):
            writer.write(UInt8(0x43))
            writer.write(session)
            writer.write(allowanceBytes)
        case .busy(let session, let retryAfterMilliseconds):
            writer.write(UInt8(0x44))
            writer.write(session)
            writer.write(retryAfterMilliseconds)
        case .train(let packet):
            writer.write(UInt8(0x45))
            writer.write(packet.session)
            writer.write(packet.train)
            writer.write(packet.index)
            writer.write(packet.count)
            writer.write(packet.pace)
            writer.write(UInt16(TrainPacket.fillerBytes))
            writer.writeRaw(Self.filler)
            writer.write(packet.token)
        case .report(let report):
            writer.write(UInt8(0x46))
            writer.write(report.session)
            writer.write(report.train)
            writer.write(report.received)
            writer.write(report.arrived.bitmap)
            writer.write(report.proof)
            writer.write(report.tail)
            writer.write(report.head)
            writer.write(report.span)
        case .finish(let session):
            writer.write(UInt8(0x47))
            writer.write(session)
        case .ask(let target):
            writer.write(UInt8(0x48))
            writer.write(target)
        case .site(let claim):
            writer.write(UInt8(0x4A))
            writer.write(claim.rawValue)
        }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        try self.init(type: try reader.read(), from: &reader)
    }

    /// Reads what follows the type byte, for a caller that has read it to route the message.
    package init(type: UInt8, from reader: inout WireReader) throws(WireError) {
        switch type {
        case 0x40: self = .echo(token: try reader.read())
        case 0x42:
            let session: UInt32 = try reader.read()
            guard let purpose = TrainSession.Purpose(rawValue: try reader.read()) else { throw .outOfRange }
            self = .reserve(session: session, purpose, allowanceBytes: try reader.read())
        case 0x43: self = .grant(session: try reader.read(), allowanceBytes: try reader.read())
        case 0x44: self = .busy(session: try reader.read(), retryAfterMilliseconds: try reader.read())
        case 0x45:
            var packet = TrainPacket(
                session: try reader.read(), train: try reader.read(), index: try reader.read(),
                count: try reader.read(), pace: try reader.read())
            guard packet.index < packet.count, packet.count <= TrainPacket.maximumCount else { throw .outOfRange }
            // The filler carries nothing and any bytes will do, but a shorter packet would falsify the rate.
            guard try reader.read(UInt16.self) == TrainPacket.fillerBytes else { throw .notCanonical }
            try reader.skip(TrainPacket.fillerBytes)
            packet.token = try reader.read()
            self = .train(packet)
        case 0x46:
            self = .report(
                TrainReport(
                    session: try reader.read(), train: try reader.read(), received: try reader.read(),
                    arrived: ArrivedPackets(bitmap: try reader.readBytes(maximum: TrainPacket.maximumCount / 8)),
                    proof: try reader.read(), tail: try reader.readBandwidth(), head: try reader.readBandwidth(),
                    span: try reader.readDuration()))
        case 0x47: self = .finish(session: try reader.read())
        case 0x48: self = .ask(target: try reader.read())
        case 0x49:
            let token: UInt32 = try reader.read()
            self = .echoReply(token: token, held: .nanoseconds(Int64(try reader.read(UInt32.self))))
        case 0x4A:
            guard let claim = SiteClaim(rawValue: try reader.read()) else { throw .outOfRange }
            self = .site(claim)
        default: throw .unknownType(type)
        }
    }

    private static let filler = [UInt8](repeating: 0, count: TrainPacket.fillerBytes)
}
