import Primitives

/// A claim of a peer that it has to prove, and how far it has.
struct Doubt: Sendable {
    /// What the peer says it receives.
    let claim: Bandwidth
    /// The most that this end's clock has borne out so far; zero if nothing was tried. It sizes the next train, too.
    var borneOut: Bandwidth
    /// Whether what was borne out at the beginning came from trains so long that it counts.
    let isBoundLong: Bool
    /// Whether the claim looked wrong; else it was picked at random, and is believed meanwhile.
    let isSuspicion: Bool
    let since: Instant
    var nextAttempt: Instant
    /// Attested sessions so far, those of them whose train left here about at its pace, and those that kept it all the time.
    var attempts = 0
    var decisive = 0
    var exact = 0
    /// Attested sessions before the claim is not believed.
    let maximumAttempts: Int

    /// Attempts, each after twice the pause before: half a minute, in which a busy machine is in time once.
    static let usualAttempts = 4

    /// Whether what was not borne out says something of the peer. A train that this machine sent up to 25 ms late counts, but a machine
    /// that is so late now and then is also later when it reads the report: a single such train says more of it than of the peer.
    var hasEvidence: Bool { exact > 0 || decisive > 1 }
}

/// What a peer may be believed to receive.
///
/// Its report is a claim; the tokens and this end's own clock bound it, well only if the trains were long. On a busy machine a
/// short train's report is often later than the train is long, so lateness never condemns a peer by itself: it makes a doubt,
/// which attested trains decide. Those run at the claimed rate, and of several attempts the best one counts, because a busy
/// machine is late only sometimes and a liar is at every time.
extension Probing {
    /// What the rate to a peer is after a session with the usual trains.
    mutating func believed(_ result: TrainSession.Result, of peer: PeerID, at now: Instant) -> Bandwidth {
        guard let claim = result.send, let bound = result.sendBound, let link = links[peer] else { return .zero }
        if let proof = link.proof, now < proof.at + configuration.proofAge, !isNear(link) {
            guard Self.exceeds(claim, proof.rate) else {
                links[peer]?.isContradicted = false
                links[peer]?.doubt = nil
                pickAtRandom(claim, of: peer, at: now)
                return claim
            }
            // Another chance with every measurement: the machine may have been busy, or the link has become faster.
            let attempts = link.isContradicted ? 1 : Doubt.usualAttempts
            doubt(claim, of: peer, borneOut: proof.rate, attempts: attempts, isSuspicion: link.isContradicted, at: now)
            if link.isContradicted { return proof.rate }
        } else {
            links[peer]?.isContradicted = false
            links[peer]?.proof = nil
        }
        if isSuspicious(claim, lateness: result.sendLateness ?? .zero, bound: bound, link) {
            let isLong = (result.sendBoundTime ?? .zero) >= Self.longEnough
            doubt(
                claim, of: peer, borneOut: min(bound, claim), isBoundLong: isLong, attempts: Doubt.usualAttempts,
                isSuspicion: true, at: now)
        } else if links[peer]?.proof == nil {
            links[peer]?.doubt = nil
            pickAtRandom(claim, of: peer, at: now)
        }
        return claim
    }

    private func isSuspicious(
        _ claim: Bandwidth, lateness: Duration, bound: Bandwidth, _ link: ProbedLink
    ) -> Bool {
        // Nobody can seem nearer than it is, and between processes of one busy machine lateness is usual and long trains cost
        // its processor time.
        guard !isNear(link) else { return false }
        // The trains of fast links are too short to say anything.
        if claim > configuration.session.routineRate { return true }
        return lateness >= Self.suspiciousLateness && Self.exceeds(claim, bound, Self.gross)
    }

    private mutating func pickAtRandom(_ claim: Bandwidth, of peer: PeerID, at now: Instant) {
        guard let link = links[peer], link.measuredAt != nil, !isNear(link),
            generator.unit() < configuration.attestedShare
        else { return }
        doubt(claim, of: peer, borneOut: .zero, attempts: Doubt.usualAttempts, isSuspicion: false, at: now)
    }

    private mutating func doubt(
        _ claim: Bandwidth, of peer: PeerID, borneOut: Bandwidth, isBoundLong: Bool = true, attempts: Int,
        isSuspicion: Bool,
        at now: Instant
    ) {
        let isNew = links[peer]?.doubt.map { isSuspicion && !$0.isSuspicion || Self.exceeds(claim, $0.claim) } ?? true
        guard isNew else { return }
        links[peer]?.doubt = Doubt(
            claim: claim, borneOut: borneOut, isBoundLong: isBoundLong, isSuspicion: isSuspicion, since: now,
            nextAttempt: now + configuration.grantInterval * (1 + generator.unit()), maximumAttempts: attempts)
    }

