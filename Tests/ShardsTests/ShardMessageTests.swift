import Primitives
import Shards
import TestSupport
import Testing
import Wire

@Suite("Shard messages")
struct ShardMessageTests {
    private static let id = ShardID(root: Digest.sha256(Array("root".utf8)), byteCount: 2_000_000)

    private static func messages() throws -> [ShardMessage] {
        let manifest = try #require(ShardBuilder.manifest(name: "tiny.txt", bytes: Array("weft".utf8)))
        var bitmap = PieceBitmap(pieceCount: 11)
        for piece in [0, 3, 10] { bitmap.insert(piece) }
        return [
            .query(manifest.id, wantsManifest: true), .manifest(manifest), .have(manifest.id, bitmap),
            .request(manifest.id, piece: 0), .piece(manifest.id, piece: 0, bytes: Array("weft".utf8)),
            .notFound(manifest.id, piece: 258),
        ]
    }

    @Test("are what the document says")
    func examples() throws {
        let names = ["query", "manifest", "have", "request", "piece", "notfound"]
        for (name, message) in zip(names, try Self.messages()) {
            let expected = NetworkExamples.bytes("shards/\(name)")
            #expect(expected == message.wireBytes, "shards/\(name): \(message.wireBytes.hex)")
        }
    }

    @Test("come back from the wire, and not from less of it")
    func roundTrips() throws {
        for message in try Self.messages() + [.notFound(Self.id, piece: nil)] {
            let bytes = message.wireBytes
            #expect(try ShardMessage(wireBytes: bytes) == message)
            for length in 0..<bytes.count {
                #expect(throws: WireError.self) { try ShardMessage(wireBytes: Array(bytes.prefix(length))) }
            }
            #expect(throws: WireError.trailingBytes) { try ShardMessage(wireBytes: bytes + [0]) }
        }
    }

    @Test("with absurd lengths are refused before anything is allocated")
    func absurdLengths() {
        let id = Self.id.wireBytes
        let hugeCount: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F]
        #expect(throws: WireError.outOfRange) { try ShardMessage(wireBytes: [3] + id + hugeCount) }
        #expect(throws: WireError.outOfRange) { try ShardMessage(wireBytes: [5] + id + [0, 0, 0, 0] + hugeCount) }
        let hugeFile: [UInt8] = [2, 0] + Array(repeating: 0xFF, count: 8)
        #expect(throws: WireError.outOfRange) { try ShardMessage(wireBytes: hugeFile) }
        let largeFile: [UInt8] = [2, 0] + [0, 0, 0, 0, 0, 1, 0, 0]
        #expect(throws: WireError.truncated) { try ShardMessage(wireBytes: largeFile) }
        #expect(throws: WireError.unknownType(9)) { try ShardMessage(wireBytes: [9] + id) }
        // A bit beyond the last piece.
        #expect(throws: WireError.notCanonical) { try ShardMessage(wireBytes: [3] + id + [3, 0b1000]) }
    }
}

@Suite("Manifests and bitmaps")
struct ShardManifestTests {
    @Test("a manifest verifies its pieces and nothing else")
    func verification() throws {
        let bytes = pattern(2_300_000)
        let manifest = try #require(ShardBuilder.manifest(name: "file", bytes: bytes))
        #expect(manifest.pieceCount == 3)
        for index in 0..<3 {
            let range = manifest.byteRange(ofPiece: index)
            var piece = Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)])
            #expect(manifest.verifies(piece, asPiece: index))
            #expect(!manifest.verifies(piece, asPiece: (index + 1) % 3))
            #expect(!manifest.verifies(piece.dropLast(), asPiece: index))
            piece[piece.count / 2] ^= 1
            #expect(!manifest.verifies(piece, asPiece: index))
        }
        #expect(!manifest.verifies([], asPiece: 3))
        #expect(!manifest.verifies([], asPiece: -1))
    }

    @Test("another length, order or root is another id; another name is not")
    func identity() throws {
        let bytes = pattern(2_097_152)
        let manifest = try #require(ShardBuilder.manifest(name: "a", bytes: bytes))
        let roots = manifest.pieceRoots
        func id(_ byteCount: UInt64, _ roots: [Digest]) -> ShardID? {
            ShardManifest(name: "a", byteCount: byteCount, pieceRoots: roots)?.id
        }
        #expect(id(2_097_151, roots) != nil)
        #expect(id(2_097_151, roots) != manifest.id)
        #expect(id(2_097_152, roots.reversed()) != manifest.id)
        #expect(id(2_097_153, roots) == nil, "a third piece would be needed")
        #expect(ShardManifest(name: "b", byteCount: 2_097_152, pieceRoots: roots)?.id == manifest.id)
        #expect(ShardID(manifest.id.description) == manifest.id)
    }

    @Test("a bitmap counts what it holds")
    func bitmap() {
        var bitmap = PieceBitmap(pieceCount: 130)
        for piece in [0, 64, 129, 129, 130, -1] { bitmap.insert(piece) }
        #expect(bitmap.heldCount == 3)
        #expect(bitmap.missing.count == 127)
        bitmap.remove(64)
        bitmap.remove(64)
        #expect(bitmap.heldCount == 2 && !bitmap.contains(64) && bitmap.contains(129))
        #expect(PieceBitmap(pieceCount: 130, full: true).isComplete)
        #expect(PieceBitmap(pieceCount: 0).isComplete)
    }
}
