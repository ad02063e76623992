internal import Primitives

/// The timers of membership that depend on how far this peer's neighbours are: a pure function of measured round trips, so
/// that nobody has to say whether a swarm is on a LAN or all over the world (memberlist has a profile for each, by hand).
///
/// The time-out of each probe follows the round trip to its target anyway (`RoundTripEstimator`), above a floor that is for busy
/// machines and the same everywhere. What is decided here are the times in which others than the target take part: helpers,
/// and the peers that pass news on.
package struct TimerProfile: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Too few round trips are known; the timers are those of a swarm all over the world.
        case unmeasured
        /// Nearly everybody is near.
        case lan
        /// Nearly everybody is far.
        case wan
        /// Some are near and some are far.
        case mixed
    }

    /// The 10th, 50th and 90th percentile of the round trips to this peer's neighbours.
    package struct RoundTrips: Hashable, Sendable {
        package let near: Duration
        package let median: Duration
        package let far: Duration

        /// `nil` for fewer than `TimerProfile.minimumCount` values.
        init?(_ values: [Duration]) {
            guard values.count >= TimerProfile.minimumCount else { return nil }
            let sorted = values.sorted()
            near = sorted[(sorted.count - 1) / 10]
            median = sorted[sorted.count / 2]
            far = sorted[min(sorted.count - 1, sorted.count * 9 / 10)]
        }
    }

    /// Neighbours that have to be measured before anything is concluded from them.
    static let minimumCount = 3
    /// A round trip up to this is near: a house, a campus, a data centre (a guess; a town's DSL lines are at 10 to 20 ms).
    /// Whoever was near stays so up to half as much again, and whoever was far down to two thirds.
    static let nearRoundTrip: Duration = .milliseconds(8)
    /// How often the round trips are looked at again.
    static let interval: Duration = .seconds(10)

    package let kind: Kind
    package let roundTrips: RoundTrips?
    /// Shortest further wait for helpers.
    package let minimumIndirectTimeout: Duration
    /// Wait for a peer whose round trip is not known.
    package let initialProbeTimeout: Duration
    /// Between two rounds of spreading news.
    package let gossipInterval: Duration
    /// How long a piece of news takes from one peer to the next, its wait for a round included.
    package let newsHop: Duration
    /// The part of the shortest suspicion that covers a peer that does not run for a while.
    package let suspicionBase: Duration
    /// The shortest suspicion in the smallest swarm.
    package let shortestSuspicion: Duration

    /// The timers before anything is measured.
    init(_ configuration: MembershipConfiguration) { self.init(measured: [], configuration, before: .unmeasured) }

    /// - Parameter measured: The smoothed round trips to neighbours, in any order.
    /// - Parameter before: The kind so far, which stays near the borders.
    init(measured: [Duration], _ configuration: MembershipConfiguration, before: Kind) {
        roundTrips = RoundTrips(measured)
        kind = roundTrips.map { Self.kind($0, before: before) } ?? .unmeasured
        let far = roundTrips?.far ?? .zero
        let median = roundTrips?.median ?? .zero
        // The way to a helper and back, and the helper's to the target and back. One of the two is a typical one, for three
        // helpers are asked.
        minimumIndirectTimeout = max(configuration.minimumIndirectTimeout, median + far)
        // A handshake, the ping, and one of the two once more.
        initialProbeTimeout = max(configuration.initialProbeTimeout, far * 3)
        // On a LAN the wait for a round is nearly all of the time that news takes. (In a larger network a shorter one would make
        // peers send news to others who have it under way.) It costs the same bytes: each piece is sent so often and not more.
        gossipInterval = configuration.gossipInterval * (kind == .lan ? 0.5 : 1)
        // The configured suspicion was measured with one-way delays of up to 120 ms; what is beyond comes on top.
        newsHop = gossipInterval + max(.zero, far - Self.usualFar) / 2
        suspicionBase = configuration.suspicionBase
        shortestSuspicion = configuration.shortestSuspicion
    }

    /// The round trip between peers at opposite ends of the world over cables.
    private static let usualFar: Duration = .milliseconds(250)

    private static func kind(_ trips: RoundTrips, before: Kind) -> Kind {
        let (upper, lower) = (nearRoundTrip * 1.5, nearRoundTrip * (2.0 / 3))
        func isNear(_ trip: Duration, was near: Bool?) -> Bool {
            guard let near else { return trip <= nearRoundTrip }
            return trip <= (near ? upper : lower)
        }
        let isMeasured = before != .unmeasured
        guard isNear(trips.near, was: isMeasured ? before != .wan : nil) else { return .wan }
        return isNear(trips.far, was: isMeasured ? before == .lan : nil) ? .lan : .mixed
    }
}

extension TimerProfile {
    /// The shortest suspicion among `count` live peers: the base and two spreadings of news, one to tell the accused and one
    /// for its refutation. News multiplies by about four a round, so a spreading takes log₄ N rounds; the peers that hear
    /// last are those to which sendings were lost.
    package func minimumSuspicion(count: Int) -> Duration {
        max(shortestSuspicion, suspicionBase + newsHop * (Logarithm.base2(count) * Self.lossReserve))
    }

    /// How much longer news takes to the last peer where one sending in ten is lost. With 1 and with 1.4, one to three of 10,700
    /// pauses among 300 peers, in an hour, ended in some peers' declaring the paused one dead.
    private static let lossReserve = 1.7
}

extension Membership {
    /// Looks at the measured round trips again, if it is time.
    mutating func updateProfile(at now: Instant) {
        if let next = nextProfile, now < next { return }
        let measured = neighbours.compactMap { others.slot(of: $0).flatMap { others[$0].roundTrip.smoothed } }
        // The first neighbours are soon more: until then the profile follows each new one.
        if measured.count >= TimerProfile.minimumCount { nextProfile = now + TimerProfile.interval }
        profile = TimerProfile(measured: measured, configuration, before: profile.kind)
    }
}
