internal import Primitives

/// Decides when this peer is under load, and how many handshakes one source may then cost it.
///
/// A handshake costs about half a millisecond of Diffie-Hellman and signatures; below the threshold all are served, above
/// it only those that show a cookie, and of one source only a few.
struct HandshakeGate {
    private let perSecond: Int
    private let perSource: Double
    private let burst: Double
    private var windowStart: Instant?
    private var inWindow = 0
    private var loadedUntil: Instant?
    private var sources: [Source: Bucket] = [:]

    /// Sources remembered under load; the table starts afresh when it is full.
    private static let sourceLimit = 4096

    /// The part of an address that one party is likely to own: an IPv4 address or an IPv6 /64.
    private struct Source: Hashable {
        let prefix: [UInt8]

        init(_ address: NetworkAddress) {
            prefix = address.isIPv4 ? address.addressBytes : Array(address.addressBytes.prefix(8))
        }
    }

    private struct Bucket {
        var tokens: Double
        var filled: Instant
    }

    /// `perSecond` handshakes in all before the load rules apply; then `perSource` a second and source after a `burst`.
    init(perSecond: Int, perSource: Int, burst: Int) {
        self.perSecond = perSecond
        self.perSource = Double(perSource)
        self.burst = Double(burst)
    }

    /// Counts a well-formed initiation and tells whether the load rules apply to it.
    mutating func countInitiation(at now: Instant) -> Bool {
        if windowStart.map({ now - $0 >= .seconds(1) }) ?? true {
            windowStart = now
            inWindow = 0
        }
        inWindow += 1
        if inWindow > perSecond { loadedUntil = now + .seconds(1) }
        return loadedUntil.map { now < $0 } ?? false
    }

    /// Takes one token of the source; `false` if it has none left.
    mutating func admit(_ address: NetworkAddress, at now: Instant) -> Bool {
        let source = Source(address)
        if sources.count >= Self.sourceLimit, sources[source] == nil { sources.removeAll(keepingCapacity: true) }
        var bucket = sources[source] ?? Bucket(tokens: burst, filled: now)
        bucket.tokens = min(burst, bucket.tokens + (now - bucket.filled).seconds * perSource)
        bucket.filled = now
        defer { sources[source] = bucket }
        guard bucket.tokens >= 1 else { return false }
        bucket.tokens -= 1
        return true
    }
}
