/// Where the pieces that a peer serves come from.
package protocol ShardSource {
    /// The manifest, if the shard is known here.
    func manifest(of shard: ShardID) -> ShardManifest?
    /// The verified pieces held here, if the shard is known.
    func heldPieces(of shard: ShardID) -> PieceBitmap?
    /// A verified piece's bytes, if held.
    func bytes(of shard: ShardID, piece: Int) -> [UInt8]?
}

/// Answers what others ask about shards. It keeps no state: the stream's back-pressure is what bounds its work.
package enum ShardServer {
    /// The answers to a message, in the order in which they must be sent; none for messages that are answers themselves.
    package static func answers(to message: ShardMessage, from source: some ShardSource) -> [ShardMessage] {
        switch message {
        case .query(let id, let wantsManifest):
            guard let manifest = source.manifest(of: id), let held = source.heldPieces(of: id) else {
                return [.notFound(id, piece: nil)]
            }
            return (wantsManifest ? [.manifest(manifest)] : []) + [.have(id, held)]
        case .request(let id, let piece):
            guard let bytes = source.bytes(of: id, piece: piece) else { return [.notFound(id, piece: piece)] }
            return [.piece(id, piece: piece, bytes: bytes)]
        case .manifest, .have, .piece, .notFound:
            return []
        }
    }
}
