/// `weft shard add`: publishes a local file.
package struct ShardAddRequest: Codable, Hashable, Sendable {
    /// Absolute path on the node's machine.
    package var path: String
    /// Name under which it is listed; `nil` for the file's own.
    package var name: String?

    package init(path: String, name: String? = nil) {
        self.path = path
        self.name = name
    }
}

/// `weft shard get`: fetches a file by its content.
package struct ShardFetchRequest: Codable, Hashable, Sendable {
    /// Digest in base32, in full.
    package var shard: String
    /// Absolute path to write to; `nil` leaves it in the node's store.
    package var outputPath: String?

    package init(shard: String, outputPath: String? = nil) {
        self.shard = shard
        self.outputPath = outputPath
    }
}

/// Progress of adding or fetching. In JSON the key `event` names the kind.
package enum ShardEvent: Codable, Hashable, Sendable {
    case progress(Progress)
    case finished(ShardView)

    package struct Progress: Codable, Hashable, Sendable {
        package var doneBytes: UInt64
        package var totalBytes: UInt64
        package var bytesPerSecond: Double
        /// Peers from which pieces come; 0 while hashing a local file.
        package var sources: Int

        package init(doneBytes: UInt64, totalBytes: UInt64, bytesPerSecond: Double, sources: Int) {
            self.doneBytes = doneBytes
            self.totalBytes = totalBytes
            self.bytesPerSecond = bytesPerSecond
            self.sources = sources
        }
    }

    private enum Kind: String, Codable {
        case progress, finished
    }

    private enum CodingKeys: String, CodingKey {
        case event
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .progress(let body):
            try container.encode(Kind.progress, forKey: .event)
            try body.encode(to: encoder)
        case .finished(let body):
            try container.encode(Kind.finished, forKey: .event)
            try body.encode(to: encoder)
        }
    }

    package init(from decoder: any Decoder) throws {
        switch try decoder.container(keyedBy: CodingKeys.self).decode(Kind.self, forKey: .event) {
        case .progress: self = .progress(try Progress(from: decoder))
        case .finished: self = .finished(try ShardView(from: decoder))
        }
    }
}

/// A content-addressed file as this node knows it.
package struct ShardView: Codable, Hashable, Sendable {
    /// Digest in base32.
    package var shard: String
    package var name: String
    package var bytes: UInt64
    package var pieces: Int
    /// Pieces that this node holds, verified.
    package var heldPieces: Int
    /// Where it was written, after a fetch with a path.
    package var path: String?

    package init(shard: String, name: String, bytes: UInt64, pieces: Int, heldPieces: Int, path: String? = nil) {
        self.shard = shard
        self.name = name
        self.bytes = bytes
        self.pieces = pieces
        self.heldPieces = heldPieces
        self.path = path
    }
}

/// The files that a node holds at least in part: `weft shard ls`.
package struct ShardListing: Codable, Hashable, Sendable {
    /// By name, then by identity.
    package var shards: [ShardView]

    package init(shards: [ShardView]) { self.shards = shards }
}
