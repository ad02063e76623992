internal import Primitives
internal import Shards
internal import Wire

extension FuzzTarget {
    /// What peers say about content-addressed files.
    static let shards: [FuzzTarget] = [
        codec("shards-message", maximumByteCount: 4096, seeds: { ShardSamples.messages }),
        codec(
            "shards-manifest", maximumByteCount: 4096, seeds: { [ShardSamples.manifest, ShardSamples.emptyManifest] }),
        codec(
            "shards-bitmap", maximumByteCount: 512,
            seeds: {
                [PieceBitmap(pieceCount: 0), PieceBitmap(pieceCount: 3, full: true), PieceBitmap(pieceCount: 900)]
            }),
        FuzzTarget(
            "shards-identity-text", maximumByteCount: 128,
            seeds: { [Array(ShardSamples.manifest.id.description.utf8)] },
            check: { bytes throws(FuzzFinding) in
                guard let id = ShardID(String(decoding: bytes, as: UTF8.self)) else { return false }
                guard ShardID(id.description) == id else { throw FuzzFinding("\(id) does not parse to itself") }
                return true
            }),
        FuzzTarget(
            "shards-fetch", maximumByteCount: 8192,
            seeds: { [ShardSamples.messages.flatMap { ShardSamples.framed($0.wireBytes) }] },
            check: { bytes throws(FuzzFinding) in
                var fetch = ShardFetch(shard: ShardSamples.manifest.id)
                var now = Instant(nanoseconds: 0)
                var effects: [ShardFetch.Effect] = []
                for index in 0..<2 {
                    fetch.handle(.addSource(FuzzSamples.peer(UInt64(index))), at: now, into: &effects)
                }
                var reader = WireReader(bytes)
                var accepted = false
                while let size = try? reader.read(UInt16.self), let raw = try? reader.readRaw(Int(size)) {
                    now = now + .milliseconds(200)
                    guard let message = try? ShardMessage(wireBytes: raw) else { continue }
                    fetch.handle(.message(message, from: FuzzSamples.peer(UInt64(size & 1))), at: now, into: &effects)
                    if let deadline = fetch.nextDeadline, deadline <= now {
                        fetch.handle(.timer, at: now, into: &effects)
                    }
                    accepted = true
                }
                // Only the three pieces of the true content may ever be accepted.
                for case .accepted(let piece, let bytes) in effects {
                    guard ShardSamples.manifest.verifies(bytes, asPiece: piece) else {
                        throw FuzzFinding("piece \(piece) was accepted and is not the shard's")
                    }
                }
                return accepted
            }),
    ]
}

/// A small shard and one of each message about it.
private enum ShardSamples {
    static let content = FuzzSamples.bytes(1000, 40)
    static let manifest: ShardManifest = {
        guard let manifest = ShardBuilder.manifest(name: "model.safetensors", bytes: content) else {
            preconditionFailure("a small shard has a manifest")
        }
        return manifest
    }()
    static let emptyManifest: ShardManifest = {
        guard let manifest = ShardManifest(name: "", byteCount: 0, pieceRoots: []) else {
            preconditionFailure("an empty shard has a manifest")
        }
        return manifest
    }()

    static let messages: [ShardMessage] = [
        .query(manifest.id, wantsManifest: true), .manifest(manifest),
        .have(manifest.id, PieceBitmap(pieceCount: 1, full: true)), .request(manifest.id, piece: 0),
        .piece(manifest.id, piece: 0, bytes: content), .notFound(manifest.id, piece: nil),
        .notFound(manifest.id, piece: 0),
    ]

    static func framed(_ message: [UInt8]) -> [UInt8] {
        var writer = WireWriter()
        writer.write(UInt16(message.count))
        writer.writeRaw(message)
        return writer.bytes
    }
}
