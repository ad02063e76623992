package import Primitives

/// Reads the canonical encoding and refuses everything that is not canonical, out of bounds or too long.
///
/// No length is trusted: a count is checked against its stated maximum and against the bytes that are really there
/// before anything is allocated.
package struct WireReader {
    private let bytes: [UInt8]
    private var position: Int
    private let end: Int

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
        position = 0
        end = bytes.count
    }

    package init(_ slice: ArraySlice<UInt8>) {
        bytes = Array(slice)
        position = 0
        end = bytes.count
    }

    /// Bytes not read yet.
    package var remaining: Int { end - position }

    /// A fixed-width integer, little-endian.
    package mutating func read<Integer: FixedWidthInteger>(_: Integer.Type = Integer.self) throws(WireError) -> Integer
    {
        let size = Integer.bitWidth / 8
        guard remaining >= size else { throw .truncated }
        let value = bytes.withUnsafeBytes {
            Integer(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: Integer.self))
        }
        position += size
        return value
    }

    // The widths that messages have, so that other modules need not call the generic function, which the compiler does not
    // specialise for them.
    package mutating func read() throws(WireError) -> UInt8 { try read(UInt8.self) }
    package mutating func read() throws(WireError) -> UInt16 { try read(UInt16.self) }
    package mutating func read() throws(WireError) -> UInt32 { try read(UInt32.self) }
    package mutating func read() throws(WireError) -> UInt64 { try read(UInt64.self) }

    /// A double; a NaN that is not the canonical one is refused.
    package mutating func readDouble() throws(WireError) -> Double {
        let value = Double(bitPattern: try read(UInt64.self))
        guard !value.isNaN || value.bitPattern == Double.nan.bitPattern else { throw .notCanonical }
        return value
    }

    /// A double that must be finite.
    package mutating func readFiniteDouble() throws(WireError) -> Double {
        let value = try readDouble()
        guard value.isFinite else { throw .outOfRange }
        return value
    }

    /// A single-precision number; a NaN that is not the canonical one is refused.
    package mutating func readFloat() throws(WireError) -> Float {
        let value = Float(bitPattern: try read(UInt32.self))
        guard !value.isNaN || value.bitPattern == Float.nan.bitPattern else { throw .notCanonical }
        return value
    }

    /// A byte that must be 0 or 1.
    package mutating func readBool() throws(WireError) -> Bool {
        switch try read(UInt8.self) {
        case 0: return false
        case 1: return true
        default: throw .notCanonical
        }
    }

    /// A minimal varint of at most `maximum`.
    package mutating func readVarint(maximum: UInt64) throws(WireError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try read(UInt8.self)
            if shift == 63, byte > 1 { throw .outOfRange }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 {
                if byte == 0, shift > 0 { throw .notCanonical }
                break
            }
            shift += 7
            if shift > 63 { throw .outOfRange }
        }
        guard value <= maximum else { throw .outOfRange }
        return value
    }

    /// A count or length of at most `maximum`.
    package mutating func readCount(maximum: Int) throws(WireError) -> Int {
        Int(try readVarint(maximum: UInt64(maximum)))
    }

    /// Exactly `count` bytes.
    package mutating func readRaw(_ count: Int) throws(WireError) -> [UInt8] {
        guard count >= 0, remaining >= count else { throw .truncated }
        defer { position += count }
        return Array(bytes[position..<(position + count)])
    }

    /// Passes over bytes that mean nothing to the caller.
    package mutating func skip(_ count: Int) throws(WireError) {
        guard count >= 0, remaining >= count else { throw .truncated }
        position += count
    }

    /// Everything that is left.
    package mutating func readRest() -> [UInt8] {
        defer { position = end }
        return Array(bytes[position..<end])
    }

    /// A varint length of at most `maximum` and that many bytes.
    package mutating func readBytes(maximum: Int) throws(WireError) -> [UInt8] {
        try readRaw(try readCount(maximum: maximum))
    }

    /// Valid UTF-8 of at most `maximum` bytes.
    package mutating func readString(maximum: Int) throws(WireError) -> String {
        let utf8 = try readBytes(maximum: maximum)
        guard let text = String(validating: utf8, as: UTF8.self) else { throw .notCanonical }
        return text
    }

    package mutating func readPeer() throws(WireError) -> PeerID {
        guard remaining >= PeerID.byteCount else { throw .truncated }
        defer { position += PeerID.byteCount }
        return bytes.withUnsafeBytes { PeerID(memory: UnsafeRawBufferPointer(rebasing: $0[position...])) }
    }

    package mutating func readSignature() throws(WireError) -> Signature {
        guard remaining >= Signature.byteCount else { throw .truncated }
        defer { position += Signature.byteCount }
        return bytes.withUnsafeBytes { Signature(memory: UnsafeRawBufferPointer(rebasing: $0[position...])) }
    }

    package mutating func readDigest() throws(WireError) -> Digest {
        guard let digest = Digest(bytes: try readRaw(Digest.byteCount)) else { throw .truncated }
        return digest
    }

    package mutating func readAgreementKey() throws(WireError) -> AgreementPublicKey {
        AgreementPublicKey(words: try readPeer())
    }

    package mutating func readAddress() throws(WireError) -> NetworkAddress {
        let high = try read(UInt64.self).byteSwapped
        let low = try read(UInt64.self).byteSwapped
        return NetworkAddress(high: high, low: low, port: try read())
    }

    package mutating func readDuration() throws(WireError) -> Duration { .nanoseconds(try read(Int64.self)) }

    /// A finite rate that is not negative.
    package mutating func readBandwidth() throws(WireError) -> Bandwidth {
        let value = try readFiniteDouble()
        guard value.sign == .plus else { throw .outOfRange }
        return Bandwidth(bytesPerSecond: value)
    }

    package mutating func read<Value: WireCodable>(_: Value.Type) throws(WireError) -> Value { try Value(from: &self) }

    /// A varint count of at most `maximum` and the elements, each of which takes at least one byte.
    package mutating func readArray<Value: WireCodable>(
        of _: Value.Type, maximum: Int
    ) throws(WireError) -> [Value] {
        let count = try readCount(maximum: maximum)
        guard count <= remaining else { throw .truncated }
        var elements: [Value] = []
        elements.reserveCapacity(count)
        for _ in 0..<count { elements.append(try Value(from: &self)) }
        return elements
    }

    /// `nil`, or what `body` reads.
    package mutating func readOptional<Value>(
        _ body: (inout WireReader) throws(WireError) -> Value
    ) throws(WireError) -> Value? {
        try readBool() ? try body(&self) : nil
    }

    /// Refuses trailing bytes.
    package func finish() throws(WireError) {
        guard remaining == 0 else { throw .trailingBytes }
    }
}
