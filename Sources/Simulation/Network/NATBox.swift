import Primitives

/// An address translator between one peer and the network (RFC 4787 and RFC 5382 for the behaviours, RFC 3489 for the names).
///
/// A mapping is made by an outgoing packet and lives while packets go out. Peers outside are named by their number and the
/// port at which they are seen; a peer without a translator is seen at port 0.
package struct NATBox: Sendable {
    /// What the translator lets in.
    package enum Kind: String, Hashable, Sendable, CaseIterable, Codable {
        /// Anybody, once the peer has sent anything.
        case fullCone
        /// Those to whom the peer has sent.
        case restricted
        /// Those to whom the peer has sent, from the port to which it has sent.
        case portRestricted
        /// As `portRestricted`, and every receiver sees another port of the peer.
        case symmetric
    }

    /// How long a mapping lives without a packet going out (RFC 4787 asks for two minutes at least; home routers have less).
    static let lifetime = Duration.seconds(60)
    /// The port at which a cone shows its peer.
    static let conePort: UInt32 = 1

    let kind: Kind
    // When the peer last sent to somebody, by number, and by number and port. Only looked up, never iterated.
    private var lastToPeer: [Int: Instant] = [:]
    private var lastToPort: [UInt64: Instant] = [:]
    private var lastSent: Instant?

    init(kind: Kind) { self.kind = kind }

    /// The port at which a receiver sees this peer.
    func port(seenBy receiver: Int) -> UInt32 { kind == .symmetric ? Self.symmetricPort(receiver) : Self.conePort }

    /// The port that the peer tells everybody: the one that its bootstrap peer sees.
    var announcedPort: UInt32 { port(seenBy: 0) }

    private static func symmetricPort(_ receiver: Int) -> UInt32 { UInt32(2 + receiver) }

    /// Lets a packet out: the port that it seems to come from.
    mutating func send(to receiver: Int, port: UInt32, at now: Instant) -> UInt32 {
        lastSent = now
        lastToPeer[receiver] = now
        lastToPort[Self.key(receiver, port)] = now
        return self.port(seenBy: receiver)
    }

    /// Whether a packet from somebody, seen at a port, to a port of this box gets in.
    func admits(from sender: Int, port: UInt32, to ownPort: UInt32, at now: Instant) -> Bool {
        func isAlive(_ last: Instant?) -> Bool { last.map { now - $0 <= Self.lifetime } ?? false }
        guard ownPort == self.port(seenBy: sender) else { return false }
        switch kind {
        case .fullCone: return isAlive(lastSent)
        case .restricted: return isAlive(lastToPeer[sender])
        case .portRestricted, .symmetric: return isAlive(lastToPort[Self.key(sender, port)])
        }
    }

    private static func key(_ peer: Int, _ port: UInt32) -> UInt64 { UInt64(peer) << 32 | UInt64(port) }
}
