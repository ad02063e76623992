package import Primitives

/// Everything that a peer keeps of its link to one other.
package struct ProbedLink: Sendable {
    /// An echo on its way.
    struct PendingEcho: Sendable {
        var token: UInt32
        var sentAt: Instant
        /// Whether a person waits for the answer.
        var isPing: Bool
    }

    /// Round trip and jitter.
    package internal(set) var roundTrip = RoundTripFilter()
    /// Loss of echoes.
    package internal(set) var loss = LossEstimator()
    /// From the peer to here.
    package internal(set) var receiveBandwidth = Bandwidth.zero
    /// From here to the peer.
    package internal(set) var sendBandwidth = Bandwidth.zero
    /// Rates at which a token bucket lets the first packets through; `nil` where there is none. The figures above are the
    /// sustained rates behind it.
    package internal(set) var receiveBurst: Bandwidth?
    package internal(set) var sendBurst: Bandwidth?
    package internal(set) var confidence = LinkReport.Confidence.roundTripOnly
    /// What other traffic left free when somebody asked last, and when that was.
    package internal(set) var sendAvailable: Bandwidth?
    package internal(set) var receiveAvailable: Bandwidth?
    package internal(set) var availableAt: Instant?
    /// Whether the peer claims to receive more than it can, by this end's clock.
    package internal(set) var isContradicted = false
    /// Trains behind the bandwidth.
    package internal(set) var trains = 0
    /// When bandwidth was last measured.
    package internal(set) var measuredAt: Instant?

    let since: Instant
    var pending: [PendingEcho] = []
    var nextEcho: Instant?
    /// When the link is looked at next.
    var echoDue: Instant?
    /// Echoes still to be sent close together, and how close.
    var echoesLeft: Int
    var closeInterval: Duration
    var failures = 0
    var notBefore: Instant
    var isRequested = false
    /// Whether what is requested is the available bandwidth.
    var wantsAvailable = false
    /// The claim of the peer that it has to prove at present.
    var doubt: Doubt?
    /// What the peer was last proven to receive, or not to exceed, and when.
    var proof: (rate: Bandwidth, at: Instant)?
    /// Whether its last trains were shorter than the rate asks for.
    var wantsLongTrains = false
    /// What real streams to the peer tell of the rate, and when they last bore it out.
    package internal(set) var passive = PassiveMonitor()
    package internal(set) var confirmedAt: Instant?
    /// Sessions in a row that were to make a coarse figure fine, in vain.
    var refinements = 0
    /// Sessions in a row whose trains disagreed to the end.
    var unsettled = 0

    init(since: Instant, echoes: Int, interval: Duration) {
        self.since = since
        notBefore = since
        echoesLeft = echoes
        closeInterval = interval
    }

    /// The link as it is published; `nil` before the first round trip.
    package func report(of peer: PeerID) -> LinkReport? {
        guard let minimum = roundTrip.minimum else { return nil }
        return LinkReport(
            peer: peer, minimumRoundTrip: minimum, jitter: roundTrip.jitter, loss: loss.fraction,
            receiveBandwidth: receiveBandwidth, sendBandwidth: sendBandwidth, confidence: confidence,
            samples: UInt8(min(trains, 255)))
    }
}
