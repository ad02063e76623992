/// A value with one canonical encoding, so that equal values have equal bytes and can be signed.
package protocol WireCodable: Sendable {
    /// Appends the value.
    func encode(to writer: inout WireWriter)

    /// Reads a value; throws on anything that `encode` would not have written.
    init(from reader: inout WireReader) throws(WireError)
}

extension WireCodable {
    /// The encoding by itself.
    package var wireBytes: [UInt8] {
        var writer = WireWriter()
        encode(to: &writer)
        return writer.bytes
    }

    /// Decodes a value that must fill all of the bytes.
    package init(wireBytes: [UInt8]) throws(WireError) {
        var reader = WireReader(wireBytes)
        try self.init(from: &reader)
        try reader.finish()
    }
}

/// Why bytes from outside were refused.
package enum WireError: Error, Hashable, Sendable {
    /// Fewer bytes than the encoding needs.
    case truncated
    /// More bytes than the encoding has.
    case trailingBytes
    /// A second spelling of a value that has one.
    case notCanonical
    /// A number, count or length over its maximum.
    case outOfRange
    /// A version that this build does not speak.
    case unknownVersion(UInt8)
    /// A message type that this build does not know.
    case unknownType(UInt8)
    /// A signature or tag that does not fit.
    case notAuthentic
}
