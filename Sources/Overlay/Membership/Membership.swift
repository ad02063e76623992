package import Primitives
package import Wire

/// Who is in the swarm: SWIM with Lifeguard's extensions, over signed records.
///
/// The rules live in extensions: probing (`Membership+Probing`), statements about peers (`Membership+Statements`), joining
/// (`Membership+Joining`), comparing views (`Membership+Views`) and spreading news (`Membership+Dissemination`).
package struct Membership: ProtocolCore {
    package enum Input: Sendable {
        case start(known: [Contact])
        case discovered(Contact)
        case receive(MembershipMessage, from: PeerID)
        case timer
        case setAddresses([NetworkAddress])
        case sessionFailed(PeerID)
        case leave
        case ping(PeerID)
        /// Whom to take for a member from now on.
        case restrict(AdmissionPolicy)
        /// Take a peer out, whatever it says.
        case expel(PeerID)
    }

    package enum Effect: Sendable {
        /// Messages for one peer; news may be added to fill the datagram.
        case send([MembershipMessage], to: PeerID)
        /// Up to so many datagrams full of news for one peer.
        case spread(to: PeerID, datagrams: Int)
        case learn(Contact)
        case forget(PeerID)
        /// A probe was not answered; the peer may have restarted and lost its session.
        case renewSession(PeerID)
        /// A direct probe was answered after this time.
        case roundTrip(PeerID, Duration)
        /// A direct probe was not answered in time.
        case probeLost(PeerID)
        case event(OverlayEvent)
    }

    let configuration: MembershipConfiguration
    let signer: Signer
    let pool: (any StatementPool)?
    var generator: SeededGenerator

    /// This peer's own record; its incarnation grows when it refutes.
    package internal(set) var ownRecord: PeerRecord
    package internal(set) var counters = OverlayCounters()
    /// Whether a complete member list has arrived (or there was nobody to ask).
    package internal(set) var hasJoined = false

    var policy = AdmissionPolicy.open
    var others: PeerTable<Entry>
    /// Slots of live others, in no particular but a reproducible order: for drawing at random.
    var live: [PeerSlot] = []
    var view = DigestTable()
    package internal(set) var health = LocalHealth()
    /// The timers that follow from measured round trips.
    package internal(set) var profile: TimerProfile
    var nextProfile: Instant?
    /// Round trips to everybody, for those who were not measured yet.
    var typicalRoundTrip = RoundTripEstimator()
    var schedule = ProbeSchedule()
    var rings: WatchRings
    /// Peers that pinged this one of late, the last one last.
    var visitors: [PeerID] = []
    var news = BroadcastQueue<NewsSubject>()
    var hasLeft = false
    var isStarted = false
    /// While a member list is read, whose contents everybody else knows.
    var isReadingOldNews = false

    var nextSequence: UInt32
    var probes: [Probe] = []
    var relays: [Relay] = []
    var suspicions = DeadlineQueue<PeerID>()
    var retentions = DeadlineQueue<PeerID>()
    var joins: [JoinAttempt] = []
    var paging: Paging?
    /// Pages that may still be sent before an instant.
    var pageBurst = (end: Instant(nanoseconds: 0), left: 0)

    var nextProbe: Instant?
    var nextGossip: Instant?
    var lastGossip: Instant?
    var nextReconnect: Instant?
    var nextViewSync: Instant?
    var lastViewSync: Instant?
    var nextOutbidding: Instant?
    var nextRefutation: Instant?
    /// Records of former lives that were outbid since the start.
    var formerLives = 0

    /// A peer that is alone until it is started. The first incarnation is the wall clock in milliseconds, so that a peer
    /// which lost its memory still comes back with a higher one.
    package init(
        configuration: MembershipConfiguration = MembershipConfiguration(), contact: Contact, signer: Signer,
        incarnation: UInt64, seed: UInt64, pool: (any StatementPool)? = nil
    ) {
        self.configuration = configuration
        self.pool = pool
        profile = TimerProfile(configuration)
        self.signer = signer
        generator = SeededGenerator(seed: seed)
        others = PeerTable(seed: seed)
        nextSequence = UInt32(truncatingIfNeeded: generator.next())
        ownRecord = PeerRecord(contact: contact, incarnation: incarnation, signer: signer)
        rings = WatchRings(local: contact.peer)
        view.replace(contact.peer, old: 0, new: Self.viewHash(contact.peer, incarnation))
    }

    /// This peer.
    package var peer: PeerID { ownRecord.peer }

    /// Live peers, with this one.
    package var liveCount: Int { live.count + 1 }

    /// The digest of the live members and their incarnations; equal where views are equal.
    package var viewDigest: UInt64 { view.root }

    /// Everybody known, with this peer, sorted by identity. `since` of this peer is when it was last asked to start.
    package var members: [Member] {
        var result: [Member] = []
        result.reserveCapacity(others.count + 1)
        let own = Member(record: ownRecord, state: hasLeft ? .left : .alive, since: startedAt)
        let place = others.position(of: peer)
        for (position, slot) in others.order.enumerated() {
            if position == place { result.append(own) }
            result.append(member(at: slot))
        }
        if place == others.count { result.append(own) }
        return result
    }

    /// The identities of the live members but this one, sorted.
    var liveOthers: [PeerID] { others.order.filter { others[$0].state.isLive }.map { others.peer(at: $0) } }

    /// The live member, but this one, whose identity starts with these eight bytes.
    func liveOther(withPrefix prefix: UInt64) -> PeerID? {
        others.slot(withPrefix: prefix).flatMap { others[$0].state.isLive ? others.peer(at: $0) : nil }
    }

    var startedAt = Instant(nanoseconds: 0)

    /// What is believed of one other peer.
    package func member(_ peer: PeerID) -> Member? { others.slot(of: peer).map { member(at: $0) } }

    private func member(at slot: PeerSlot) -> Member {
        let entry = others[slot]
        return Member(
            record: entry.record, state: entry.state, since: entry.since, roundTrip: entry.roundTrip.smoothed)
    }

    package mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        guard !hasLeft else { return }
        if isStarted { makeUpForPause(at: now) }
        switch input {
        case .start(let known): start(known, at: now, into: &effects)
        case .discovered(let contact): discover(contact, at: now, into: &effects)
        case .receive(let message, let sender): receive(message, from: sender, at: now, into: &effects)
        // Only here: after a pause the refutation may be among the datagrams that wait to be read, of which this is the first.
        case .timer: if isStarted { expireSuspicions(at: now, into: &effects) }
        case .setAddresses(let addresses): setAddresses(addresses, at: now, into: &effects)
        case .sessionFailed(let peer): sessionFailed(peer, at: now)
        case .leave: leave(into: &effects)
        case .ping(let peer): pingOnDemand(peer, at: now, into: &effects)
        case .restrict(let policy):
            restrict(to: policy, into: &effects)
        case .expel(let peer): expel(peer, at: now, into: &effects)
        }
        if isStarted, !hasLeft { runTimers(at: now, into: &effects) }
    }

    private mutating func start(_ known: [Contact], at now: Instant, into effects: inout [Effect]) {
        guard !isStarted else {
            for contact in known { discover(contact, at: now, into: &effects) }
            return
        }
        isStarted = true
        startedAt = now
        nextProbe = now + configuration.probeInterval * generator.unit()
        for contact in known { discover(contact, at: now, into: &effects) }
        if joins.isEmpty { finishJoining(into: &effects) }
    }

    private mutating func receive(
        _ message: MembershipMessage, from sender: PeerID, at now: Instant, into effects: inout [Effect]
    ) {
        tellIfSuspect(sender, at: now, into: &effects)
        switch message {
        case .ping(let sequence, let digest):
            effects.append(.send([.ack(sequence: sequence, viewDigest: view.root)], to: sender))
            remindTwin(sender, at: now, into: &effects)
            noteVisit(of: sender)
            compareView(digest, with: sender, at: now, into: &effects)
        case .ack(let sequence, let digest):
            acknowledge(sequence, from: sender, at: now, into: &effects)
            compareView(digest, with: sender, at: now, into: &effects)
        case .pingRequest(let sequence, let target, let timeout):
            relay(sequence, target: target, timeout: .milliseconds(Int(timeout)), for: sender, at: now, into: &effects)
        case .relayedAck(let sequence): acknowledgeThroughHelper(sequence, from: sender, into: &effects)
        case .nack(let sequence): noteNack(sequence, from: sender)
        case .alive(let record): hear(record, from: sender, at: now, into: &effects)
        case .suspect(let accusation): suspect(accusation, from: sender, at: now, into: &effects)
        case .dead(let accusation): declareDead(accusation, from: sender, at: now, into: &effects)
        case .left(let farewell): bidFarewell(farewell, at: now, into: &effects)
        case .join(let record): admit(record, from: sender, at: now, into: &effects)
        case .stateRequest(let cursor, let pages):
            answerStateRequest(after: cursor, pages: pages, from: sender, at: now, into: &effects)
        case .statePage(let records, let cursor):
            takePage(records, through: cursor, from: sender, at: now, into: &effects)
        case .viewBuckets(let digests): answer(digests, from: sender, into: &effects)
        case .viewItems(let items): answer(items, from: sender, into: &effects)
        case .viewRequest(let prefixes): answer(prefixes, from: sender, into: &effects)
        }
    }

    private mutating func setAddresses(
        _ addresses: [NetworkAddress], at now: Instant, into effects: inout [Effect]
    ) {
        let addresses = Array(addresses.prefix(Limits.addressesPerRecord))
        guard addresses != ownRecord.contact.addresses else { return }
        var contact = ownRecord.contact
        contact.addresses = addresses
        renewOwnRecord(contact: contact, after: ownRecord.incarnation, at: now)
    }

    private mutating func runTimers(at now: Instant, into effects: inout [Effect]) {
        runProbes(at: now, into: &effects)
        runRelays(at: now, into: &effects)
        forgetTheDead(at: now, into: &effects)
        runJoins(at: now, into: &effects)
        runGossip(at: now, into: &effects)
    }

    package var nextDeadline: Instant? {
        guard isStarted, !hasLeft else { return nil }
        var earliest = nextProbe
        func consider(_ instant: Instant?) {
            guard let instant else { return }
            earliest = earliest.map { min($0, instant) } ?? instant
        }
        for probe in probes { consider(probe.deadline) }
        for relay in relays { consider(relay.deadline) }
        consider(suspicions.first)
        consider(retentions.first)
        for join in joins { consider(join.nextAttempt) }
        consider(paging?.deadline)
        consider(nextGossip)
        consider(nextReconnect)
        return earliest
    }

    /// If this process did not run at its deadline, then neither did it read the answers that have come since: nobody is
    /// blamed for the lost time.
    private mutating func makeUpForPause(at now: Instant) {
        guard let deadline = nextDeadline, now - deadline > configuration.pauseTolerance else { return }
        let pause = now - deadline
        health.change(by: 1)
        for index in probes.indices { probes[index].deadline = probes[index].deadline + pause }
        for slot in live where others[slot].suspicion != nil {
            others[slot].suspicion?.extend(by: pause)
            // The earlier deadline in the queue will find that it came too soon and be renewed.
        }
    }
}
