import Foundation
import Primitives
import Runtime
import Shards
import Testing
import Wire

/// Bytes that differ from piece to piece.
func shardBytes(_ count: Int, seed: UInt64) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count { withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) } }
    return Array(bytes.prefix(count))
}

@Suite("The shard store")
struct ShardStoreTests {
    private let directory: TemporaryDirectory
    private let bytes = shardBytes(2_500_000, seed: 1)

    init() throws { directory = try TemporaryDirectory() }

    private func piece(_ index: Int) -> [UInt8] {
        Array(bytes[(index * 1_048_576)..<min((index + 1) * 1_048_576, bytes.count)])
    }

    @Test("gives back what was added, also after a restart")
    func addAndReopen() throws {
        let store = try ShardStore(path: directory.path + "/shards")
        let manifest = try store.add(bytes, name: "data.bin")
        let file = directory.path + "/source.txt"
        try SystemFile.replace(file, with: Array("hello".utf8))
        var progress: [UInt64] = []
        let small = try store.add(file: file, name: "source.txt") { progress.append($0) }
        #expect(progress == [5])
        #expect(try store.add(file: file, name: "again") == small, "the first name stays")
        for store in [store, try ShardStore(path: directory.path + "/shards")] {
            #expect(store.list.map(\.manifest.name) == ["data.bin", "source.txt"])
            #expect(try store.contents(of: manifest.id) == bytes)
            #expect(store.bytes(of: manifest.id, piece: 2) == piece(2))
            #expect(store.bytes(of: manifest.id, piece: 3) == nil)
            #expect(try store.contents(of: small.id) == Array("hello".utf8))
        }
        #expect(try store.export(manifest.id, to: directory.path + "/copy"))
        #expect(try SystemFile.read(directory.path + "/copy", maximumBytes: 1 << 24) == bytes)
        store.remove(manifest.id)
        #expect(store.manifest(of: manifest.id) == nil)
        let left = try FileManager.default.contentsOfDirectory(atPath: directory.path + "/shards")
        #expect(left == [small.id.description], "no temporary file may stay")
    }

    @Test("an incomplete shard resumes with what survives verification")
    func resume() throws {
        let path = directory.path + "/shards"
        let manifest = try #require(ShardBuilder.manifest(name: "data.bin", bytes: bytes))
        let store = try ShardStore(path: path)
        try store.begin(manifest)
        try store.store(piece(0), asPiece: 0, of: manifest.id)
        try store.store(piece(2), asPiece: 2, of: manifest.id)
        #expect(store.heldPieces(of: manifest.id)?.missing == [1])
        #expect(try store.contents(of: manifest.id) == nil)
        #expect(try !store.export(manifest.id, to: directory.path + "/copy"))
        // A crash now: the bitmap on disk does not know of the pieces yet, so they are fetched again.
        #expect(try ShardStore(path: path).heldPieces(of: manifest.id)?.heldCount == 0)
        // A bitmap that claims more than the data has: only what verifies counts.
        let shard = path + "/" + manifest.id.description
        try SystemFile.replace(shard + "/bitmap", with: PieceBitmap(pieceCount: 3, full: true).wireBytes)
        let reopened = try ShardStore(path: path)
        #expect(reopened.heldPieces(of: manifest.id)?.missing == [1])
        try reopened.store(piece(1), asPiece: 1, of: manifest.id)
        #expect(try reopened.contents(of: manifest.id) == bytes)
        #expect(!SystemFile.exists(shard + "/bitmap"))
        #expect(try ShardStore(path: path).entry(of: manifest.id)?.isComplete == true)
    }

    @Test("what is no shard is left alone")
    func foreignFiles() throws {
        let path = directory.path + "/shards"
        let manifest = try ShardStore(path: path).add(bytes, name: "data.bin")
        let data = path + "/" + manifest.id.description + "/data"
        try SystemFile.replace(data, with: piece(0))
        try SystemFile.replace(path + "/notes.txt", with: [1])
        #expect(try ShardStore(path: path).list.isEmpty, "a complete shard of the wrong length is damaged")
        #expect(SystemFile.exists(path + "/notes.txt"))
        #expect(try ShardStore(path: path).add(bytes, name: "data.bin") == manifest)
        #expect(try ShardStore(path: path).contents(of: manifest.id) == bytes)
    }

    @Test("an empty file is a shard too")
    func emptyFile() throws {
        let store = try ShardStore(path: directory.path + "/shards")
        let manifest = try store.add([], name: "empty")
        #expect(try store.contents(of: manifest.id) == [])
        let other = try ShardStore(path: directory.path + "/other")
        try other.begin(manifest)
        #expect(try other.contents(of: manifest.id) == [])
    }
}
