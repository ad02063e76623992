package import Primitives
package import Wire

/// A summary of a set of (peer, hash) pairs that two peers compare from coarse to fine: one root, 64 buckets, items.
///
/// The digests are sums of item hashes, so that one change costs one addition. That is enough against accidents; a peer
/// that crafts colliding hashes of its own items only hides its own changes, since an item's hash is SHA-256 over data
/// that its owner signs.
package struct DigestTable: Sendable {
    /// Buckets, by the top six bits of the identity.
    package static let bucketCount = 64

    private var buckets = [UInt64](repeating: 0, count: bucketCount)

    /// Sum over all items.
    package private(set) var root: UInt64 = 0

    package init() {}

    /// The bucket of a peer.
    package static func bucket(of prefix: UInt64) -> Int { Int(prefix >> 58) }

    /// The prefixes of the buckets in a mask, in ascending order.
    package static func prefixes(in mask: UInt64) -> [ClosedRange<UInt64>] {
        (0..<UInt64(bucketCount)).filter { mask & (1 << $0) != 0 }
            .map { ($0 << 58)...($0 << 58 | (1 << 58 - 1)) }
    }

    /// Replaces the hash of one peer's item; a hash of zero stands for "no item".
    package mutating func replace(_ peer: PeerID, old: UInt64, new: UInt64) {
        let bucket = Self.bucket(of: peer.prefix)
        buckets[bucket] = buckets[bucket] &- old &+ new
        root = root &- old &+ new
    }

    /// What to send to a peer whose root differs.
    package var digests: BucketDigests {
        BucketDigests(buckets: buckets.map { UInt32(truncatingIfNeeded: $0 ^ ($0 >> 32)) })
    }

    /// A mask with a bit for every bucket in which the other side differs.
    package func differing(from other: BucketDigests) -> UInt64 {
        let mine = digests.buckets
        var mask: UInt64 = 0
        for bucket in 0..<Self.bucketCount where mine[bucket] != other.buckets[bucket] { mask |= 1 << UInt64(bucket) }
        return mask
    }
}

/// The 64 bucket digests of a `DigestTable`.
package struct BucketDigests: Hashable, WireCodable {
    package let buckets: [UInt32]

    package init(buckets: [UInt32]) {
        precondition(buckets.count == DigestTable.bucketCount, "one digest a bucket")
        self.buckets = buckets
    }

    package func encode(to writer: inout WireWriter) {
        for bucket in buckets { writer.write(bucket) }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        guard reader.remaining >= DigestTable.bucketCount * 4 else { throw .truncated }
        var buckets: [UInt32] = []
        buckets.reserveCapacity(DigestTable.bucketCount)
        for _ in 0..<DigestTable.bucketCount { buckets.append(try reader.read()) }
        self.buckets = buckets
    }
}

/// The items of some buckets: everything that the sender has between two prefixes in the buckets of the mask.
package struct ItemDigests: Hashable, WireCodable {
    /// Items in one message: it and a header fit in a datagram.
    package static let maximumCount = 90

    /// One item: the peer's prefix and 32 bits of its hash.
    package struct Item: Hashable, Sendable {
        package let prefix: UInt64
        package let hash: UInt32

        package init(prefix: UInt64, hash: UInt32) {
            self.prefix = prefix
            self.hash = hash
        }
    }

    /// The buckets that are covered.
    package let mask: UInt64
    /// The first and last prefix that are covered, so that a long list may be cut into pages.
    package let range: ClosedRange<UInt64>
    /// Sorted by prefix; at most `maximumCount`.
    package let items: [Item]

    package init(mask: UInt64, range: ClosedRange<UInt64>, items: [Item]) {
        self.mask = mask
        self.range = range
        self.items = items
    }

    /// Whether a prefix is one that this message speaks about.
    package func covers(_ prefix: UInt64) -> Bool {
        range.contains(prefix) && mask & (1 << UInt64(DigestTable.bucket(of: prefix))) != 0
    }

    /// The hash stated for a prefix, if any.
    package func hash(of prefix: UInt64) -> UInt32? {
        var low = 0
        var high = items.count
        while low < high {
            let middle = (low + high) / 2
            if items[middle].prefix < prefix { low = middle + 1 } else { high = middle }
        }
        return low < items.count && items[low].prefix == prefix ? items[low].hash : nil
    }

    /// Cuts a sorted list into messages that together cover every prefix of the mask's buckets.
    package static func pages(mask: UInt64, items: [Item]) -> [ItemDigests] {
        var pages: [ItemDigests] = []
        var start = 0
        var lower: UInt64 = 0
        repeat {
            let end = min(start + maximumCount, items.count)
            let upper = end == items.count ? UInt64.max : items[end - 1].prefix
            pages.append(ItemDigests(mask: mask, range: lower...upper, items: Array(items[start..<end])))
            start = end
            if end < items.count { lower = upper &+ 1 }
        } while start < items.count
        return pages
    }

    package func encode(to writer: inout WireWriter) {
        writer.write(mask)
        writer.write(range.lowerBound)
        writer.write(range.upperBound)
        writer.writeVarint(UInt64(items.count))
        for item in items {
            writer.write(item.prefix)
            writer.write(item.hash)
        }
    }

    package init(from reader: inout WireReader) throws(WireError) {
        mask = try reader.read()
        let lower: UInt64 = try reader.read()
        let upper: UInt64 = try reader.read()
        guard lower <= upper else { throw .outOfRange }
        range = lower...upper
        let count = try reader.readCount(maximum: Self.maximumCount)
        guard count * 12 <= reader.remaining else { throw .truncated }
        var items: [Item] = []
        items.reserveCapacity(count)
        for _ in 0..<count {
            let item = Item(prefix: try reader.read(), hash: try reader.read())
            if let last = items.last, last.prefix >= item.prefix { throw .notCanonical }
            items.append(item)
        }
        self.items = items
    }
}
