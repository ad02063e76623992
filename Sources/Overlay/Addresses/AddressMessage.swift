package import Primitives
package import Wire

/// What peers tell each other about their addresses.
package enum AddressMessage: Hashable, Sendable {
    /// "Your datagrams come to me from this address" (as STUN's XOR-MAPPED-ADDRESS, RFC 8489, 14.2; nothing on the way can
    /// alter it here, for it is sealed).
    case observed(NetworkAddress)
}

extension AddressMessage: DatagramMessage {
    /// Type bytes of this protocol, out of membership's range.
    package static let types: ClosedRange<UInt8> = 0x14...0x17

    private static let observedType: UInt8 = 0x14

    package func encode(to writer: inout WireWriter) {
        switch self {
        case .observed(let address):
            writer.write(Self.observedType)
            writer.write(address)
        }
    }

    package init(type: UInt8, from reader: inout WireReader) throws(WireError) {
        guard type == Self.observedType else { throw .unknownType(type) }
        self = .observed(try reader.readAddress())
    }
}
