package import Primitives
package import Wire

/// What the gossip protocol says to other peers. NETWORK.md, "Gossip", has every byte.
package enum GossipMessage: Hashable, Sendable {
    /// The root digest of the sender's live entries; rides on pings and acks.
    case root(UInt64)
    /// An entry.
    case entry(SignedEntry)
    /// The bucket digests of the sender's live entries.
    case buckets(BucketDigests)
    /// The owners in some buckets, each with the hash of its entries.
    case owners(ItemDigests)
    /// Everything that the sender has of one owner: "send me what is newer, ask me for the rest".
    case versions(owner: PeerID, [EntryVersion])
    /// Asks for these entries of one owner.
    case request(owner: PeerID, [EntryKey])
}

/// Which version of an entry a peer has.
package struct EntryVersion: Hashable, WireCodable {
    package let key: EntryKey
    package let version: UInt64

    package init(key: EntryKey, version: UInt64) {
        self.key = key
        self.version = version
    }

    package func encode(to writer: inout WireWriter) {
        writer.write(key)
        writer.write(version)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        key = try reader.read(EntryKey.self)
        version = try reader.read()
    }
}

extension GossipMessage: DatagramMessage {
    /// Type bytes of this protocol.
    package static let types: ClosedRange<UInt8> = 0x20...0x3F

    package func encode(to writer: inout WireWriter) {
        switch self {
        case .root(let root):
            writer.write(UInt8(0x20))
            writer.write(root)
        case .entry(let entry):
            writer.write(UInt8(0x21))
            writer.write(entry)
        case .buckets(let digests):
            writer.write(UInt8(0x22))
            writer.write(digests)
        case .owners(let digests):
            writer.write(UInt8(0x23))
            writer.write(digests)
        case .versions(let owner, let versions):
            writer.write(UInt8(0x24))
            writer.write(owner)
            writer.write(versions)
        case .request(let owner, let keys):
            writer.write(UInt8(0x25))
            writer.write(owner)
            writer.write(keys)
        }
    }

    package init(type: UInt8, from reader: inout WireReader) throws(WireError) {
        switch type {
        case 0x20: self = .root(try reader.read())
        case 0x21: self = .entry(try reader.read(SignedEntry.self))
        case 0x22: self = .buckets(try reader.read(BucketDigests.self))
        case 0x23: self = .owners(try reader.read(ItemDigests.self))
        case 0x24:
            self = .versions(
                owner: try reader.readPeer(),
                try reader.readArray(of: EntryVersion.self, maximum: Limits.entriesPerOwner))
        case 0x25:
            self = .request(
                owner: try reader.readPeer(), try reader.readArray(of: EntryKey.self, maximum: Limits.entriesPerOwner))
        default: throw .unknownType(type)
        }
    }
}
