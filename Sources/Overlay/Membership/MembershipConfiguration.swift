internal import Primitives

/// Times and numbers of the membership protocol. Every default says where it comes from.
package struct MembershipConfiguration: Hashable, Sendable {
    /// Between two probes by a healthy peer. memberlist's LAN profile has 1 s; half of that, because our quiet probe and its
    /// answer take 54 payload bytes each, so that 216 bytes/s buy a first failed probe half a second earlier.
    package var probeInterval: Duration = .milliseconds(500)
    /// Shortest wait for a direct answer. memberlist's LAN profile: 500 ms fixed; ours grows with the measured round trip.
    package var minimumProbeTimeout: Duration = .milliseconds(200)
    /// Shortest further wait for helpers and for the repeated ping: two direct waits, since a helper's answer takes two trips.
    package var minimumIndirectTimeout: Duration = .milliseconds(400)
    /// Wait for a peer that has never answered: its session may still have to be made (RFC 6298 starts with 1 s, too).
    package var initialProbeTimeout: Duration = .seconds(1)
    /// Helpers asked when a direct ping is not answered (memberlist and Lifeguard: 3).
    package var helpers = 3
    /// Share of an indirect probe's time after which a helper says that it has no answer (memberlist: 80 %).
    package var nackShare = 0.8

    /// The part of the shortest suspicion that covers a peer that does not run for a while: a guess, from pauses of up to
    /// 2 s on overloaded machines, of which the probe's own waiting covers the rest.
    package var suspicionBase: Duration = .milliseconds(950)
    /// The shortest suspicion of all: with the 600 ms that the probe waits before it, nowhere is a pause of two seconds a death.
    package var shortestSuspicion: Duration = .milliseconds(1500)
    /// The longest suspicion, in multiples of the shortest (memberlist's `SuspicionMaxTimeoutMult` is 6; 3 bounds the time
    /// that a death seen by a single peer takes to about 6 s).
    package var suspicionMaximumFactor = 3
    /// Watchers that ping a suspect at once to confirm or refute, on average. Three confirmations count; with eight on average
    /// fewer than three come in 1 of 70 cases, with three in 2 of 5, and each one that is missing costs half a second.
    package var secondOpinions = 8

    /// Between two rounds of spreading news (memberlist: 200 ms; half of that halves the time news takes at the same bytes).
    package var gossipInterval: Duration = .milliseconds(100)
    /// Peers told in a round (memberlist: 3).
    package var gossipFanOut = 3
    /// Datagrams of news that one of them gets at once, when many have come or gone together: up to 120 datagrams/s go out.
    package var gossipDatagrams = 4
    /// And in a flood: up to 240 datagrams/s, 2.3 Mbit/s, for the few seconds that it lasts.
    package var floodDatagrams = 8
    /// Each piece of news is sent this often, times ⌈log₁₀(N + 1)⌉ (memberlist's `RetransmitMult`: 4).
    package var retransmitFactor = 4
    /// More queued items than this are a flood, and each is then sent only so often. A round of spreading passes about 84
    /// items, so that a flood is what takes longer than one. Two sendings and comparing views bring a thousand newcomers to
    /// everybody as soon as three do, with a fifth less traffic.
    package var floodItems = 100
    package var floodRetransmits = 2

    /// First wait before a join is repeated; doubles up to `joinRetryMaximum`. Guesses.
    package var joinRetryMinimum: Duration = .milliseconds(400)
    package var joinRetryMaximum: Duration = .seconds(15)
    /// Pages of members sent at once to a newcomer: 8 datagrams, which no socket buffer or home uplink drops. Each further
    /// request asks for twice as many (slow start, as TCP opens its window), so that a long list takes few round trips.
    package var firstPages = 8
    /// Pages sent within `pageBurstInterval`, to all newcomers together: 12 Mbit/s. In a crowd each gets one at least, and
    /// asks others for the rest: a thousand newcomers would wait four seconds in the queue of a home uplink otherwise.
    package var pageBurst = 128
    package var pageBurstInterval: Duration = .milliseconds(100)
    /// Least time between two comparisons of views that this peer begins.
    package var viewSyncInterval: Duration = .seconds(1)

    /// Between two attempts to reach one of the dead (Serf's reconnect: 30 s; a ping is cheap, and it heals a partition).
    package var reconnectInterval: Duration = .seconds(2)
    /// How long a dead peer is remembered and tried (Serf: 24 h; a swarm of home machines changes faster).
    package var deadRetention: Duration = .seconds(600)
    /// How long a goodbye is remembered, so that an old record does not bring the peer back.
    package var leftRetention: Duration = .seconds(120)

    /// Least time between two times that a suspect which still speaks to this peer is told what it is accused of.
    package var accusationInterval: Duration = .seconds(1)
    /// Least time between two refutations that go to all neighbours at once.
    package var refutationInterval: Duration = .seconds(1)

    /// Least time between two reactions to foreign records of this identity; a guess that keeps two peers which share a key
    /// from filling the swarm with their quarrel.
    package var outbiddingInterval: Duration = .seconds(5)
    /// Time after the start in which a higher incarnation of this identity counts as a former life's: until then the
    /// views of everybody have met, and afterwards only a living twin can sign one.
    package var formerLifeWindow: Duration = .seconds(10)

    /// A wake-up later than this means that the process did not run; everybody then gets the lost time back.
    package var pauseTolerance: Duration = .milliseconds(250)

    package init() {}

    /// The shortest suspicion among `count` live peers while no round trips are known.
    package func minimumSuspicion(count: Int) -> Duration { TimerProfile(self).minimumSuspicion(count: count) }

    /// How often a piece of news is sent among `count` live peers.
    ///
    /// When much is queued, as when a thousand peers join at once, fewer: two sendings bring an item to 17 of 20 members
    /// (1 - e⁻²), and comparing views finds the rest for less than ten further ones would cost.
    package func retransmits(count: Int, queued: Int) -> Int {
        let usual = retransmitFactor * Logarithm.ceilingBase10(count + 1)
        return queued > floodItems ? min(usual, floodRetransmits) : usual
    }
}

/// The two logarithms that membership needs, from integers only.
enum Logarithm {
    /// log₂ of a count, linear between powers of two (at most 0.09 too small); 0 for counts below 2.
    static func base2(_ count: Int) -> Double {
        guard count > 1 else { return 0 }
        let value = Double(count)
        return Double(value.exponent) + value.significand - 1
    }

    /// ⌈log₁₀ count⌉, at least 1.
    static func ceilingBase10(_ count: Int) -> Int {
        var power = 10
        var result = 1
        while power < count {
            power *= 10
            result += 1
        }
        return result
    }
}
