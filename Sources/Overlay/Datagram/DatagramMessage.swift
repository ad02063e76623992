package import Wire

/// A message of one of the overlay's protocols: a type byte and a body that knows its own length.
package protocol DatagramMessage: Sendable {
    /// Type bytes that belong to this protocol.
    static var types: ClosedRange<UInt8> { get }

    /// Appends type byte and body.
    func encode(to writer: inout WireWriter)

    /// Reads the body of a message whose type byte has been read.
    init(type: UInt8, from reader: inout WireReader) throws(WireError)
}

extension DatagramMessage {
    /// Type byte and body.
    package var datagramBytes: [UInt8] {
        var writer = WireWriter()
        encode(to: &writer)
        return writer.bytes
    }
}