    /// First round trips on a busy machine are long, and let a link look far that is near: what was doubted then needs no proof any
    /// more, which would take trains of 10 MB between processes of one machine.
    mutating func dropDoubtsOfNearLinks(at now: Instant) {
        for peer in linkOrder {
            guard let link = links[peer], link.doubt != nil, isNear(link) else { continue }
            links[peer]?.doubt = nil
            notePublication(at: now + .milliseconds(200))
        }
    }

    /// Takes in an attested session: how much of the claim it bears out. It changes no other figure, because a long train from
    /// a busy machine measures that machine.
    mutating func decideDoubt(_ result: TrainSession.Result, of peer: PeerID, at now: Instant) {
        guard var doubt = links[peer]?.doubt else { return }
        doubt.attempts += 1
        if result.sendSlip <= configuration.session.attestedDuration / 4, let reading = result.send,
            let bound = result.sendBound, let lateness = result.sendLateness
        {
            let isInTime = lateness <= configuration.session.attestedDuration * LinkConsensus.toleratedDifference
            let isExact = result.sendSlip <= configuration.session.clump * 2
            let borneOut = isInTime ? reading : min(reading, bound)
            doubt.borneOut = doubt.decisive == 0 && !doubt.isBoundLong ? borneOut : max(doubt.borneOut, borneOut)
            doubt.decisive += 1
            if isExact { doubt.exact += 1 }
            // A reading in time that is less, but not by far, is what the peer honestly read: short trains are misread by so much.
            let isLess = Self.exceeds(doubt.claim, doubt.borneOut, isInTime ? Self.gross : Self.tolerated)
            if !isLess { return settle(doubt.claim, of: peer, isContradicted: false, at: now) }
            if isInTime && isExact { return settle(doubt.borneOut, of: peer, isContradicted: false, at: now) }
        }
        let pause = configuration.grantInterval * (1 << min(doubt.attempts, Self.longestPause))
        doubt.nextAttempt = now + pause * (1 + generator.unit())
        links[peer]?.doubt = doubt
        // What is less than a lie of twice as much is more likely a busy machine, and gets more time.
        let isGross = Self.exceeds(doubt.claim, doubt.borneOut, Self.gross) && doubt.hasEvidence
        guard doubt.attempts >= (isGross ? doubt.maximumAttempts : Doubt.usualAttempts * 3) else { return }
        links[peer]?.doubt = nil
        // If this end could not keep the pace, nothing is known against the peer.
        guard isGross || doubt.exact >= Doubt.usualAttempts, doubt.borneOut > .zero else { return }
        settle(doubt.borneOut, of: peer, isContradicted: true, at: now)
    }

    /// Takes in what this end itself read of an attested train. A train of so many milliseconds is not held up as a whole; so if it
    /// reads far less than a figure from short trains, those were. Other figures stay: the sender may have been busy.
    mutating func correct(_ reading: Bandwidth, from peer: PeerID) {
        guard let link = links[peer], Self.exceeds(link.receiveBandwidth, reading, Self.gross),
            link.wantsLongTrains || link.receiveBandwidth > configuration.session.routineRate
        else { return }
        links[peer]?.receiveBandwidth = reading
        links[peer]?.receiveBurst = nil
        links[peer]?.confidence = .coarse
        links[peer]?.wantsLongTrains = true
        links[peer]?.refinements = 0
    }

    private mutating func settle(_ rate: Bandwidth, of peer: PeerID, isContradicted: Bool, at now: Instant) {
        links[peer]?.isContradicted = isContradicted
        links[peer]?.sendBandwidth = rate
        links[peer]?.doubt = nil
        links[peer]?.proof = (rate, now)
    }

    /// What is published of a rate in doubt: nothing new before it is decided, if that does not take too long.
    func publishedRate(_ link: ProbedLink, at now: Instant) -> Bandwidth? {
        guard let doubt = link.doubt, doubt.isSuspicion else { return link.sendBandwidth }
        guard now >= doubt.since + Self.patience else { return nil }
        let isGross = doubt.hasEvidence && Self.exceeds(link.sendBandwidth, doubt.borneOut, Self.gross)
        return isGross ? doubt.borneOut : link.sendBandwidth
    }

    private static func exceeds(_ rate: Bandwidth, _ limit: Bandwidth, _ factor: Double = tolerated) -> Bool {
        rate.bytesPerSecond > factor * limit.bytesPerSecond
    }

    func isNear(_ link: ProbedLink) -> Bool { configuration.session.isNear(link.roundTrip.minimum) }

    /// Lateness that all trains of a session on a busy machine seldom have; a guess.
    private static let suspiciousLateness = Duration.milliseconds(20)
    private static let tolerated = 1 + LinkConsensus.toleratedDifference
    private static let gross = 2.0
    /// So long a train bounds a rate to a few percent.
    private static let longEnough = Duration.milliseconds(50)
    /// The pause before an attempt is at most this power of two times the first one: about a minute.
    private static let longestPause = 5
    /// Longer than the attempts take.
    private static let patience = Duration.seconds(45)
}
