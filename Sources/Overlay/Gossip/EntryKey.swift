package import Wire

/// Which of its owner's entries an entry is: a kind and an index within the kind.
package struct EntryKey: Hashable, Comparable, WireCodable {
    package let kind: UInt8
    package let index: UInt8

    package init(kind: UInt8, index: UInt8 = 0) {
        self.kind = kind
        self.index = index
    }

    /// What the peer's machine can do (`Capability`).
    package static let capability = EntryKey(kind: 1)
    /// A page of measured links.
    package static func links(page: UInt8) -> EntryKey { EntryKey(kind: 2, index: page) }
    /// The kind of all pages of links.
    package static let linksKind: UInt8 = 2
    /// The peer's network coordinate.
    package static let coordinate = EntryKey(kind: 3)
    /// The part of a plan that the peer has accepted.
    package static let assignment = EntryKey(kind: 4)
    /// A job that the peer coordinates.
    package static func job(_ index: UInt8) -> EntryKey { EntryKey(kind: 5, index: index) }
    /// A page of a closed swarm's list, of its founder only; spread by `Admission`, not by gossip.
    package static func admission(page: UInt8) -> EntryKey { EntryKey(kind: admissionKind, index: page) }
    /// The kind of all pages of a closed swarm's list.
    package static let admissionKind: UInt8 = 6
    /// Kinds from here on are for experiments and never get a fixed meaning.
    package static let firstExperimentalKind: UInt8 = 0x80

    package static func < (left: EntryKey, right: EntryKey) -> Bool {
        (left.kind, left.index) < (right.kind, right.index)
    }

    package func encode(to writer: inout WireWriter) {
        writer.write(kind)
        writer.write(index)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        kind = try reader.read()
        index = try reader.read()
    }
}
