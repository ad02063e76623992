internal import Primitives

/// Where a peer's datagrams go.
///
/// An authentic datagram moves the peer to its source at once (WireGuard's roaming), but it proves only that somebody on
/// the path passed it on from there. So a new address first gets no more than three times what came from it, and a
/// challenge; an answer shows that the peer itself receives there (RFC 9000, 8.1 and 8.2). Without one the peer moves back.
struct PeerPath: Sendable {
    /// Bytes that may go to an unproven address for each that came from it (RFC 9000, 8.1).
    static let allowance = 3
    /// Addresses that stay proven, for peers that go back and forth between networks.
    static let memory = 4
    /// Pause before a challenge is sent again; doubles each time.
    static let firstPause: Duration = .milliseconds(250)
    /// Challenges to one address; the last goes unanswered 3.75 s after the first.
    static let attempts = 4

    /// After a choice of this end, datagrams that the peer sent from its former address before it knew do not move it back
    /// for so long (longer than any usable round trip).
    static let steadyTime: Duration = .seconds(1)

    /// What an arriving datagram meant for the path.
    enum Arrival: Hashable {
        case unchanged
        /// To an address at which the peer has been before.
        case moved
        /// To an address that has to be proven.
        case movedUnproven
    }

    /// What has come and gone at an address while it is not proven.
    private struct Trial {
        let token: [UInt8]
        var sends = 0
        var next: Instant
        var bytesIn: Int
        var bytesOut = 0
    }

    /// The source of the newest authentic datagram.
    private(set) var endpoint: NetworkAddress?
    private var proven: [NetworkAddress] = []  // the last one proven last
    private var trial: Trial?
    private var steadyUntil: Instant?

    /// When a challenge is to be repeated or has failed.
    var deadline: Instant? { trial?.next }

    /// Whether the peer has shown that it receives at its endpoint.
    var isProven: Bool { trial == nil }

    /// An authentic datagram came; only the newest moves the endpoint, so that a late one cannot move it back. `token` is
    /// fresh randomness, asked for if there is something to prove.
    mutating func arrive(
        from source: NetworkAddress, byteCount: Int, isNewest: Bool, at now: Instant, token: () -> [UInt8]
    ) -> Arrival {
        if source == endpoint {
            trial?.bytesIn += byteCount
            return .unchanged
        }
        guard isNewest else { return .unchanged }
        if let steadyUntil, now < steadyUntil, proven.contains(source) { return .unchanged }
        let isFirst = endpoint == nil
        endpoint = source
        trial = nil
        if proven.contains(source) { return isFirst ? .unchanged : .moved }
        trial = Trial(token: token(), next: now, bytesIn: byteCount)
        return .movedUnproven
    }

    /// The peer has answered what was sent to this address.
    mutating func prove(_ address: NetworkAddress) {
        proven.removeAll { $0 == address }
        if proven.count >= Self.memory { proven.removeFirst() }
        proven.append(address)
        if endpoint == address { trial = nil }
    }

    /// The peer has answered a handshake that was sent to this address, and is there.
    mutating func settle(at address: NetworkAddress) {
        endpoint = address
        prove(address)
    }

    /// Of several addresses at which the peer answers, this end wants this one.
    mutating func choose(_ address: NetworkAddress, at now: Instant) {
        settle(at: address)
        steadyUntil = now + Self.steadyTime
    }

    /// The token of a challenge has come back; whether it was the one that was sent.
    mutating func answer(_ token: [UInt8]) -> Bool {
        guard let trial, trial.token == token, let endpoint else { return false }
        prove(endpoint)
        return true
    }

    /// Takes room for a datagram to the endpoint; `false` if it has to wait for the proof.
    mutating func take(_ byteCount: Int) -> Bool {
        guard let bytes = trial else { return true }
        guard bytes.bytesOut + byteCount <= Self.allowance * bytes.bytesIn else { return false }
        trial?.bytesOut += byteCount
        return true
    }

    enum Next: Hashable {
        case nothing
        /// Send the token to the endpoint.
        case challenge([UInt8])
        /// Nobody answered there: the endpoint is again the one before, if there is one.
        case movedBack
    }

    /// What is due now.
    mutating func next(at now: Instant) -> Next {
        guard var trial, trial.next <= now else { return .nothing }
        guard trial.sends < Self.attempts else {
            self.trial = nil
            endpoint = proven.last
            return .movedBack
        }
        trial.next = now + Self.firstPause * (1 << trial.sends)
        trial.sends += 1
        self.trial = trial
        return .challenge(trial.token)
    }
}
