/// The timers and bounds of a session table. Defaults are WireGuard's (whitepaper, section 6.1) unless said otherwise.
package struct SessionConfiguration: Sendable {
    /// Age at which the initiator renews keys when it sends: an hour, as IPsec and OpenVPN have it (strongSwan's `rekey_time`
    /// of a child SA, OpenVPN's `reneg-sec`). A peer of a large swarm speaks to each of the others once in minutes; WireGuard's
    /// two minutes would make a handshake of nearly every ping.
    package var rekeyAfter: Duration = .seconds(3600)
    /// Age at which a session is no longer used in either direction (WireGuard: half as old again).
    package var rejectAfter: Duration = .seconds(5400)
    /// An initiator that only listens renews so long before the session ends.
    package var listenerMargin: Duration = .seconds(60)
    /// A session younger than this is not renewed because an answer is missing: its handshake was the answer.
    package var minimumRenewalAge: Duration = .seconds(1)
    /// Datagrams under one key before it is renewed.
    package var rekeyAfterMessages: UInt64 = 1 << 60
    /// Pause before a lost initiation is sent again; doubles with each attempt up to `maximumRetry`. WireGuard waits five
    /// seconds at once; half a second lets peers that start together find each other.
    package var firstRetry: Duration = .milliseconds(500)
    package var maximumRetry: Duration = .seconds(5)
    /// After this time without an answer the queued payloads are given up (WireGuard: 90 s; membership knows much
    /// earlier that a peer is gone).
    package var giveUpAfter: Duration = .seconds(20)
    /// Payloads that wait for a session, for each peer.
    package var queuedPayloads = 64
    /// Peers in the table. Peers that someone learnt or that have a session are never pushed out.
    package var maximumPeers = 4096
    /// Shortest time between two initiations of one peer that are answered (WireGuard's flood protection).
    package var minimumInitiationInterval: Duration = .milliseconds(20)
    /// Initiations a second above which a cookie is demanded; a handshake costs about half a millisecond.
    package var handshakesPerSecondBeforeLoad = 400
    /// Initiations a second and source that are served under load, after a burst (WireGuard for Linux: 20 and 5; more
    /// here because a whole swarm may sit behind one address).
    package var handshakesPerSecondAndSourceUnderLoad = 50
    package var handshakeBurst = 20
    /// Refusals a second and source, after a burst (a guess: a newcomer knocks once a second, and as many newcomers as a
    /// household or a laboratory has may wait behind one address).
    package var refusalsPerSecondAndSource = 20
    package var refusalBurst = 20

    package init() {}
}

/// Why a payload could not be sent.
package enum SessionFailure: Error, Hashable, Sendable {
    /// No contact was ever learnt for this peer.
    case unknownPeer
    /// The contact has no address and the peer never wrote.
    case noAddress
    /// No answer within `giveUpAfter`.
    case noAnswer
    /// The peer answered that the swarm's founder has not admitted this one.
    case notAdmitted
    /// Its X25519 key is of small order.
    case weakKey
    /// The payload is longer than a datagram holds.
    case tooLarge
}

extension SessionFailure: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unknownPeer: "no contact is known for this peer; learn one before sending"
        case .noAddress: "the peer has no known address; wait until it writes or its record is renewed"
        case .noAnswer: "the peer did not answer the handshake; check that it runs and that its address is right"
        case .notAdmitted: "the swarm is closed and its founder has not admitted this peer: ask the founder to"
        case .weakKey: "the peer's X25519 key is not usable; its contact is forged or broken"
        case .tooLarge: "the payload does not fit in one datagram; cut it or send it over a stream"
        }
    }
}

/// Why a datagram or payload was dropped in silence.
package enum SessionDrop: Int, CaseIterable, Sendable {
    /// Unknown type or version, wrong length, or reserved bits set.
    case malformed
    /// `mac1` does not fit: a stranger.
    case stranger
    /// An initiation that is not newer than the last one of this peer.
    case replayedInitiation
    /// A handshake message that does not authenticate.
    case handshakeNotAuthentic
    /// The X25519 key is not signed by the identity that it claims, or is our own.
    case identityMismatch
    /// Too many initiations of a source under load, or of a peer at any time.
    case rateLimited
    /// An initiation answered by a cookie under load.
    case cookieDemanded
    /// A receiver index that no session has.
    case unknownSession
    /// A counter seen before, or too old to know.
    case replayed
    /// A transport datagram or cookie that does not authenticate.
    case notAuthentic
    /// A session beyond its age.
    case expired
    /// A queued payload pushed out by newer ones or given up.
    case queueOverflow
    /// A handshake or contact of a peer that the closed swarm does not admit.
    case notAdmitted
    /// No room for another peer.
    case tableFull
}

/// What a session table did so far.
package struct SessionCounters: Sendable {
    package var datagramsReceived: UInt64 = 0
    package var datagramsSent: UInt64 = 0
    package var bytesReceived: UInt64 = 0
    package var bytesSent: UInt64 = 0
    package var handshakesBegun: UInt64 = 0
    package var handshakesCompleted: UInt64 = 0
    /// Initiations that were refused because a newer one of this identity had been seen.
    package var handshakesOutdated: UInt64 = 0
    /// Challenges to addresses to which peers seemed to move, and how many of the addresses were not proven.
    package var pathsChallenged: UInt64 = 0
    package var pathsRefused: UInt64 = 0
    /// Measurements of several addresses of a peer, and how many of them led to another address.
    package var pathsSurveyed: UInt64 = 0
    package var pathsChosen: UInt64 = 0
    private var drops = [UInt64](repeating: 0, count: SessionDrop.allCases.count)

    package init() {}

    package subscript(drop: SessionDrop) -> UInt64 { drops[drop.rawValue] }

    mutating func count(_ drop: SessionDrop, by amount: Int = 1) { drops[drop.rawValue] += UInt64(amount) }
}
