internal import Primitives
internal import Wire

extension FuzzTarget {
    /// What is common to all rooms: contacts, records, tickets and the texts that people type.
    static let wire: [FuzzTarget] = [
        codec("wire-contact", seeds: { (0..<4).map { FuzzSamples.contact($0) } }),
        codec(
            "wire-peer-record",
            seeds: {
                (0..<3).map {
                    PeerRecord(
                        contact: FuzzSamples.contact($0), incarnation: 1_700_000_000_000 + $0,
                        signer: FuzzSamples.signer($0))
                }
            }),
        codec("wire-primitives", maximumByteCount: 256, seeds: { [PrimitiveSample()] }),
        FuzzTarget(
            "wire-ticket", maximumByteCount: 4200, seeds: { tickets.map { Array($0.utf8) } },
            check: { bytes throws(FuzzFinding) in
                let first: String
                do { first = try Ticket(String(decoding: bytes, as: UTF8.self)).text } catch { return false }
                // White space and capitals are forgiven, so only the second reading must be exact.
                guard (try? Ticket(first).text) == first else {
                    throw FuzzFinding("a ticket changed when it was printed: \(first)")
                }
                return true
            }),
        FuzzTarget(
            "wire-address-text", maximumByteCount: 128,
            seeds: { FuzzSamples.addresses.map { Array($0.description.utf8) } },
            check: { bytes throws(FuzzFinding) in
                guard let address = NetworkAddress(String(decoding: bytes, as: UTF8.self)) else { return false }
                guard NetworkAddress(address.description) == address else {
                    throw FuzzFinding("\(address) does not parse to itself")
                }
                return true
            }),
        FuzzTarget(
            "wire-identity-text", maximumByteCount: 128, seeds: { [Array(FuzzSamples.peer(1).description.utf8)] },
            check: { bytes throws(FuzzFinding) in
                guard let peer = PeerID(String(decoding: bytes, as: UTF8.self)) else { return false }
                guard PeerID(peer.description) == peer else { throw FuzzFinding("\(peer) does not parse to itself") }
                return true
            }),
    ]

    /// Two tickets: one as `weft init` prints it, one as full as it can be.
    private static var tickets: [String] {
        let contacts = (0..<UInt64(Limits.bootstrapPeersPerTicket)).map { FuzzSamples.contact($0) }
        return [contacts.prefix(1), contacts[...]].compactMap { contacts in
            let secret = SecretBytes(copying: FuzzSamples.bytes(Ticket.secretByteCount, 1))
            return try? Ticket(swarmName: "workshop", secret: secret, contacts: Array(contacts)).text
        }
    }
}

/// One value of every shape that the codec knows.
private struct PrimitiveSample: WireCodable {
    var count: UInt64 = 300
    var text = "weft"
    var number = 0.1
    var single: Float = 0.5
    var flag = true
    var optional: UInt16? = 7
    var rate = Bandwidth(bytesPerSecond: 1e6)
    var duration = Duration.seconds(1)
    var addresses = FuzzSamples.addresses

    init() {}

    func encode(to writer: inout WireWriter) {
        writer.writeVarint(count)
        writer.write(text)
        writer.write(number)
        writer.write(single)
        writer.write(flag)
        writer.writeOptional(optional) { writer, value in writer.write(value) }
        writer.write(rate)
        writer.write(duration)
        writer.write(addresses)
    }

    init(from reader: inout WireReader) throws(WireError) {
        count = try reader.readVarint(maximum: .max)
        text = try reader.readString(maximum: 64)
        number = try reader.readDouble()
        single = try reader.readFloat()
        flag = try reader.readBool()
        optional = try reader.readOptional { reader throws(WireError) in try reader.read(UInt16.self) }
        rate = try reader.readBandwidth()
        duration = try reader.readDuration()
        addresses = try reader.readArray(of: NetworkAddress.self, maximum: Limits.addressesPerRecord)
    }
}
