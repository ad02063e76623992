package import Primitives
package import Wire

/// What a shard consists of: enough to verify every piece by itself.
package struct ShardManifest: Hashable, Sendable {
    /// What its first owner called it; a hint that nothing verifies, never a path.
    package let name: String
    /// Bytes of the file, at most `Limits.shardBytes`.
    package let byteCount: UInt64
    /// Root of each piece of 1 MiB; the last piece may be shorter.
    package let pieceRoots: [Digest]
    /// The content's name, computed from the fields above: a manifest is authentic if this is the id that was asked for.
    package let id: ShardID

    /// `nil` if the name or the file is too large, or the number of roots does not fit the byte count.
    package init?(name: String, byteCount: UInt64, pieceRoots: [Digest]) {
        guard byteCount <= Limits.shardBytes, name.utf8.count <= Limits.shardNameBytes,
            pieceRoots.count == Self.pieceCount(byteCount: byteCount)
        else { return nil }
        self.name = name
        self.byteCount = byteCount
        self.pieceRoots = pieceRoots
        id = ShardID(root: MerkleTree.root(pieceRoots), byteCount: byteCount)
    }

    /// Pieces of a file of this size.
    package static func pieceCount(byteCount: UInt64) -> Int {
        let piece = UInt64(Limits.pieceBytes)
        return Int(byteCount / piece) + (byteCount % piece == 0 ? 0 : 1)
    }

    package var pieceCount: Int { pieceRoots.count }

    /// Where a piece lies in the file. The index must be below `pieceCount`.
    package func byteRange(ofPiece index: Int) -> Range<UInt64> {
        let start = UInt64(index) * UInt64(Limits.pieceBytes)
        return start..<min(start + UInt64(Limits.pieceBytes), byteCount)
    }

    /// Whether these bytes are the piece. Any index and any bytes may be given.
    package func verifies(_ bytes: some RandomAccessCollection<UInt8>, asPiece index: Int) -> Bool {
        guard pieceRoots.indices.contains(index) else { return false }
        let range = byteRange(ofPiece: index)
        guard bytes.count == Int(range.upperBound - range.lowerBound) else { return false }
        return MerkleTree.root(ofPiece: bytes) == pieceRoots[index]
    }
}

extension ShardManifest: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(name)
        writer.write(byteCount)
        for root in pieceRoots { writer.write(root) }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let name = try reader.readString(maximum: Limits.shardNameBytes)
        let byteCount: UInt64 = try reader.read()
        guard byteCount <= Limits.shardBytes else { throw .outOfRange }
        let count = Self.pieceCount(byteCount: byteCount)
        guard reader.remaining >= count * Digest.byteCount else { throw .truncated }
        var roots: [Digest] = []
        roots.reserveCapacity(count)
        for _ in 0..<count { roots.append(try reader.readDigest()) }
        guard let manifest = ShardManifest(name: name, byteCount: byteCount, pieceRoots: roots) else {
            throw .outOfRange
        }
        self = manifest
    }
}

/// Makes a manifest from a file's bytes as they are read, in parts of any size.
package struct ShardBuilder {
    private var pending: [UInt8] = []
    private var roots: [Digest] = []
    private var byteCount: UInt64 = 0

    package init() {}

    /// The manifest of bytes that are all in memory; `nil` under the conditions of `ShardManifest.init`.
    package static func manifest(name: String, bytes: some RandomAccessCollection<UInt8>) -> ShardManifest? {
        var builder = ShardBuilder()
        builder.append(bytes)
        return builder.finish(name: name)
    }

    /// Adds the next bytes of the file.
    package mutating func append(_ bytes: some RandomAccessCollection<UInt8>) {
        byteCount += UInt64(bytes.count)
        var rest = bytes[bytes.startIndex...]
        if !pending.isEmpty {
            let missing = Limits.pieceBytes - pending.count
            pending.append(contentsOf: rest.prefix(missing))
            rest = rest.dropFirst(missing)
            guard pending.count == Limits.pieceBytes else { return }
            roots.append(MerkleTree.root(ofPiece: pending))
            pending.removeAll(keepingCapacity: true)
        }
        while rest.count >= Limits.pieceBytes {
            roots.append(MerkleTree.root(ofPiece: rest.prefix(Limits.pieceBytes)))
            rest = rest.dropFirst(Limits.pieceBytes)
        }
        pending.append(contentsOf: rest)
    }

    /// The manifest of everything appended; `nil` under the conditions of `ShardManifest.init`.
    package consuming func finish(name: String) -> ShardManifest? {
        if !pending.isEmpty { roots.append(MerkleTree.root(ofPiece: pending)) }
        return ShardManifest(name: name, byteCount: byteCount, pieceRoots: roots)
    }
}
