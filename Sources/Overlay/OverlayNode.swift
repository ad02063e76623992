package import Primitives
package import Wire

/// One peer's overlay: membership, gossip and probing under one roof. It only routes (`OverlayNode+Routing`); every rule
/// lives in a sub-core.
package struct OverlayNode: ProtocolCore {
    package typealias Input = OverlayInput
    package typealias Effect = OverlayEffect

    /// The configurations of the sub-cores.
    package struct Configuration: Sendable {
        package var membership = MembershipConfiguration()
        package var gossip = GossipConfiguration()
        package var probing = Probing.Configuration()
        package var admission = Admission.Configuration.open
        package var addresses = Addresses.Configuration()

        package init() {}
    }

    var membership: Membership
    var gossip: Gossip
    var probing: Probing
    var admission: Admission
    var addresses: Addresses
    private var ownDrops = OverlayCounters()
    var outbox = Outbox()
    private var hasLeft = false
    /// When a peer was last named for what it sent.
    private var blamed: [PeerID: Instant] = [:]  // only looked up, never iterated

    /// A peer that is alone until it is started. `incarnation` is the wall clock in milliseconds at the start: it orders the
    /// lives of a peer that forgets everything in between. The seed decides every random choice. Nodes that share a process
    /// may share a pool.
    package init(
        configuration: Configuration = Configuration(), contact: Contact, signer: Signer, incarnation: UInt64,
        seed: UInt64, pool: (any StatementPool)? = nil
    ) {
        var generator = SeededGenerator(seed: seed)
        membership = Membership(
            configuration: configuration.membership, contact: contact, signer: signer, incarnation: incarnation,
            seed: generator.next(), pool: pool)
        gossip = Gossip(
            configuration: configuration.gossip, signer: signer, firstVersion: incarnation, seed: generator.next(),
            pool: pool)
        // A signature that nobody ever sees is a secret of this life of this peer.
        let secret = signer.sign((0..<8).map { UInt8(truncatingIfNeeded: incarnation >> (8 * $0)) }, "probe tokens 1")
        probing = Probing(
            configuration: configuration.probing, local: contact.peer, seed: generator.next(),
            tokenSecret: Digest.sha256(secret))
        admission = Admission(
            configuration: configuration.admission, signer: signer, firstVersion: incarnation, seed: generator.next())
        addresses = Addresses(configuration: configuration.addresses, local: contact.addresses)
    }

    /// This peer.
    package var peer: PeerID { membership.peer }

    /// This peer's newest record.
    package var record: PeerRecord { membership.ownRecord }

    /// How this peer's datagrams look from outside.
    package var natKind: NATKind { addresses.natKind }

    /// The timers of membership that follow from measured round trips.
    package var timerProfile: TimerProfile { membership.profile }

    /// How far this peer trusts its own judgement of others.
    package var localHealth: LocalHealth { membership.health }

    /// The addresses at which others see this peer and which are not of its own interfaces.
    package var observedAddresses: [NetworkAddress] { addresses.observed }

    /// Everybody known, with this peer, sorted by identity.
    package var members: [Member] { membership.members }

    /// What is believed of one other peer, without listing all.
    package func member(_ peer: PeerID) -> Member? { membership.member(peer) }

    /// Live peers, with this one.
    package var liveCount: Int { membership.liveCount }

    /// Whether a complete member list has arrived, or there was nobody to ask.
    package var hasJoined: Bool { membership.hasJoined }

    /// Live members and their entries, sorted, with their digest.
    package var snapshot: GraphSnapshot { gossip.store.snapshot }

    /// The snapshot's digest alone, which is cheaper.
    package var snapshotDigest: Digest { gossip.store.snapshotDigest }

    /// A sum over all entries of live members: different for different snapshots, as good as always.
    package var entryRoot: UInt64 { gossip.store.root }

    /// Who belongs to the swarm, by its founder's list.
    package var admissions: Admission { admission }

    /// The newest entry of a peer under a key, also of a peer that is not live but remembered.
    package func entry(of peer: PeerID, _ key: EntryKey) -> SignedEntry? { gossip.store.entry(of: peer, key) }

    /// The present figures of a link that this peer measures, finer than the published ones.
    package func link(to peer: PeerID) -> ProbedLink? { probing.link(to: peer) }

    /// Whether the last input made this peer send echoes, whose time begins when they leave.
    package var hasFreshEchoes: Bool { probing.hasFreshEchoes }

    /// Whether all partners are measured and the figures are published.
    package var isGraphComplete: Bool { probing.isComplete }

    /// What was dropped, by reason, since the start.
    package var counters: OverlayCounters {
        ownDrops + membership.counters + gossip.counters + admission.counters + addresses.counters
    }

    package var nextDeadline: Instant? {
        guard !hasLeft else { return nil }
        var earliest = membership.nextDeadline
        func consider(_ instant: Instant?) {
            if let instant { earliest = earliest.map { min($0, instant) } ?? instant }
        }
        consider(gossip.nextDeadline)
        consider(probing.nextDeadline)
        consider(admission.nextDeadline)
        consider(addresses.nextDeadline)
        return earliest
    }

    package mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        guard !hasLeft else { return }
        var routed = Routed()
        switch input {
        case .start(let known):
            gossip.handle(.start, at: now, into: &routed.gossip)
            probing.handle(.start, at: now, into: &routed.probing)
            admission.handle(.start(known: known), at: now, into: &routed.admission)
        case .discovered(let contact):
            admission.handle(.discovered(contact), at: now, into: &routed.admission)
            if admission.isReady { membership.handle(.discovered(contact), at: now, into: &routed.membership) }
        case .datagram(let payload, let sender, let held):
            receive(payload, from: sender, held: held, at: now, into: &routed)
        case .timer:
            admission.handle(.timer, at: now, into: &routed.admission)
            membership.handle(.timer, at: now, into: &routed.membership)
            gossip.handle(.timer, at: now, into: &routed.gossip)
            probing.handle(.timer, at: now, into: &routed.probing)
            addresses.handle(.timer, at: now, into: &routed.addresses)
        case .left: probing.handle(.left, at: now, into: &routed.probing)
        case .sessionEstablished(let peer, let address):
            addresses.handle(.sessionEstablished(peer, address), at: now, into: &routed.addresses)
            noteSite(of: peer, at: now, &routed)
        case .sessionFailed(let peer):
            membership.handle(.sessionFailed(peer), at: now, into: &routed.membership)
        case .publish(let key, let value):
            gossip.handle(.publish(key, value: value), at: now, into: &routed.gossip)
        case .setAddresses(let local): addresses.handle(.setLocal(local), at: now, into: &routed.addresses)
        case .leave:
            membership.handle(.leave, at: now, into: &routed.membership)
            hasLeft = true
        case .measure(let peer): probing.handle(.measure(peer), at: now, into: &routed.probing)
        case .measureAvailable(let peer):
            probing.handle(.measureAvailable(peer), at: now, into: &routed.probing)
        case .ask(let peer, let target): probing.handle(.ask(peer, target: target), at: now, into: &routed.probing)
        case .delivered(let peer, let sample):
            probing.handle(.delivered(peer, sample), at: now, into: &routed.probing)
        case .ping(let peer):
            membership.handle(.ping(peer), at: now, into: &routed.membership)
        case .decide(let statement): admission.handle(.decide(statement), at: now, into: &routed.admission)
        case .refused(let peer): admission.handle(.refused(by: peer), at: now, into: &routed.admission)
        case .knocked(let peer): admission.handle(.knocked(peer), at: now, into: &routed.admission)
        }
        route(&routed, at: now, into: &effects)
        flush(at: now, into: &effects)
    }

    private mutating func receive(
        _ payload: [UInt8], from sender: PeerID, held: Duration, at now: Instant, into routed: inout Routed
    ) {
        let messages: [OverlayMessage]
        do { messages = try OverlayMessage.decode(payload) } catch {
            ownDrops.count(.malformed)
            return blame(sender, for: .malformed, at: now, into: &routed)
        }
        for message in messages {
            // A page among the messages may have changed what the sender may say.
            guard admission.policy.keeps(sender) else { return ownDrops.count(.notAdmitted) }
            guard admission.isReady || message.isAboutAdmission else { return ownDrops.count(.notAdmitted) }
            let before = misbehaviours
            var reason: OverlayDrop?
            switch message {
            case .admission(let message):
                admission.handle(.receive(message, from: sender), at: now, into: &routed.admission)
                reason = admission.counters.lastMisbehaviour
                routeAdmission(&routed, at: now)
            case .membership(let message):
                membership.handle(.receive(message, from: sender), at: now, into: &routed.membership)
                reason = membership.counters.lastMisbehaviour
                // A newcomer's entries may follow its record in the same datagram.
                routeMembership(&routed, at: now)
            case .addresses(let message):
                addresses.handle(.receive(message, from: sender), at: now, into: &routed.addresses)
            case .gossip(let message):
                gossip.handle(.receive(message, from: sender), at: now, into: &routed.gossip)
                reason = gossip.counters.lastMisbehaviour
            case .probing(let message):
                // Whoever is not known to be a member gets no trains.
                if case .reserve = message, !membership.isLive(sender) {
                    ownDrops.count(.unknownSubject)
                    continue
                }
                probing.handle(.receive(message, from: sender, held: held), at: now, into: &routed.probing)
            }
            if misbehaviours != before, let reason { blame(sender, for: reason, at: now, into: &routed) }
        }
    }

    /// Drops so far for which a sender is to blame.
    private var misbehaviours: UInt64 {
        membership.counters.misbehaviours + gossip.counters.misbehaviours + admission.counters.misbehaviours
    }

    /// Names a peer that misbehaves, but not at the rate at which it does.
    private mutating func blame(
        _ peer: PeerID, for reason: OverlayDrop, at now: Instant, into routed: inout Routed
    ) {
        if let last = blamed[peer], now < last + Self.blameInterval { return }
        if blamed.count >= Limits.members { blamed = [:] }
        blamed[peer] = now
        routed.effects.append(.event(.misbehaviour(peer, reason)))
    }

    /// Least time between two events that name the same peer.
    private static let blameInterval = Duration.seconds(10)

    /// Turns the outbox into datagrams, with news and entries in the room that is left.
    private mutating func flush(at now: Instant, into effects: inout [Effect]) {
        for parcel in outbox.takeAll() where admission.policy.keeps(parcel.peer) {
            var packer = DatagramPacker(datagrams: parcel.datagrams)
            for message in parcel.messages { packer.append(message) }
            // Whom this peer asks for its first list is not known to be a member.
            if !hasLeft, admission.isReady {
                if let report = addresses.takeReport(for: parcel.peer, at: now) { packer.append(report.datagramBytes) }
                membership.fill(&packer)
                gossip.fill(&packer)
            }
            for payload in packer.finish() {
                effects.append(.send(payload, to: parcel.peer))
                // A goodbye has no second chance, and one datagram may be lost.
                if hasLeft { effects.append(.send(payload, to: parcel.peer)) }
            }
        }
    }
}
