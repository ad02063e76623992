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
        /// Bandwidth waits so long after first contact, because trains would spoil the first round trips.
        package var firstSessionDelay: Duration = .milliseconds(350)
        /// Spacing of later echoes, give or take a quarter.
        package var echoInterval: Duration = .seconds(30)
        /// An echo without an answer for so long is lost.
        package var echoTimeout: Duration = .seconds(3)
        /// Whether bandwidth is measured at all.
        package var measuresBandwidth = true
        /// A bandwidth figure older than this is measured again.
        package var bandwidthAge: Duration = .seconds(600)
        /// In a large swarm the first choice of near partners is made after so long, later ones every `bandwidthAge`:
        /// membership's probes have told some round trips by then.
        package var firstNeighbours: Duration = .seconds(15)
        /// Least pause between two sessions granted to the same peer, so that nobody can keep us sending.
        package var grantInterval: Duration = .seconds(1)
        package var session = TrainSession.Policy()
        package var publication = LinkPublisher.Policy()

        package init() {}
    }

    package enum Input: Sendable {
        case start
        case timer
        /// A probing message that an authenticated peer sent.
        case receive(ProbingMessage, from: PeerID)
        /// A member is alive (again); `memberDown` when it has left or died.
        case memberUp(PeerID)
        case memberDown(PeerID)
        /// Membership saw a probe answered after this time, or not answered.
        case roundTrip(PeerID, Duration)
        case probeLost(PeerID)
        /// Someone wants the bandwidth to this peer measured now.
        case measure(PeerID)
        /// Someone wants a single round trip to this peer.
        case ping(PeerID)
    }

    package enum Effect: Hashable, Sendable {
        /// Messages for one datagram.
        case send([ProbingMessage], to: PeerID)
        /// A new value of the entry `links` with this index.
        case publishLinks(page: UInt8, value: [UInt8])
        case event(Event)
    }

    package enum Event: Hashable, Sendable {
        /// A bandwidth session ended and the link's figures are these.
        case measured(PeerID, LinkReport)
        /// A requested measurement failed, for example because the peer never granted it.
        case measurementFailed(PeerID)
        /// The answer to `ping`.
        case pong(PeerID, Duration)
        /// No answer to `ping`.
        case pingLost(PeerID)
    }

    private let configuration: Configuration
    private let local: PeerID
    private var generator: SeededGenerator

    private var members: [PeerID] = []  // sorted, without the local peer
    private var links: [PeerID: ProbedLink] = [:]
    private var linkOrder: [PeerID] = []  // keys of `links`, sorted, because a dictionary has no order
    private var partners: [PeerID] = []  // in the order in which they are tried
    private var nearest: [(peer: PeerID, roundTrip: Duration)] = []
    private var neighbours: [PeerID] = []  // the nearest that were chosen as partners
    private var neighboursDeadline: Instant?

    private var session: TrainSession?
    private var lastGranted: (peer: PeerID, at: Instant)?
    private var typicalSession: Duration = .milliseconds(100)
    private var publisher: LinkPublisher

    /// When which link's next echo is due, or its oldest one given up. An item that is not its link's `echoDue` is stale.
    private var echoDeadlines = DeadlineQueue<(peer: PeerID, at: Instant)>()
    private var scheduleDeadline: Instant?
    private var selectionDeadline: Instant?
    private var publicationDeadline: Instant?

    /// - Parameter seed: Chooses tokens, session numbers and the jitter of times.
    package init(configuration: Configuration = Configuration(), local: PeerID, seed: UInt64) {
        self.configuration = configuration
        self.local = local
        generator = SeededGenerator(seed: seed)
        publisher = LinkPublisher(policy: configuration.publication)
    }

    package var nextDeadline: Instant? {
        var earliest = session?.deadline
        for deadline in [echoDeadlines.first, scheduleDeadline, selectionDeadline, publicationDeadline] {
            if let deadline { earliest = earliest.map { min($0, deadline) } ?? deadline }
        }
        return earliest
    }

    /// The present figures of a link, finer than the published ones; `nil` if nothing is known.
    package func link(to peer: PeerID) -> ProbedLink? { links[peer] }

    /// The peers whose links are measured, sorted.
    package var measuredPeers: [PeerID] { linkOrder }

    package mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        switch input {
        case .start: publicationDeadline = now + .seconds(1)
        case .timer: timer(at: now, &effects)
        case .receive(let message, let peer): receive(message, from: peer, at: now, &effects)
        case .memberUp(let peer): memberUp(peer, at: now)
        case .memberDown(let peer): memberDown(peer, at: now)
        case .roundTrip(let peer, let duration): record(duration, of: peer, at: now)
        case .probeLost(let peer): links[peer]?.loss.record(lost: true)
        case .measure(let peer): measure(peer, at: now, &effects)
        case .ping(let peer): sendEcho(to: peer, isPing: true, at: now, &effects)
        }
    }

    private mutating func timer(at now: Instant, _ effects: inout [Effect]) {
        if let deadline = selectionDeadline, now >= deadline { selectPartners(at: now) }
        if let current = session, now >= current.deadline { withSession(at: now, &effects) { $0.timer(at: now) } }
        sendDueEchoes(at: now, &effects)
        if let deadline = scheduleDeadline, now >= deadline { schedule(at: now, &effects) }
        if let deadline = publicationDeadline, now >= deadline { publish(at: now, &effects) }
    }

    private mutating func receive(
        _ message: ProbingMessage, from peer: PeerID, at now: Instant, _ effects: inout [Effect]
    ) {
        switch message {
        case .echo(let token): effects.append(.send([.echoReply(token: token)], to: peer))
        case .echoReply(let token): receiveEchoReply(token, from: peer, at: now, &effects)
        case .reserve(let identifier): receiveReserve(identifier, from: peer, at: now, &effects)
        case .grant(let identifier):
            guard isCurrent(identifier, peer), let session else { return }
            // A grant comes at once, so it is a round trip for nothing.
            if !session.isGranted { links[peer]?.roundTrip.record(now - session.startedAt, at: now) }
            withSession(at: now, &effects) { $0.granted(at: now) }
        case .busy(let identifier, let milliseconds):
            guard isCurrent(identifier, peer), session?.isGranted == false else { return }
            session = nil
            let wait = Double(max(1, milliseconds)) * (1 + generator.unit())
            links[peer]?.notBefore = now + .nanoseconds(Int64(wait * 1e6))
            schedule(at: now, &effects)
        case .train(let packet):
            if isCurrent(packet.session, peer) { withSession(at: now, &effects) { $0.receive(packet, at: now) } }
        case .report(let report): if isCurrent(report.session, peer) { session?.receive(report) }
        case .finish(let identifier):
            if isCurrent(identifier, peer) { withSession(at: now, &effects) { $0.finish() } }
        }
    }
}

