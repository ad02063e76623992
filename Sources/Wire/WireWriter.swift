package import Primitives

/// Appends values in the one canonical encoding: fixed-width integers are little-endian, counts and lengths are minimal
/// LEB128 varints, optional values are one presence byte and the value.
package struct WireWriter {
    /// Everything written so far.
    package private(set) var bytes: [UInt8]

    package init(reservingCapacity capacity: Int = 0) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    /// A fixed-width integer, little-endian.
    package mutating func write<Integer: FixedWidthInteger>(_ value: Integer) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    // The widths that messages have, so that other modules need not call the generic function, which the compiler does not
    // specialise for them.
    package mutating func write(_ value: UInt8) { bytes.append(value) }
    package mutating func write(_ value: UInt16) { append(value) }
    package mutating func write(_ value: UInt32) { append(value) }
    package mutating func write(_ value: UInt64) { append(value) }

    private mutating func append<Integer: FixedWidthInteger>(_ value: Integer) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Bytes whose number the reader knows.
    package mutating func writeRaw(_ raw: [UInt8]) { bytes.append(contentsOf: raw) }

    /// A varint length and the bytes.
    package mutating func write(_ data: [UInt8]) {
        writeVarint(UInt64(data.count))
        bytes.append(contentsOf: data)
    }

    /// A floating-point number as its IEEE 754 bits. NaN is written as the one canonical quiet NaN.
    package mutating func write(_ value: Double) { write((value.isNaN ? Double.nan : value).bitPattern) }

    /// A single-precision number as its IEEE 754 bits. NaN is written as the one canonical quiet NaN.
    package mutating func write(_ value: Float) { write((value.isNaN ? Float.nan : value).bitPattern) }

    /// One byte, 0 or 1.
    package mutating func write(_ value: Bool) { write(UInt8(value ? 1 : 0)) }

    /// A count or length as a minimal varint (7 bits a byte, least significant first).
    package mutating func writeVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// Bytes whose number the reader knows.
    package mutating func writeRaw(_ raw: some Collection<UInt8>) { bytes.append(contentsOf: raw) }

    /// A varint length and the bytes.
    package mutating func write(_ data: some Collection<UInt8>) {
        writeVarint(UInt64(data.count))
        bytes.append(contentsOf: data)
    }

    /// UTF-8 with a varint length.
    package mutating func write(_ text: String) { write(Array(text.utf8)) }

    package mutating func write(_ peer: PeerID) { peer.forEachWord { append($0) } }
    package mutating func write(_ signature: Signature) { signature.forEachWord { append($0) } }
    package mutating func write(_ digest: Digest) { writeRaw(digest.bytes) }
    package mutating func write(_ key: AgreementPublicKey) { write(key.words) }

    /// 16 address bytes in network order, then the port.
    package mutating func write(_ address: NetworkAddress) {
        append(address.addressWords.high.byteSwapped)
        append(address.addressWords.low.byteSwapped)
        write(address.port)
    }

    /// Signed nanoseconds.
    package mutating func write(_ duration: Duration) { write(duration.nanoseconds) }

    /// Bytes per second as a double.
    package mutating func write(_ bandwidth: Bandwidth) { write(bandwidth.bytesPerSecond) }

    package mutating func write(_ value: some WireCodable) { value.encode(to: &self) }

    /// A varint count and the elements.
    package mutating func write(_ elements: [some WireCodable]) {
        writeVarint(UInt64(elements.count))
        for element in elements { element.encode(to: &self) }
    }

    /// A presence byte and, if present, what `body` writes.
    package mutating func writeOptional<Value>(_ value: Value?, _ body: (inout WireWriter, Value) -> Void) {
        write(value != nil)
        if let value { body(&self, value) }
    }
}
