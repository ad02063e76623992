internal import Foundation
package import Shards
internal import Synchronization
internal import Wire

/// The content-addressed files of a node, one directory each under the state directory's `shards/`:
///
/// | file | contents |
/// | --- | --- |
/// | `ID/data` | the bytes; holes where pieces are missing |
/// | `ID/bitmap` | the pieces held, as long as some are missing |
/// | `ID/manifest` | the encoded manifest; a directory without it is no shard |
///
/// The bitmap is written after the pieces it claims have reached the disk, and what it claims is verified again when a node
/// starts: a crash loses at most the last pieces. Safe to use from any thread; calls block for the disk.
package final class ShardStore: ShardSource, Sendable {
    /// What the store has of a shard.
    package struct Entry: Sendable {
        package let manifest: ShardManifest
        /// Verified pieces on disk.
        package fileprivate(set) var held: PieceBitmap
        fileprivate var unsaved = 0

        package var isComplete: Bool { held.isComplete }
    }

    /// Pieces between two writes of a bitmap.
    private static let piecesPerSave = 16

    package let path: String
    private let entries: Mutex<[ShardID: Entry]>

    /// Opens the store, making its directory if needed. Incomplete shards are verified, which reads them.
    package init(path: String) throws(FileError) {
        self.path = path
        try SystemFile.makeDirectory(path)
        var found: [ShardID: Entry] = [:]
        for name in ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() {
            guard let id = ShardID(name), let entry = (try? Self.load(id, path + "/" + name)) ?? nil else { continue }
            found[id] = entry
        }
        entries = Mutex(found)
    }

    private static func load(_ id: ShardID, _ directory: String) throws(FileError) -> Entry? {
        // A damaged or foreign directory is left alone: it is not ours to delete, and a new fetch overwrites it.
        guard let bytes = try SystemFile.read(directory + "/manifest", maximumBytes: Limits.streamMessageBytes),
            let manifest = try? ShardManifest(wireBytes: bytes), manifest.id == id
        else { return nil }
        let count = manifest.pieceCount
        guard let saved = try SystemFile.read(directory + "/bitmap", maximumBytes: Limits.piecesPerShard) else {
            let file = try ShardFile(path: directory + "/data", writing: false)
            guard try file.byteCount() == manifest.byteCount else { return nil }
            return Entry(manifest: manifest, held: PieceBitmap(pieceCount: count, full: true))
        }
        var held = PieceBitmap(pieceCount: count)
        if let claimed = try? PieceBitmap(wireBytes: saved), claimed.pieceCount == count {
            let file = try ShardFile(path: directory + "/data", writing: true)
            for piece in 0..<count where claimed.contains(piece) {
                let range = manifest.byteRange(ofPiece: piece)
                let bytes = try file.read(at: range.lowerBound, count: Int(range.upperBound - range.lowerBound))
                if manifest.verifies(bytes, asPiece: piece) { held.insert(piece) }
            }
        }
        return Entry(manifest: manifest, held: held)
    }

    private func directory(_ shard: ShardID) -> String { path + "/" + shard.description }

    // MARK: What is here

    /// Every shard of which something is known, sorted by name and id.
    package var list: [Entry] {
        entries.withLock { Array($0.values) }.sorted {
            ($0.manifest.name, $0.manifest.id) < ($1.manifest.name, $1.manifest.id)
        }
    }

    /// What the store has of a shard.
    package func entry(of shard: ShardID) -> Entry? { entries.withLock { $0[shard] } }

    package func manifest(of shard: ShardID) -> ShardManifest? { entry(of: shard)?.manifest }

    package func heldPieces(of shard: ShardID) -> PieceBitmap? { entry(of: shard)?.held }

    /// A piece's bytes; `nil` if it is not held or the disk fails.
    package func bytes(of shard: ShardID, piece: Int) -> [UInt8]? {
        guard let entry = entry(of: shard), entry.held.contains(piece) else { return nil }
        let range = entry.manifest.byteRange(ofPiece: piece)
        let count = Int(range.upperBound - range.lowerBound)
        guard let file = try? ShardFile(path: directory(shard) + "/data", writing: false),
            let bytes = try? file.read(at: range.lowerBound, count: count), bytes.count == count
        else { return nil }
        return bytes
    }

    /// The whole file; `nil` unless it is complete.
    package func contents(of shard: ShardID) throws(FileError) -> [UInt8]? {
        guard let entry = entry(of: shard), entry.isComplete else { return nil }
        let file = try ShardFile(path: directory(shard) + "/data", writing: false)
        return try file.read(at: 0, count: Int(entry.manifest.byteCount))
    }

    /// Copies a complete shard to a path of the user's; returns false unless it is complete.
    package func export(_ shard: ShardID, to destination: String) throws(FileError) -> Bool {
        guard let entry = entry(of: shard), entry.isComplete else { return false }
        let temporary = destination + ".weft-part"
        SystemFile.remove(temporary)
        try copy(
            from: directory(shard) + "/data", to: temporary, byteCount: entry.manifest.byteCount,
            each: { (_: [UInt8]) throws(FileError) in })
        try ShardFile.rename(temporary, to: destination)
        return true
    }

    // MARK: Adding

    /// Adds a file that is in memory. A file that is here already keeps its first name.
    package func add(_ bytes: [UInt8], name: String) throws(FileError) -> ShardManifest {
        guard let manifest = ShardBuilder.manifest(name: name, bytes: bytes) else {
            throw FileError("add", name, reason: "its name or size is over the limit")
        }
        if let known = entry(of: manifest.id), known.isComplete { return known.manifest }
        let directory = directory(manifest.id)
        try SystemFile.makeDirectory(directory)
        try SystemFile.replace(directory + "/data", with: bytes)
        try SystemFile.replace(directory + "/manifest", with: manifest.wireBytes)
        return complete(manifest)
    }

    /// Adds a file by copying it, as above; `onProgress` hears the bytes done so far.
    package func add(
        file source: String, name: String, onProgress: (UInt64) -> Void = { _ in }
    ) throws(FileError) -> ShardManifest {
        let size = try ShardFile(path: source, writing: false).byteCount()
        let temporary = path + "/adding-\(ProcessInfo.processInfo.processIdentifier)-\(UUID().uuidString)"
        var builder = ShardBuilder()
        var done: UInt64 = 0
        do throws(FileError) {
            try copy(from: source, to: temporary, byteCount: size) { (bytes: [UInt8]) throws(FileError) in
                builder.append(bytes)
                done += UInt64(bytes.count)
                onProgress(done)
            }
            guard let manifest = builder.finish(name: name) else {
                throw FileError("add", source, reason: "its name or size is over the limit")
            }
            if let known = entry(of: manifest.id), known.isComplete {
                SystemFile.remove(temporary)
                return known.manifest
            }
            let directory = directory(manifest.id)
            try SystemFile.makeDirectory(directory)
            try ShardFile.rename(temporary, to: directory + "/data")
            try SystemFile.replace(directory + "/manifest", with: manifest.wireBytes)
            return complete(manifest)
        } catch {
            SystemFile.remove(temporary)
            throw error
        }
    }

    private func copy(
        from source: String, to destination: String, byteCount: UInt64,
        each: ([UInt8]) throws(FileError) -> Void
    ) throws(FileError) {
        let input = try ShardFile(path: source, writing: false)
        let output = try ShardFile(path: destination, writing: true)
        var offset: UInt64 = 0
        while offset < byteCount {
            let bytes = try input.read(at: offset, count: Limits.pieceBytes)
            guard !bytes.isEmpty else { throw FileError("read", source, reason: "it became shorter while being read") }
            try output.write(bytes, at: offset)
            offset += UInt64(bytes.count)
            try each(bytes)
        }
        try output.synchronize()
    }

    private func complete(_ manifest: ShardManifest) -> ShardManifest {
        SystemFile.remove(directory(manifest.id) + "/bitmap")
        let held = PieceBitmap(pieceCount: manifest.pieceCount, full: true)
        entries.withLock { $0[manifest.id] = Entry(manifest: manifest, held: held) }
        return manifest
    }

    // MARK: Fetching

    /// Makes room for a shard whose pieces will come; keeps what is held already.
    package func begin(_ manifest: ShardManifest) throws(FileError) {
        guard entry(of: manifest.id) == nil else { return }
        let directory = directory(manifest.id)
        let empty = PieceBitmap(pieceCount: manifest.pieceCount)
        try SystemFile.makeDirectory(directory)
        try SystemFile.replace(directory + "/bitmap", with: empty.wireBytes)
        _ = try ShardFile(path: directory + "/data", writing: true)
        try SystemFile.replace(directory + "/manifest", with: manifest.wireBytes)
        entries.withLock { $0[manifest.id] = Entry(manifest: manifest, held: empty) }
        if manifest.pieceCount == 0 { _ = complete(manifest) }
    }

    /// Stores a piece that the caller has verified. Does nothing for a shard that has not begun.
    package func store(_ bytes: [UInt8], asPiece piece: Int, of shard: ShardID) throws(FileError) {
        guard let entry = entry(of: shard), !entry.held.contains(piece), piece < entry.manifest.pieceCount else {
            return
        }
        let file = try ShardFile(path: directory(shard) + "/data", writing: true)
        try file.write(bytes, at: entry.manifest.byteRange(ofPiece: piece).lowerBound)
        let (held, isSaveDue) = entries.withLock { entries in
            entries[shard]?.held.insert(piece)
            entries[shard]?.unsaved += 1
            let isSaveDue = entries[shard].map { $0.isComplete || $0.unsaved >= Self.piecesPerSave } ?? false
            if isSaveDue { entries[shard]?.unsaved = 0 }
            return (entries[shard]?.held, isSaveDue)
        }
        guard isSaveDue, let held else { return }
        try file.synchronize()
        if held.isComplete {
            SystemFile.remove(directory(shard) + "/bitmap")
        } else {
            try SystemFile.replace(directory(shard) + "/bitmap", with: held.wireBytes)
        }
    }

    /// Forgets a shard and deletes its files.
    package func remove(_ shard: ShardID) {
        entries.withLock { $0[shard] = nil }
        // The manifest first: without it, what a crash leaves is no shard.
        for name in ["manifest", "bitmap", "data"] { SystemFile.remove(directory(shard) + "/" + name) }
        ShardFile.removeDirectory(directory(shard))
    }
}
