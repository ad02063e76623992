internal import Wire

/// Collects encoded messages into datagram payloads of at most `Limits.datagramPayloadBytes`, in order.
package struct DatagramPacker: Sendable {
    /// Bytes that still fit in the datagram that is being filled.
    package var room: Int { capacity - current.bytes.count }

    private let capacity: Int
    private var spare: Int
    private var full: [[UInt8]] = []
    private var current: WireWriter

    /// Up to `datagrams` of them may be filled by messages that are not urgent.
    package init(capacity: Int = Limits.datagramPayloadBytes, datagrams: Int = 1) {
        self.capacity = capacity
        spare = datagrams - 1
        current = WireWriter(reservingCapacity: 256)
    }

    /// Whether nothing has been written.
    package var isEmpty: Bool { full.isEmpty && current.bytes.isEmpty }

    /// Appends an encoded message, and starts another datagram if it does not fit in this one. A message larger than a
    /// whole datagram is refused: every protocol bounds its messages, so that would be a programming error.
    package mutating func append(_ message: [UInt8]) {
        precondition(message.count <= capacity, "a message has to fit in a datagram")
        if message.count > room { startAnother() }
        current.writeRaw(message)
    }

    /// Appends an encoded message if it fits in the current datagram, or in a further one that may be filled.
    package mutating func appendIfFits(_ message: [UInt8]) -> Bool {
        if message.count > room {
            guard spare > 0, message.count <= capacity, !current.bytes.isEmpty else { return false }
            spare -= 1
            startAnother()
        }
        current.writeRaw(message)
        return true
    }

    private mutating func startAnother() {
        full.append(current.bytes)
        current = WireWriter(reservingCapacity: capacity)
    }

    /// The payloads, none of them empty.
    package consuming func finish() -> [[UInt8]] {
        current.bytes.isEmpty ? full : full + [current.bytes]
    }
}
