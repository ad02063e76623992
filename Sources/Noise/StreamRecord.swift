internal import Primitives
internal import Wire

/// What a record holds.
package enum RecordKind: UInt8, Sendable {
    /// A part of a message that goes on in the next record.
    case part = 0
    /// The last part of a message.
    case last = 1
    /// Nothing: shows that the stream is alive.
    case keepalive = 2
    /// Nothing more will come in this direction; its absence at the end means that the stream was cut.
    case close = 3
}

/// The 4 bytes before a sealed record: the plaintext's length in 24 bits, little-endian, then the kind. They are the
/// record's associated data, so neither can be altered.
package struct RecordHeader: Hashable, Sendable {
    package static let byteCount = 4
    /// What a record adds to its plaintext.
    package static let overheadBytes = byteCount + BulkCipher.tagByteCount

    package let kind: RecordKind
    /// At most `Limits.recordBytes`; only message parts may have any.
    package let plaintextByteCount: Int

    package init(kind: RecordKind, plaintextByteCount: Int) {
        precondition(plaintextByteCount <= Limits.recordBytes, "a record holds at most \(Limits.recordBytes) bytes")
        self.kind = kind
        self.plaintextByteCount = plaintextByteCount
    }

    /// Reads the header as one little-endian word; `nil` for a length or kind that no peer sends.
    package init?(word: UInt32) {
        guard let kind = RecordKind(rawValue: UInt8(word >> 24)), word & 0xFF_FFFF <= Limits.recordBytes else {
            return nil
        }
        let length = Int(word & 0xFF_FFFF)
        guard length == 0 || kind == .part || kind == .last else { return nil }
        self.kind = kind
        plaintextByteCount = length
    }

    /// The header as one word, to be written in little-endian order.
    package var word: UInt32 { UInt32(plaintextByteCount) | UInt32(kind.rawValue) << 24 }

    /// Ciphertext and tag that follow.
    package var sealedByteCount: Int { plaintextByteCount + BulkCipher.tagByteCount }
}

/// Why a record could not be sealed or opened; the stream is then over.
package enum RecordError: Error, Hashable, Sendable {
    /// Altered, replayed, reordered or cut out.
    case notAuthentic
    /// 2³² records under one key: open a new stream.
    case exhausted
}

/// Seals the records of one direction under a counter. A class, because a copy would reuse nonces.
package final class RecordSealer {
    /// Records under one key; keeps AES-GCM far inside its bounds (RFC 8446, 5.5).
    package static let recordLimit: UInt64 = 1 << 32

    private let cipher: BulkCipher
    private var counter: UInt64 = 0

    init(suite: BulkCipher.Suite, key: borrowing SecretBytes) { cipher = BulkCipher(suite: suite, key: key) }

    /// Emits header, ciphertext and tag in turn.
    package func seal(
        _ plaintext: UnsafeRawBufferPointer, kind: RecordKind, emit: (UnsafeRawBufferPointer) -> Void
    ) throws(RecordError) {
        guard counter < Self.recordLimit else { throw .exhausted }
        let word = RecordHeader(kind: kind, plaintextByteCount: plaintext.count).word.littleEndian
        let cipher = cipher
        let number = counter
        counter += 1
        do {
            try withUnsafeBytes(of: word) { header throws(BulkCipherError) in
                emit(header)
                try cipher.seal(plaintext, counter: number, associatedData: header, emit: emit)
            }
        } catch { throw .exhausted }
    }
}

/// Opens the records of one direction in order.
package final class RecordOpener {
    private let cipher: BulkCipher
    private var counter: UInt64 = 0

    init(suite: BulkCipher.Suite, key: borrowing SecretBytes) { cipher = BulkCipher(suite: suite, key: key) }

    /// Opens ciphertext and tag (`header.sealedByteCount` bytes) and lends the plaintext.
    package func open(
        _ sealed: UnsafeRawBufferPointer, header: RecordHeader, emit: (UnsafeRawBufferPointer) -> Void
    ) throws(RecordError) {
        guard counter < RecordSealer.recordLimit else { throw .exhausted }
        let cipher = cipher
        let number = counter
        do {
            try withUnsafeBytes(of: header.word.littleEndian) { associated throws(BulkCipherError) in
                try cipher.open(sealed, counter: number, associatedData: associated, emit: emit)
            }
        } catch { throw .notAuthentic }
        counter += 1
    }
}

/// Remembers the greatest timestamp of each dialler, so that a recorded hello opens nothing.
package struct HelloGuard: Sendable {
    private struct Key: Hashable {
        let peer: PeerID
        let channel: UInt8
    }

    private var greatest: [Key: UInt64] = [:]
    private var order: [Key] = []
    private let capacity: Int

    /// Remembers at most `capacity` pairs of peer and channel; beyond that the oldest are forgotten, whose recorded
    /// hellos would then lead to a stream on which nothing authentic ever comes.
    package init(capacity: Int = 16_384) { self.capacity = capacity }

    /// The timestamp of a hello of this peer and channel that is newer than this one.
    package func newest(beyond opening: StreamOpening) -> UInt64? {
        greatest[Key(peer: opening.peer, channel: opening.channel)].flatMap { $0 > opening.timestamp ? $0 : nil }
    }

    /// Whether the hello is newer than all before it of this peer and channel; remembers it if so.
    package mutating func admit(_ opening: StreamOpening) -> Bool {
        let key = Key(peer: opening.peer, channel: opening.channel)
        if let known = greatest[key] {
            guard opening.timestamp > known else { return false }
        } else {
            if order.count >= capacity { greatest[order.removeFirst()] = nil }
            order.append(key)
        }
        greatest[key] = opening.timestamp
        return true
    }
}
