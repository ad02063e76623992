package import Primitives
import Wire

/// The sub-core that measures links: round trip, jitter and loss by echoes, bandwidth by packet trains, one session at a
/// time, and publishes what it found with restraint.
///
/// The shell must hand over packets with the instant at which they were read, and must send the packets of a train (one
/// `send` effect each, in order) back to back.
package struct Probing: ProtocolCore {
    /// Times and sizes. Defaults without a source are guesses that have been tried in the simulator.
    package struct Configuration: Sendable {
        /// Echoes at first contact, and their spacing.
        package var firstEchoes = 5
        package var firstEchoInterval: Duration = .milliseconds(100)
        /// Echoes ahead of a measurement that somebody asked for, and their spacing: the least of a few round trips is some tenths
        /// of a millisecond too long where processes are woken up.
        package var askedEchoes = 10
        package var askedEchoInterval: Duration = .milliseconds(10)
        /// Bandwidth waits so long after first contact, because trains would spoil the first round trips and hold up those
        /// who are still joining ...
        package var firstSessionDelay: Duration = .seconds(2)
        /// ... and until no newcomer has come for so long, unless the first one has been here for `longestUnrest`. Each peer
        /// draws a further wait of up to `firstSessionSpread`, so that not all begin at once.
        package var calm: Duration = .milliseconds(1500)
        package var longestUnrest: Duration = .seconds(8)
        package var firstSessionSpread: Duration = .seconds(1)
        /// Spacing of later echoes, give or take a quarter.
        package var echoInterval: Duration = .seconds(30)
        /// An echo without an answer for so long is lost.
        package var echoTimeout: Duration = .seconds(3)
        /// Whether links are measured at all, and whether their bandwidth is.
        package var measuresLinks = true
        package var measuresBandwidth = true
        /// A bandwidth figure older than this is measured again.
        package var bandwidthAge: Duration = .seconds(570)
        /// A figure that the budget kept coarse is made fine no earlier than after this, and after twice as long each time that it
        /// stays coarse.
        package var refinement: Duration = .seconds(15)
        /// In a large swarm the first choice of near partners is made after so long, later ones every `bandwidthAge`:
        /// membership's probes have told some round trips by then.
        package var firstNeighbours: Duration = .seconds(10)
        /// The share of repeated measurements that are followed by an attested one without any suspicion, and after how long
        /// what a peer has proven is forgotten.
        package var attestedShare = 0.125
        package var proofAge: Duration = .seconds(3600)
        /// Least pause between two sessions granted to the same peer, so that nobody can keep us sending.
        package var grantInterval: Duration = .seconds(1)
        /// What trains may cost.
        package var budget = ProbeBudget.Policy()
        /// A link measured within this time is not measured again because another peer asks for it.
        package var askInterval: Duration = .seconds(30)
        /// Links that wait to be measured at others' wish; asked for more, the peer does nothing.
        package var maximumAsked = 16
        package var session = TrainSession.Policy()
        package var passive = PassiveMonitor.Policy()
        package var publication = LinkPublisher.Policy()

        package init() {}
    }

    package enum Input: Sendable {
        case start
        case timer
        /// The echoes that the last input sent leave only now.
        case left
        /// A probing message that an authenticated peer sent, and how long after its arrival it is handled.
        case receive(ProbingMessage, from: PeerID, held: Duration = .zero)
        /// Another member is alive (again), or has left or died, which makes so many other live ones.
        case memberUp(PeerID, others: Int)
        case memberDown(PeerID, others: Int)
        /// All other live members, sorted: the answer to `needMembers`.
        case members([PeerID])
        /// The live member that was looked for.
        case found(PeerID)
        /// Membership saw a probe answered after this time, or not answered.
        case roundTrip(PeerID, Duration)
        case probeLost(PeerID)
        /// Someone wants the bandwidth to this peer measured now.
        case measure(PeerID)
        /// Someone wants to know now what other traffic leaves free to and from this peer.
        case measureAvailable(PeerID)
        /// Someone wants two other peers to measure the link between them; the first is asked.
        case ask(PeerID, target: PeerID)
        /// Real streams carried this to a peer.
        case delivered(PeerID, DeliverySample)
        /// Someone wants a single round trip to this peer.
        case ping(PeerID)
        /// Whether another member shares this peer's access link.
        case sibling(PeerID, Bool)
    }

    package enum Effect: Hashable, Sendable {
        /// Messages for one datagram.
        case send([ProbingMessage], to: PeerID)
        /// A new value of the entry `links` with this index.
        case publishLinks(page: UInt8, value: [UInt8])
        /// The live members are to be given (`Input.members`), for partners to be chosen among them. They are not kept: a member
        /// of a large swarm has a list of them in its membership.
        case needMembers
        /// The live member with this prefix is to be given, if there is one (`Input.found`).
        case find(prefix: UInt64)
        case event(Event)
    }

    package enum Event: Hashable, Sendable {
        /// A bandwidth session ended and the link's figures are these.
        case measured(PeerID, LinkReport)
        /// What other traffic leaves free; `nil` where nothing came through.
        case available(PeerID, send: Bandwidth?, receive: Bandwidth?)
        /// A requested measurement failed, for example because the peer never granted it.
        case measurementFailed(PeerID)
        /// The answer to `ping`.
        case pong(PeerID, Duration)
        /// No answer to `ping`.
        case pingLost(PeerID)
    }

    let configuration: Configuration
    let local: PeerID
    var generator: SeededGenerator

    /// Live members but this one.
    var memberCount = 0
    var links: [PeerID: ProbedLink] = [:]
    var linkOrder: [PeerID] = []  // keys of `links`, sorted, because a dictionary has no order
    var partners: [PeerID] = []  // in the order in which they are tried
    var nearest: [(peer: PeerID, roundTrip: Duration)] = []
    var neighbours: [PeerID] = []  // the nearest that were chosen as partners
    var neighboursDeadline: Instant?

    var session: TrainSession?
    /// A reservation by a peer that came while this one's own was on its way: answered when that is decided.
    var held: Reservation?
    /// Peers whose reservations were answered busy, in order; they are asked when this peer is free. At most
    /// `maximumWaiting`.
    var waiting: [PeerID] = []
    static let maximumWaiting = 16
    var lastGranted: (peer: PeerID, at: Instant)?
    /// Whom the last input sent an echo.
    var freshEchoes: [PeerID] = []
    var budget: ProbeBudget
    var site = Site()
    /// No first session before this: others are still joining. `nil` before the first member.
    var calmAt: Instant?
    var unrestEnds: Instant?
    let spread: Duration
    let tokenSecret: Digest
    /// Sessions so far.
    var serial: UInt64 = 0
    var typicalSession: Duration = .milliseconds(100)
    var publisher: LinkPublisher

    /// When which link's next echo is due, or its oldest one given up. An item that is not its link's `echoDue` is stale.
    var echoDeadlines = DeadlineQueue<(peer: PeerID, at: Instant)>()
    var scheduleDeadline: Instant?
    var selectionDeadline: Instant?
    var publicationDeadline: Instant?

    /// - Parameters:
    ///   - seed: Chooses the tokens of echoes, session numbers and the jitter of times.
    ///   - tokenSecret: Known to this peer alone; the tokens of trains come from it.
    package init(
        configuration: Configuration = Configuration(), local: PeerID, seed: UInt64, tokenSecret: Digest
    ) {
        self.tokenSecret = tokenSecret
        self.configuration = configuration
        self.local = local
        generator = SeededGenerator(seed: seed)
        spread = configuration.firstSessionSpread * generator.unit()
        budget = ProbeBudget(policy: configuration.budget)
        publisher = LinkPublisher(policy: configuration.publication)
    }

    package var nextDeadline: Instant? {
        var earliest = session?.deadline
        func consider(_ instant: Instant?) {
            if let instant { earliest = earliest.map { min($0, instant) } ?? instant }
        }
        consider(echoDeadlines.first)
        consider(scheduleDeadline)
        consider(selectionDeadline)
        consider(publicationDeadline)
        return earliest
    }

    /// The present figures of a link, finer than the published ones; `nil` if nothing is known.
    package func link(to peer: PeerID) -> ProbedLink? { links[peer] }

    /// Whether every partner's bandwidth is measured and published. Not before the nearest partners are chosen.
    package var isComplete: Bool {
        if memberCount >= PartnerSelection.allPairsMembers, neighbours.isEmpty { return false }
        return partners.allSatisfy { publisher.published($0.prefix).map { $0.confidence > .roundTripOnly } ?? false }
    }

    /// Whether the last input sent echoes.
    package var hasFreshEchoes: Bool { !freshEchoes.isEmpty }

    /// Whether other members are known to share this peer's access link.
    package var hasSiblings: Bool { !site.isEmpty }

    /// The peers whose links are measured, sorted.
    package var measuredPeers: [PeerID] { linkOrder }

    package mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        let earlier = freshEchoes
        freshEchoes.removeAll(keepingCapacity: true)
        switch input {
        case .left: noteDeparture(of: earlier, at: now)
        case .start: publicationDeadline = now + .seconds(1)
        case .timer: timer(at: now, &effects)
        case .receive(let message, let peer, let held): receive(message, from: peer, held: held, at: now, &effects)
        case .memberUp(let peer, let others): memberUp(peer, others: others, at: now, &effects)
        case .memberDown(let peer, let others): memberDown(peer, others: others, at: now, &effects)
        case .members(let members): selectPartners(among: members, at: now)
        case .found(let peer): measureAsked(peer, at: now, &effects)
        case .roundTrip(let peer, let duration): record(duration, of: peer, at: now)
        case .probeLost(let peer): links[peer]?.loss.record(lost: true)
        case .measure(let peer): measure(peer, available: false, at: now, &effects)
        case .measureAvailable(let peer): measure(peer, available: true, at: now, &effects)
        case .ask(let peer, let target): effects.append(.send([.ask(target: target.prefix)], to: peer))
        case .delivered(let peer, let sample): record(sample, to: peer, at: now, &effects)
        case .ping(let peer): sendEcho(to: peer, isPing: true, at: now, &effects)
        case .sibling(let peer, let isOne): site.set(peer, isSibling: isOne, at: now)
        }
        tellSite(&effects)
    }

    private mutating func timer(at now: Instant, _ effects: inout [Effect]) {
        if let deadline = selectionDeadline, now >= deadline {
            selectionDeadline = nil
            effects.append(.needMembers)
        }
        if let current = session, now >= current.deadline { withSession(at: now, &effects) { $0.timer(at: now) } }
        sendDueEchoes(at: now, &effects)
        if let deadline = scheduleDeadline, now >= deadline { schedule(at: now, &effects) }
        if let deadline = publicationDeadline, now >= deadline { publish(at: now, &effects) }
    }

    private mutating func receive(
        _ message: ProbingMessage, from peer: PeerID, held: Duration, at now: Instant, _ effects: inout [Effect]
    ) {
        switch message {
        case .echo(let token): effects.append(.send([.echoReply(token: token, held: max(held, .zero))], to: peer))
        case .echoReply(let token, let held): receiveEchoReply(token, held: held, from: peer, at: now, &effects)
        case .reserve(let identifier, let purpose, let allowance):
            let reservation = Reservation(
                peer: peer, identifier: identifier, purpose: purpose, allowance: Int(allowance), at: now)
            receive(reservation, at: now, &effects)
        case .grant(let identifier, let allowance):
            guard isCurrent(identifier, peer), let session else {
                // Given up meanwhile; without a word the other end would wait for trains.
                return effects.append(.send([.finish(session: identifier)], to: peer))
            }
            // A grant comes at once, so it is a round trip for nothing.
            if !session.isGranted { links[peer]?.roundTrip.record(now - session.startedAt, at: now) }
            withSession(at: now, &effects) { $0.granted(allowance: Int(allowance), at: now) }
            decideHeld(at: now, &effects)
        case .busy(let identifier, let milliseconds):
            guard isCurrent(identifier, peer), session?.isGranted == false else { return }
            session = nil
            let wait = Double(max(1, milliseconds)) * (1 + generator.unit())
            links[peer]?.notBefore = now + .nanoseconds(Int64(wait * 1e6))
            decideHeld(at: now, &effects)
            schedule(at: now, &effects)
        case .train(let packet):
            if isCurrent(packet.session, peer) { withSession(at: now, &effects) { $0.receive(packet, at: now) } }
        case .report(let report): if isCurrent(report.session, peer) { session?.receive(report, at: now) }
        case .finish(let identifier):
            if isCurrent(identifier, peer) { withSession(at: now, &effects) { $0.finish() } }
        case .ask(let target): if configuration.measuresBandwidth { effects.append(.find(prefix: target)) }
        case .site(let claim): receiveClaim(claim, from: peer, at: now, &effects)
        }
    }
}
