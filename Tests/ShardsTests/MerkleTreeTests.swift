import Primitives
import Shards
import TestSupport
import Testing
import Wire

@Suite("The Merkle tree")
struct MerkleTreeTests {
    /// The leaves and roots of the reference tests of Certificate Transparency (RFC 6962).
    private static let leaves: [[UInt8]] = [
        [], [0x00], [0x10], [0x20, 0x21], [0x30, 0x31], [0x40, 0x41, 0x42, 0x43],
        [0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57], Array(0x60...0x6f),
    ]
    private static let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]

    @Test("agrees with the vectors of RFC 6962", arguments: 0...8)
    func vectors(count: Int) {
        let root = MerkleTree.root(Self.leaves.prefix(count).map { MerkleTree.leaf($0) })
        #expect(root.bytes.hex == Self.roots[count], "root of the first \(count) leaves")
    }

    @Test("splits at the largest power of two below the count", arguments: [1, 2, 3, 63, 64, 65, 130, 257])
    func shape(count: Int) {
        let hashes = (0..<count).map { MerkleTree.leaf([UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)]) }
        func root(_ range: Range<Int>) -> Digest {
            guard range.count > 1 else { return hashes[range.lowerBound] }
            var power = 1
            while power * 2 < range.count { power *= 2 }
            let split = range.lowerBound + power
            return MerkleTree.node(root(range.lowerBound..<split), root(split..<range.upperBound))
        }
        #expect(MerkleTree.root(hashes) == root(0..<count))
    }

    @Test("over pieces has the root of the tree over leaves", arguments: [0, 1, 16_384, 16_385, 1 << 20, 3_500_001])
    func piecesAndLeaves(byteCount: Int) throws {
        let bytes = pattern(byteCount)
        var leaves: [Digest] = []
        for start in stride(from: 0, to: byteCount, by: Limits.leafBytes) {
            leaves.append(MerkleTree.leaf(bytes[start..<min(start + Limits.leafBytes, byteCount)]))
        }
        let manifest = try #require(ShardBuilder.manifest(name: "file", bytes: bytes))
        #expect(manifest.id == ShardID(root: MerkleTree.root(leaves), byteCount: UInt64(byteCount)))
    }

    @Test("does not depend on how a file is read")
    func partsOfAnySize() throws {
        let bytes = pattern(2_500_000)
        let whole = try #require(ShardBuilder.manifest(name: "file", bytes: bytes))
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<5 {
            var builder = ShardBuilder()
            var position = 0
            while position < bytes.count {
                let end = min(position + 1 + generator.index(below: 900_000), bytes.count)
                builder.append(bytes[position..<end])
                position = end
            }
            #expect(builder.finish(name: "file") == whole)
        }
    }
}

/// Bytes that differ from piece to piece.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        let raw = UnsafeMutableRawBufferPointer(buffer)
        var position = 0
        while position + 8 <= count {
            raw.storeBytes(of: generator.next(), toByteOffset: position, as: UInt64.self)
            position += 8
        }
        while position < count {
            raw.storeBytes(of: UInt8(truncatingIfNeeded: generator.next()), toByteOffset: position, as: UInt8.self)
            position += 1
        }
        initialized = count
    }
}
