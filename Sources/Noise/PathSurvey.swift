internal import Primitives

/// Measures the round trips to several addresses of one peer inside its session: a few challenges to each, side by side, so
/// that what slows down the whole machine for a moment slows down all of them.
struct PathSurvey {
    /// Challenges to each address. The least of three round trips is free of most jitter, and three are seldom all lost.
    static let probes = 3
    /// Pause between them.
    static let spacing: Duration = .milliseconds(100)
    /// How long the last answers may take.
    static let patience: Duration = .seconds(1)
    /// Addresses in one survey, the present one among them.
    static let maximumAddresses = 4
    /// Datagrams sent in a session before the first survey, between later ones, and the least time between two: a path has to
    /// be used before it is worth some 90 bytes an address and probe (guesses; the cost stays under a tenth of what is sent).
    static let firstUse = 8
    static let laterUse = 64
    static let interval: Duration = .seconds(60)

    private struct Probe {
        let token: [UInt8]
        let address: Int
        let sentAt: Instant
    }

    /// What to do now.
    enum Step: Hashable {
        case nothing
        /// Send each token to its address.
        case challenge([Challenge])
        /// No more answers are waited for.
        case done
    }

    struct Challenge: Hashable {
        let token: [UInt8]
        let address: NetworkAddress
    }

    private(set) var measured: [PathChoice.Measured]
    private var open: [Probe] = []
    private var roundsSent = 0
    /// When `next` has something to say.
    private(set) var deadline: Instant

    /// `addresses` in order of preference.
    init(_ addresses: [NetworkAddress], at now: Instant) {
        measured = addresses.prefix(Self.maximumAddresses).map { PathChoice.Measured(address: $0) }
        deadline = now
    }

    /// What is due; `token` is fresh randomness.
    mutating func next(at now: Instant, token: () -> [UInt8]) -> Step {
        guard deadline <= now else { return .nothing }
        guard roundsSent < Self.probes else { return .done }
        roundsSent += 1
        deadline = now + (roundsSent < Self.probes ? Self.spacing : Self.patience)
        let challenges = measured.map { Challenge(token: token(), address: $0.address) }
        for (index, challenge) in challenges.enumerated() {
            open.append(Probe(token: challenge.token, address: index, sentAt: now))
        }
        return .challenge(challenges)
    }

    /// A token has come back: whether it was one of this survey's. It counts only if it comes from where it was sent to, or
    /// the way back is another path (as in ICE, RFC 8445, 7.2.5.2.1).
    mutating func answer(_ token: [UInt8], from source: NetworkAddress, at now: Instant) -> Bool {
        guard let index = open.firstIndex(where: { $0.token == token }) else { return false }
        let probe = open.remove(at: index)
        if measured[probe.address].address == source {
            let trip = now - probe.sentAt
            measured[probe.address].roundTrip = min(measured[probe.address].roundTrip ?? trip, trip)
        }
        if open.isEmpty, roundsSent == Self.probes { deadline = now }
        return true
    }
}
