package import Primitives
import Wire

/// The hash tree of RFC 6962, section 2.1, over leaves of 16 KiB.
///
/// A leaf's hash is SHA-256(0x00 ‖ bytes) and a node's SHA-256(0x01 ‖ left ‖ right), so that neither can be passed off as
/// the other. A tree of n leaves splits at the largest power of two below n. A piece holds 64 leaves, a power of two:
/// hence the tree over the roots of all pieces has the same root as the tree over all leaves, and a piece is verified by
/// its root alone.
package enum MerkleTree {
    /// Leaves in a full piece.
    package static let leavesPerPiece = Limits.pieceBytes / Limits.leafBytes

    /// Hash of a leaf.
    package static func leaf(_ bytes: some Collection<UInt8>) -> Digest {
        var builder = DigestBuilder()
        builder.update(CollectionOfOne<UInt8>(0x00))
        builder.update(bytes)
        return builder.finish()
    }

    /// Hash of a node over its two children.
    package static func node(_ left: Digest, _ right: Digest) -> Digest {
        Digest.sha256([0x01] + left.bytes + right.bytes)
    }

    /// Root of the tree over hashes of leaves, or over roots of complete subtrees of one size.
    package static func root(_ hashes: some Sequence<Digest>) -> Digest {
        var accumulator = MerkleAccumulator()
        for hash in hashes { accumulator.append(hash) }
        return accumulator.root
    }

    /// Root of a piece: the tree over its leaves, of which only the last may be short.
    package static func root(ofPiece bytes: some RandomAccessCollection<UInt8>) -> Digest {
        var accumulator = MerkleAccumulator()
        var rest = bytes[bytes.startIndex...]
        while !rest.isEmpty {
            accumulator.append(leaf(rest.prefix(Limits.leafBytes)))
            rest = rest.dropFirst(Limits.leafBytes)
        }
        return accumulator.root
    }
}

/// Builds the tree from left to right, holding only the roots of its complete subtrees: one for each bit of the count.
package struct MerkleAccumulator {
    private var subtrees: [Digest] = []
    private var count: UInt64 = 0

    package init() {}

    /// Adds the next hash from the left.
    package mutating func append(_ hash: Digest) {
        var hash = hash
        // Each trailing one bit of the count is a complete subtree that the new hash completes to a pair.
        var carry = count
        while carry & 1 == 1, let left = subtrees.popLast() {
            hash = MerkleTree.node(left, hash)
            carry >>= 1
        }
        subtrees.append(hash)
        count += 1
    }

    /// The root over everything appended so far; of nothing, the hash of the empty string (RFC 6962, 2.1).
    package var root: Digest {
        guard var root = subtrees.last else { return Digest.sha256([]) }
        for left in subtrees.dropLast().reversed() { root = MerkleTree.node(left, root) }
        return root
    }
}