// MARK: - Members

extension Probing {
    private mutating func memberUp(_ peer: PeerID, at now: Instant) {
        guard peer != local, let place = Self.place(of: peer, in: members, present: false) else { return }
        members.insert(peer, at: place)
        membershipChanged(at: now)
    }

    private mutating func memberDown(_ peer: PeerID, at now: Instant) {
        guard let place = Self.place(of: peer, in: members, present: true) else { return }
        members.remove(at: place)
        removeLink(to: peer)
        nearest.removeAll { $0.peer == peer }
        neighbours.removeAll { $0 == peer }
        if session?.peer == peer {
            session = nil
            scheduleDeadline = now
        }
        membershipChanged(at: now)
    }

    /// In a small swarm everyone is a partner at once; in a large one the choice is costly and waits for others.
    private mutating func membershipChanged(at now: Instant) {
        if members.count < PartnerSelection.allPairsMembers {
            selectPartners(at: now)
        } else if selectionDeadline.map({ $0 > now + .milliseconds(500) }) ?? true {
            selectionDeadline = now + .milliseconds(500)
        }
    }

    private mutating func selectPartners(at now: Instant) {
        chooseNeighbours(at: now)
        partners = PartnerSelection.partners(of: local, among: members, nearest: neighbours)
        for peer in partners { addLink(to: peer, at: now) }
        for peer in linkOrder where !partners.contains(peer) {
            guard let link = links[peer], link.measuredAt == nil, !link.isRequested, session?.peer != peer else {
                continue
            }
            removeLink(to: peer)
        }
        selectionDeadline = members.count < PartnerSelection.allPairsMembers ? nil : neighboursDeadline
    }

