package import Wire

/// What peers say on the traffic class `shards`: one message a stream message, a type byte first.
package enum ShardMessage: Hashable, Sendable {
    /// What have you of this shard? The manifest is answered only if wanted: it can be large.
    case query(ShardID, wantsManifest: Bool)
    /// The shard's manifest; its id is the shard it answers for.
    case manifest(ShardManifest)
    /// The pieces that the sender holds.
    case have(ShardID, PieceBitmap)
    /// Send this piece.
    case request(ShardID, piece: Int)
    /// A piece, whole.
    case piece(ShardID, piece: Int, bytes: [UInt8])
    /// The sender holds nothing of the shard, or not (or no longer) this piece.
    case notFound(ShardID, piece: Int?)

    private enum Kind: UInt8 {
        case query = 1
        case manifest, have, request, piece, notFound
    }

    /// The shard that the message is about.
    package var shard: ShardID {
        switch self {
        case .query(let id, _), .have(let id, _), .request(let id, _), .piece(let id, _, _), .notFound(let id, _): id
        case .manifest(let manifest): manifest.id
        }
    }
}

extension ShardMessage: WireCodable {
    package func encode(to writer: inout WireWriter) {
        switch self {
        case .query(let id, let wantsManifest):
            writer.write(Kind.query.rawValue)
            writer.write(id)
            writer.write(wantsManifest)
        case .manifest(let manifest):
            writer.write(Kind.manifest.rawValue)
            writer.write(manifest)
        case .have(let id, let bitmap):
            writer.write(Kind.have.rawValue)
            writer.write(id)
            writer.write(bitmap)
        case .request(let id, let piece):
            writer.write(Kind.request.rawValue)
            writer.write(id)
            writer.write(UInt32(piece))
        case .piece(let id, let piece, let bytes):
            writer.write(Kind.piece.rawValue)
            writer.write(id)
            writer.write(UInt32(piece))
            writer.write(bytes)
        case .notFound(let id, let piece):
            writer.write(Kind.notFound.rawValue)
            writer.write(id)
            writer.writeOptional(piece) { $0.write(UInt32($1)) }
        }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let type: UInt8 = try reader.read()
        guard let kind = Kind(rawValue: type) else { throw .unknownType(type) }
        switch kind {
        case .query: self = .query(try reader.read(ShardID.self), wantsManifest: try reader.readBool())
        case .manifest: self = .manifest(try reader.read(ShardManifest.self))
        case .have: self = .have(try reader.read(ShardID.self), try reader.read(PieceBitmap.self))
        case .request: self = .request(try reader.read(ShardID.self), piece: try Self.readPiece(&reader))
        case .piece:
            self = .piece(
                try reader.read(ShardID.self), piece: try Self.readPiece(&reader),
                bytes: try reader.readBytes(maximum: Limits.pieceBytes))
        case .notFound:
            let id = try reader.read(ShardID.self)
            self = .notFound(
                id,
                piece: try reader.readOptional { (reader: inout WireReader) throws(WireError) in
                    try Self.readPiece(&reader)
                })
        }
    }

    private static func readPiece(_ reader: inout WireReader) throws(WireError) -> Int {
        let piece: UInt32 = try reader.read()
        guard piece < Limits.piecesPerShard else { throw .outOfRange }
        return Int(piece)
    }
}
