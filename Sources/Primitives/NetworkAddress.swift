/// An IPv4 or IPv6 address with a port, as 18 bytes; IPv4 is held in its IPv6-mapped form (RFC 4291, 2.5.5.2).
package struct NetworkAddress: Hashable, Comparable, Sendable {
    private var high: UInt64
    private var low: UInt64

    /// UDP and TCP port.
    package var port: UInt16

    /// Reads the 16 address bytes in network order; `nil` if there are more or fewer.
    package init?(addressBytes: some Collection<UInt8>, port: UInt16) {
        guard addressBytes.count == 16 else { return nil }
        high = addressBytes.prefix(8).reduce(0) { ($0 << 8) | UInt64($1) }
        low = addressBytes.suffix(8).reduce(0) { ($0 << 8) | UInt64($1) }
        self.port = port
    }

    /// The 16 address bytes as two numbers in network order.
    package init(high: UInt64, low: UInt64, port: UInt16) {
        self.high = high
        self.low = low
        self.port = port
    }

    /// The 16 address bytes as two numbers in network order.
    package var addressWords: (high: UInt64, low: UInt64) { (high, low) }

    /// An IPv4 address.
    package init(ipv4 octets: (UInt8, UInt8, UInt8, UInt8), port: UInt16) {
        high = 0
        let value = [octets.0, octets.1, octets.2, octets.3].reduce(UInt64(0)) { ($0 << 8) | UInt64($1) }
        low = 0xFFFF_0000_0000 | value
        self.port = port
    }

    /// The 16 address bytes in network order.
    package var addressBytes: [UInt8] {
        func bytes(_ word: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - $0 * 8)) } }
        return bytes(high) + bytes(low)
    }

    /// Whether this is an IPv4 address.
    package var isIPv4: Bool { high == 0 && low >> 32 == 0xFFFF }

    /// Whether the address means "every interface" rather than one that can be reached.
    package var isUnspecified: Bool { (high == 0 && low == 0) || (isIPv4 && low & 0xFFFF_FFFF == 0) }

    /// Whether packets to it stay on this machine.
    package var isLoopback: Bool { isIPv4 ? (low >> 24) & 0xFF == 127 : high == 0 && low == 1 }

    /// Whether the address is never routed over the internet (RFC 1918, RFC 4193, link-local).
    package var isPrivate: Bool {
        guard isIPv4 else { return high >> 57 == 0x7E || high >> 54 == 0x3FA }
        switch ((low >> 24) & 0xFF, (low >> 16) & 0xFF) {
        case (10, _), (192, 168), (169, 254): return true
        case (172, let second): return (16...31).contains(second)
        default: return false
        }
    }

    /// The same address with another port.
    package func withPort(_ port: UInt16) -> NetworkAddress {
        var copy = self
        copy.port = port
        return copy
    }

    package static func < (left: NetworkAddress, right: NetworkAddress) -> Bool {
        (left.high, left.low, left.port) < (right.high, right.low, right.port)
    }
}

extension NetworkAddress: CustomStringConvertible {
    /// "192.0.2.1:7600" or "[2001:db8::1]:7600" (RFC 5952).
    package var description: String { isIPv4 ? "\(host):\(port)" : "[\(host)]:\(port)" }

    /// The address without the port.
    package var host: String {
        let bytes = addressBytes
        if isIPv4 { return bytes[12...].map { String($0) }.joined(separator: ".") }
        let groups: [UInt16] = (0..<8).map { UInt16(bytes[2 * $0]) << 8 | UInt16(bytes[2 * $0 + 1]) }
        var longest = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(longest.count, 1) { longest = start..<end }
            start = max(end, start + 1)
        }
        func text(_ range: Range<Int>) -> String {
            range.map { String(groups[$0], radix: 16) }.joined(separator: ":")
        }
        return longest.isEmpty ? text(0..<8) : "\(text(0..<longest.lowerBound))::\(text(longest.upperBound..<8))"
    }

    /// Parses what `description` prints; `nil` for host names and anything else.
    package init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.first == "[" {
            guard host.last == "]" else { return nil }
            host = host.dropFirst().dropLast()
            guard let bytes = Self.parseIPv6(host) else { return nil }
            self.init(addressBytes: bytes, port: port)
        } else {
            guard let octets = Self.parseIPv4(host) else { return nil }
            self.init(ipv4: (octets[0], octets[1], octets[2], octets[3]), port: port)
        }
    }

    private static func parseIPv4(_ text: some StringProtocol) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let octets = parts.compactMap { part in
            part.utf8.allSatisfy { (0x30...0x39).contains($0) } && part.utf8.count <= 3 ? UInt8(part) : nil
        }
        return parts.count == 4 && octets.count == 4 ? octets : nil
    }

    private static func parseIPv6(_ text: some StringProtocol) -> [UInt8]? {
        func groups(_ part: some StringProtocol) -> [UInt16]? {
            if part.isEmpty { return [] }
            let pieces = part.split(separator: ":", omittingEmptySubsequences: false)
            var result: [UInt16] = []
            for (index, piece) in pieces.enumerated() {
                if index == pieces.count - 1, let octets = parseIPv4(piece) {
                    result.append(UInt16(octets[0]) << 8 | UInt16(octets[1]))
                    result.append(UInt16(octets[2]) << 8 | UInt16(octets[3]))
                } else {
                    guard (1...4).contains(piece.utf8.count), let group = UInt16(piece, radix: 16) else { return nil }
                    result.append(group)
                }
            }
            return result
        }
        let all: [UInt16]
        let utf8 = Array(text.utf8)
        if let gap = utf8.indices.dropLast().first(where: { utf8[$0] == 0x3A && utf8[$0 + 1] == 0x3A }) {
            let left = String(decoding: utf8[..<gap], as: UTF8.self)
            let right = String(decoding: utf8[(gap + 2)...], as: UTF8.self)
            guard let head = groups(left), let tail = groups(right), head.count + tail.count < 8 else { return nil }
            all = head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
        } else {
            guard let whole = groups(text), whole.count == 8 else { return nil }
            all = whole
        }
        return all.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
    }
}