    /// Takes the nearest members known so far, which become known only with time, and keeps them for long, because every
    /// new partner is news for the whole swarm.
    private mutating func chooseNeighbours(at now: Instant) {
        guard members.count >= PartnerSelection.allPairsMembers else { return }
        guard let deadline = neighboursDeadline else {
            neighboursDeadline = now + configuration.firstNeighbours
            return
        }
        guard now >= deadline else { return }
        neighboursDeadline = now + configuration.bandwidthAge
        neighbours = nearest.map(\.peer)
    }

    /// Begins to measure a link, with its first echo at a slightly random time.
    private mutating func addLink(to peer: PeerID, at now: Instant) {
        guard let place = Self.place(of: peer, in: linkOrder, present: false) else { return }
        linkOrder.insert(peer, at: place)
        var link = ProbedLink(since: now, echoes: configuration.firstEchoes)
        link.nextEcho = now + configuration.firstEchoInterval * generator.unit()
        links[peer] = link
        noteEchoDeadline(of: peer)
    }

    private mutating func removeLink(to peer: PeerID) {
        guard let place = Self.place(of: peer, in: linkOrder, present: true) else { return }
        linkOrder.remove(at: place)
        links[peer] = nil
    }

    /// Where a peer is in a sorted list, or where it belongs; `nil` if it is there (or not) against expectation.
    private static func place(of peer: PeerID, in sorted: [PeerID], present: Bool) -> Int? {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < peer { low = middle + 1 } else { high = middle }
        }
        return (low < sorted.count && sorted[low] == peer) == present ? low : nil
    }
}

// MARK: - Echoes

extension Probing {
    private mutating func record(_ sample: Duration, of peer: PeerID, at now: Instant) {
        let isFirst = links[peer]?.roundTrip.samples == 0
        links[peer]?.roundTrip.record(sample, at: now)
        links[peer]?.loss.record(lost: false)
        if isFirst { scheduleDeadline = now }
        guard members.count >= PartnerSelection.allPairsMembers else { return }
        if let known = nearest.firstIndex(where: { $0.peer == peer }) {
            nearest[known].roundTrip = min(nearest[known].roundTrip, sample)
        } else {
            nearest.append((peer, sample))
        }
        nearest.sort { ($0.roundTrip, $0.peer) < ($1.roundTrip, $1.peer) }
        if nearest.count > 16 { nearest.removeLast() }
    }

    private mutating func receiveEchoReply(
        _ token: UInt32, from peer: PeerID, at now: Instant, _ effects: inout [Effect]
    ) {
        guard let place = links[peer]?.pending.firstIndex(where: { $0.token == token }),
            let echo = links[peer]?.pending.remove(at: place)
        else { return }
        let sample = now - echo.sentAt
        record(sample, of: peer, at: now)
        if echo.isPing { effects.append(.event(.pong(peer, sample))) }
        if let deadline = scheduleDeadline, now >= deadline { schedule(at: now, &effects) }
    }

    private mutating func sendDueEchoes(at now: Instant, _ effects: inout [Effect]) {
        while let item = echoDeadlines.popDue(at: now) {
            let peer = item.peer
            guard links[peer]?.echoDue == item.at else { continue }
            links[peer]?.echoDue = nil
            expireEchoes(to: peer, at: now, &effects)
            if let due = links[peer]?.nextEcho, now >= due {
                sendEcho(to: peer, isPing: false, at: now, &effects)
                let left = (links[peer]?.echoesLeft ?? 1) - 1
                let pause =
                    left > 0
                    ? configuration.firstEchoInterval : configuration.echoInterval * (0.75 + generator.unit() / 2)
                links[peer]?.echoesLeft = max(0, left)
                links[peer]?.nextEcho = now + pause
            }
            noteEchoDeadline(of: peer)
        }
    }

    private mutating func sendEcho(to peer: PeerID, isPing: Bool, at now: Instant, _ effects: inout [Effect]) {
        guard peer != local else { return }
        if isPing { addLink(to: peer, at: now) }
        let token = UInt32(truncatingIfNeeded: generator.next())
        links[peer]?.pending.append(ProbedLink.PendingEcho(token: token, sentAt: now, isPing: isPing))
        effects.append(.send([.echo(token: token)], to: peer))
        noteEchoDeadline(of: peer)
    }

