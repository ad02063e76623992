package import Primitives

/// The order in which the addresses of a peer are tried (the idea of Happy Eyeballs, RFC 8305: families take turns, IPv6
/// begins, and attempts start a quarter of a second apart, so that a dead address costs little and a live one no handshake
/// twice). Only addresses that the peer signed, or from which it was heard, are ever tried.
package struct CandidateAddresses {
    /// Pause between two addresses (RFC 8305, section 5: "Connection Attempt Delay", recommended 250 ms).
    package static let stagger: Duration = .milliseconds(250)
    /// Addresses in one attempt: they share an initiation of 240 bytes.
    static let batchSize = 4

    /// Every address, in the order in which they are tried.
    package var all: [NetworkAddress] { ordered }

    private let ordered: [NetworkAddress]

    /// `lastGood` is where the peer was last heard; it comes first whatever its family.
    package init(_ addresses: [NetworkAddress], lastGood: NetworkAddress?, sendsIPv6: Bool) {
        var ordered: [NetworkAddress] = []
        if let lastGood { ordered.append(lastGood) }
        let (six, four) = (sendsIPv6 ? addresses.filter { !$0.isIPv4 } : [], addresses.filter(\.isIPv4))
        for place in 0..<max(six.count, four.count) {
            for family in [six, four] where place < family.count && !ordered.contains(family[place]) {
                ordered.append(family[place])
            }
        }
        self.ordered = ordered
    }

    /// The addresses of one attempt, counted from 0; later attempts go on where the one before ended.
    func batch(_ attempt: Int) -> [NetworkAddress] {
        guard ordered.count > Self.batchSize else { return ordered }
        return (0..<Self.batchSize).map { ordered[(attempt * Self.batchSize + $0) % ordered.count] }
    }
}
