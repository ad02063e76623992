internal import Primitives
internal import Wire

/// The five datagrams of a session, as bytes (NETWORK.md, "Sessions"). Integers are little-endian.
package enum SessionMessage {
    package static let version: UInt8 = 1
    /// Mixed into every handshake of a UDP session, so that its messages mean nothing on a stream.
    package static let prologue = Array("weft session 1".utf8)

    package static let macByteCount = 16

    /// The first byte of a datagram.
    package enum Kind: UInt8, Sendable, CaseIterable {
        case initiation = 1
        case response = 2
        case cookieReply = 3
        case transport = 4
        case refusal = 5
    }

    /// Header 4, sender index 4, ephemeral 32, sealed static key 48, sealed payload 120, mac1 16, mac2 16.
    package static let initiationByteCount = 240
    /// Header 4, sender index 4, receiver index 4, ephemeral 32, sealed payload 112, mac1 16: less than the initiation.
    package static let responseByteCount = 172
    /// A response with a zero sender index and one more byte inside: why. Less than the initiation.
    package static let refusalByteCount = 173
    /// A refusal that says which timestamp the next initiation has to exceed. Less than the initiation, too.
    package static let outdatedRefusalByteCount = refusalByteCount + 8
    /// Header 4, receiver index 4, nonce 24, sealed cookie 32.
    package static let cookieReplyByteCount = 64
    /// Header 4, receiver index 4, counter 8; the sealed payload follows.
    package static let transportHeaderByteCount = 16

    /// Type, version and two reserved zero bytes.
    static func header(_ kind: Kind) -> [UInt8] { [kind.rawValue, version, 0, 0] }

    /// Reads the header; `nil` for anything that this version never sends.
    package static func kind(of datagram: [UInt8]) -> Kind? {
        guard datagram.count >= 4, datagram.count <= Limits.datagramBytes, datagram[1] == version, datagram[2] == 0,
            datagram[3] == 0, let kind = Kind(rawValue: datagram[0])
        else { return nil }
        switch kind {
        case .initiation: return datagram.count == initiationByteCount ? kind : nil
        case .response: return datagram.count == responseByteCount ? kind : nil
        case .refusal:
            return datagram.count == refusalByteCount || datagram.count == outdatedRefusalByteCount ? kind : nil
        case .cookieReply: return datagram.count == cookieReplyByteCount ? kind : nil
        case .transport:
            return datagram.count >= transportHeaderByteCount + ChaChaPoly.tagByteCount ? kind : nil
        }
    }

    /// A little-endian index or counter inside a datagram whose length has been checked.
    static func integer<Integer: FixedWidthInteger>(_ datagram: [UInt8], at offset: Int) -> Integer {
        datagram.withUnsafeBytes { Integer(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Integer.self)) }
    }

    /// The 16-byte header of a transport datagram, which is also its associated data.
    static func transportHeader(receiver: UInt32, counter: UInt64) -> [UInt8] {
        var writer = WireWriter(reservingCapacity: transportHeaderByteCount)
        writer.writeRaw(header(.transport))
        writer.write(receiver)
        writer.write(counter)
        return writer.bytes
    }
}

/// Why a responder begins no session, inside a refusal.
enum RefusalReason: Equatable {
    /// The closed swarm's founder has not admitted the initiator.
    case notAdmitted
    /// The responder has seen an initiation with this greater timestamp: the initiator's clock went back, or somebody else
    /// uses its identity.
    case outdated(newest: UInt64)

    init?(bytes: ArraySlice<UInt8>) {
        switch (bytes.first, bytes.count) {
        case (1, 1): self = .notAdmitted
        case (2, 9): self = .outdated(newest: SessionMessage.integer(Array(bytes), at: 1))
        default: return nil
        }
    }

    var bytes: [UInt8] {
        switch self {
        case .notAdmitted: return [1]
        case .outdated(let newest):
            var writer = WireWriter(reservingCapacity: 9)
            writer.write(UInt8(2))
            writer.write(newest)
            return writer.bytes
        }
    }
}

/// What an initiator says inside the first message: who it is, and when, so that the message is accepted only once.
struct InitiationPayload {
    static let byteCount = IdentityBinding.byteCount + 8

    let binding: IdentityBinding
    /// The initiator's wall clock in milliseconds; strictly growing.
    let timestamp: UInt64

    init(binding: IdentityBinding, timestamp: UInt64) {
        self.binding = binding
        self.timestamp = timestamp
    }

    init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount,
            let binding = IdentityBinding(bytes: bytes.prefix(IdentityBinding.byteCount))
        else { return nil }
        self.binding = binding
        timestamp = SessionMessage.integer(bytes, at: IdentityBinding.byteCount)
    }

    var bytes: [UInt8] {
        var writer = WireWriter(reservingCapacity: Self.byteCount)
        writer.writeRaw(binding.bytes)
        writer.write(timestamp)
        return writer.bytes
    }
}