    private mutating func expireEchoes(to peer: PeerID, at now: Instant, _ effects: inout [Effect]) {
        while let oldest = links[peer]?.pending.first, now >= oldest.sentAt + configuration.echoTimeout {
            links[peer]?.pending.removeFirst()
            links[peer]?.loss.record(lost: true)
            if oldest.isPing { effects.append(.event(.pingLost(peer))) }
        }
    }

    /// Queues the earliest of a link's next echo and the end of the wait for its oldest one.
    private mutating func noteEchoDeadline(of peer: PeerID) {
        guard let link = links[peer] else { return }
        let expiry = link.pending.first.map { $0.sentAt + configuration.echoTimeout }
        guard let due = [link.nextEcho, expiry].compactMap({ $0 }).min() else { return }
        guard link.echoDue.map({ due < $0 }) ?? true else { return }
        links[peer]?.echoDue = due
        echoDeadlines.insert((peer, due), at: due)
    }
}

// MARK: - Bandwidth sessions

extension Probing {
    private func isCurrent(_ identifier: UInt32, _ peer: PeerID) -> Bool {
        session.map { $0.identifier == identifier && $0.peer == peer } ?? false
    }

    private mutating func withSession(
        at now: Instant, _ effects: inout [Effect], _ body: (inout TrainSession) -> [TrainSession.Action]
    ) {
        guard var current = session else { return }
        session = nil  // so that the session's arrays are not copied
        let actions = body(&current)
        session = current
        for action in actions {
            switch action {
            case .send(let messages): effects.append(.send(messages, to: current.peer))
            case .finished(let result): finishSession(result, at: now, &effects)
            }
        }
    }

    private mutating func finishSession(_ result: TrainSession.Result, at now: Instant, _ effects: inout [Effect]) {
        guard let done = session else { return }
        session = nil
        let peer = done.peer
        if result.receive != nil || result.send != nil {
            typicalSession = (typicalSession * 7 + (now - done.startedAt)) / 8
            if !done.isInitiator { lastGranted = (peer, now) }
            addLink(to: peer, at: now)
            links[peer]?.receiveBandwidth = result.receive ?? .zero
            links[peer]?.sendBandwidth = result.send ?? .zero
            links[peer]?.receiveBurst = result.receiveBurst
            links[peer]?.sendBurst = result.sendBurst
            links[peer]?.confidence = result.confidence
            links[peer]?.trains = result.trains
            links[peer]?.measuredAt = now
            links[peer]?.failures = 0
            links[peer]?.isRequested = false
            if let report = links[peer]?.report(of: peer) { effects.append(.event(.measured(peer, report))) }
        } else if done.isInitiator {
            fail(peer, at: now, &effects)
        }
        schedule(at: now, &effects)
        if !isMeasuring(at: now) { notePublication(at: now + .milliseconds(200)) }
    }

    /// A peer that does not answer is tried again after a pause that doubles from half a second to a minute.
    private mutating func fail(_ peer: PeerID, at now: Instant, _ effects: inout [Effect]) {
        guard let link = links[peer] else { return }
        let pause = Duration.milliseconds(500) * (1 << min(link.failures, 7))
        links[peer]?.failures += 1
        links[peer]?.notBefore = now + min(pause, .seconds(60)) * (0.75 + generator.unit() / 2)
        if link.isRequested, link.failures >= 2 {
            links[peer]?.isRequested = false
            effects.append(.event(.measurementFailed(peer)))
        }
    }

    private mutating func measure(_ peer: PeerID, at now: Instant, _ effects: inout [Effect]) {
        guard peer != local, configuration.measuresBandwidth else {
            return effects.append(.event(.measurementFailed(peer)))
        }
        addLink(to: peer, at: now)
        links[peer]?.isRequested = true
        links[peer]?.failures = 0
        links[peer]?.notBefore = now
        schedule(at: now, &effects)
    }

    private mutating func receiveReserve(
        _ identifier: UInt32, from peer: PeerID, at now: Instant, _ effects: inout [Effect]
    ) {
        if let current = session {
            let isSamePeer = current.peer == peer
            if isSamePeer, current.isInitiator, !current.isGranted, local < peer { return }  // they will grant ours
            // A second reservation by the same peer means that it has given up the first.
            guard isSamePeer, !(current.isInitiator && current.isGranted) else {
                let left = typicalSession - (now - current.startedAt)
                let wait = min(max(left.milliseconds, 5), 2_000)
                effects.append(.send([.busy(session: identifier, retryAfterMilliseconds: UInt16(wait))], to: peer))
                return
            }
        }
        if let link = links[peer], link.roundTrip.samples == 0, now < link.since + .seconds(1) {
            effects.append(.send([.busy(session: identifier, retryAfterMilliseconds: 100)], to: peer))
            return
        }
        guard configuration.measuresBandwidth, isAllowed(peer, at: now) else {
            let wait = UInt16(min(configuration.grantInterval.milliseconds, 60_000))
            effects.append(.send([.busy(session: identifier, retryAfterMilliseconds: wait)], to: peer))
            return
        }
        session = TrainSession(
            granting: identifier, to: peer, roundTrip: links[peer]?.roundTrip.minimum ?? .milliseconds(100),
            policy: configuration.session, at: now)
        effects.append(.send([.grant(session: identifier)], to: peer))
    }

    private func isAllowed(_ peer: PeerID, at now: Instant) -> Bool {
        guard let lastGranted, lastGranted.peer == peer else { return true }
        return now >= lastGranted.at + configuration.grantInterval
    }

    /// Starts the next session that is due, or notes when one will be.
    private mutating func schedule(at now: Instant, _ effects: inout [Effect]) {
        scheduleDeadline = nil
        guard configuration.measuresBandwidth, session == nil else { return }
        let requested = linkOrder.filter { links[$0]?.isRequested == true }
        for peer in requested + partners {
            guard let due = sessionDue(with: peer) else { continue }
            guard now >= due else {
                scheduleDeadline = scheduleDeadline.map { min($0, due) } ?? due
                continue
            }
            let identifier = UInt32(truncatingIfNeeded: generator.next())
            session = TrainSession(
                reserving: identifier, with: peer, roundTrip: links[peer]?.roundTrip.minimum ?? .milliseconds(100),
                policy: configuration.session, at: now)
            scheduleDeadline = nil
            effects.append(.send([.reserve(session: identifier)], to: peer))
            return
        }
    }

    /// When this end should begin a session. The peer with the lower identity does in a small swarm; the other one steps in
    /// late, in case the first cannot. In a large swarm whoever picked the other begins.
    private func sessionDue(with peer: PeerID) -> Instant? {
        guard let link = links[peer], link.roundTrip.samples > 0 || link.isRequested else { return nil }
        if link.isRequested { return link.notBefore }
        let isMine = local < peer || members.count >= PartnerSelection.allPairsMembers
        guard let measuredAt = link.measuredAt else {
            return max(link.notBefore, link.since + (isMine ? configuration.firstSessionDelay : .seconds(10)))
        }
        return max(link.notBefore, measuredAt + configuration.bandwidthAge * (isMine ? 1 : 1.2))
    }
}

// MARK: - Publication

extension Probing {
    /// Whether partners that can be expected to answer were never measured.
    private func isMeasuring(at now: Instant) -> Bool {
        // Partners that are still to be chosen are links to come, too.
        if members.count >= PartnerSelection.allPairsMembers, neighbours.isEmpty { return true }
        return partners.contains { peer in
            guard let link = links[peer], link.measuredAt == nil, link.failures < 3 else { return false }
            // Without bandwidth sessions the first echoes are all that there is to wait for.
            let wait = configuration.measuresBandwidth ? .seconds(20) : configuration.firstEchoInterval * 5
            return now < link.since + wait
        }
    }

    private mutating func notePublication(at deadline: Instant) {
        publicationDeadline = publicationDeadline.map { min($0, deadline) } ?? deadline
    }

    private mutating func publish(at now: Instant, _ effects: inout [Effect]) {
        let measuring = isMeasuring(at: now)
        let reports = linkOrder.compactMap { peer -> LinkReport? in
            guard let link = links[peer], link.measuredAt != nil || !measuring || now > link.since + .seconds(2) else {
                return nil
            }
            return link.report(of: peer)
        }
        for page in publisher.publish(reports, isMeasuring: measuring, members: members.count, at: now) {
            effects.append(.publishLinks(page: page.index, value: page.value.wireBytes))
        }
        publicationDeadline = publisher.nextCheck ?? now + .seconds(10)
    }
}
