package import Overlay
package import Primitives
import Wire

/// A swarm of `OverlayNode`s on a simulated network under a virtual clock.
///
/// Everything random comes from one seed and everything happens in one order, so the same seed gives the same run, bit for
/// bit, on every machine: `digest` says so.
package struct Simulator {
    /// What is done to the swarm from outside.
    package enum Action: Sendable {
        /// Starts a peer that knows these others.
        case start(Int, knowing: [Int])
        /// Ends a process without a word.
        case crash(Int)
        /// Starts a peer again with the contacts that its disk remembers.
        case restart(Int)
        /// Starts a peer again that has lost its disk but not its key.
        case restartEmpty(Int, knowing: [Int])
        /// Says goodbye; the process ends a moment later.
        case leave(Int)
        /// Stops a process for a while, as an overloaded machine does.
        case pause(Int, Duration)
        /// Replaces all partitions; none heals the network.
        case partition([Partition])
        /// Changes what the network does to packets; rates and places of peers stay.
        case setNetwork(NetworkProfile)
        /// Changes the share of lost packets.
        case setLoss(Double)
        /// A liar tells lies to some peers.
        case lie(Int)
        /// Publishes an entry of a peer.
        case publish(Int, EntryKey, [UInt8])
    }

    enum Event {
        case arrival(Packet)
        case delivery(Packet)
        case wake(Int, Instant)
        case retry(from: Int, to: Int, life: UInt32)
        case resume(Int, Instant)
        case end(Int, life: UInt32)
        case action(Action)
    }

    /// The virtual time.
    package private(set) var time = Instant(nanoseconds: 0)
    package internal(set) var observer: Observer
    package internal(set) var network: SimulatedNetwork
    /// Datagrams delivered to cores.
    package internal(set) var deliveries = 0
    /// Gets a line for everything that is worth knowing about a run.
    package var tracer: ((TraceLine) -> Void)?
    /// Whether packets are traced, too.
    package var tracesPackets = false

    private let configuration: OverlayNode.Configuration
    /// What all peers know is kept once.
    private let pool = SharedStatements()
    /// Contacts with which a peer comes back.
    private static let rememberedContacts = 32
    /// The first peer is the founder of a closed swarm.
    private let isClosed: Bool
    private let indices: [PeerID: Int]  // only looked up, never iterated
    var peers: [SimulatedPeer]
    var queue = EventQueue<Event>()
    var generator: SeededGenerator
    var traceHash: UInt64 = 0xCBF2_9CE4_8422_2325
    var liarMemory = LiarMemory()

    /// Virtual wall clock at the beginning, in milliseconds; incarnations come from it.
    private static let epochMilliseconds: UInt64 = 1_750_000_000_000

    /// A swarm, open or closed, of peers of which none runs yet. The last peers, but never the first, are behind address translators, one for
    /// each of `nats`.
    package init(
        peers count: Int, profile: NetworkProfile, seed: UInt64,
        configuration: OverlayNode.Configuration = OverlayNode.Configuration(), clocks: ClockProfile = .exact,
        nats: [NATBox.Kind] = [], isClosed: Bool = false
    ) {
        self.configuration = configuration
        self.isClosed = isClosed
        generator = SeededGenerator(seed: seed)
        network = SimulatedNetwork(profile: profile, peers: count, generator: generator.split())
        observer = Observer(peers: count)
        var identities = generator.split()
        let firstHidden = count - nats.count
        peers = (0..<count).map { index in
            let contact = Self.contact(index, &identities)
            var peer = SimulatedPeer(
                contact: contact, clock: PeerClock(profile: clocks, using: &identities), ports: KnownPorts(peers: count)
            )
            if index >= firstHidden, index > 0 { peer.nat = NATBox(kind: nats[index - firstHidden]) }
            return peer
        }
        var indices: [PeerID: Int] = [:]
        for (index, peer) in peers.enumerated() { indices[peer.contact.peer] = index }
        self.indices = indices
        // The founder's disk has an empty list from the swarm's founding.
        if isClosed, let founder = peers.first?.contact.peer {
            peers[0].admissionPages = [AdmissionPage.first(version: 1, signer: .simulated(founder))]
        }
    }

    /// Peers, running or not.
    package var count: Int { peers.count }

    /// The identity of a peer.
    package func identity(_ index: Int) -> PeerID { peers[index].contact.peer }

    /// Which peer has this identity.
    package func index(of peer: PeerID) -> Int? { indices[peer] }

    /// A peer's core, if it runs.
    package func node(_ index: Int) -> OverlayNode? { peers[index].node }

    /// Whether a peer can be reached by anybody: no address translator is before it.
    package func isPublic(_ index: Int) -> Bool { peers[index].nat == nil }

    /// How many others keep a session with a peer; what it keeps itself is of no use without them.
    package func sessionCount(_ index: Int) -> Int {
        (0..<peers.count).count { peers[$0].sessions[index]?.isProven == true }
    }

    /// Datagrams that have reached a peer's core.
    package func receivedCount(_ index: Int) -> Int { peers[index].received }

    /// What a peer lies about.
    package func lie(_ index: Int) -> Lie? { peers[index].lie }

    /// Makes a peer a liar.
    package mutating func corrupt(_ index: Int, _ lie: Lie) { peers[index].lie = lie }

    /// Whether some process is not running though nobody has killed it.
    package var isAnyonePaused: Bool { peers.contains { $0.pausedUntil != nil } }

    /// UDP payload bytes that all peers have sent.
    package var sentBytes: Int { peers.reduce(0) { $0 + $1.sentBytes } }

    /// Datagrams that all peers have sent.
    package var sentDatagrams: Int { peers.reduce(0) { $0 + $1.sentDatagrams } }

    /// The most UDP payload bytes that any peer has sent.
    package var mostSentBytes: Int { peers.map(\.sentBytes).max() ?? 0 }

    /// Whether every running peer has measured all its partners and published that.
    package var isGraphComplete: Bool {
        for index in 0..<peers.count {  // not `for peer in peers`, which would copy every core
            if let node = peers[index].node, !node.isGraphComplete { return false }
        }
        return true
    }

    /// Bytes that each access link has carried, up and down, with 28 bytes of IP and UDP headers for each datagram left out.
    package var carriedBytes: [(up: Int, down: Int)] { peers.map { ($0.sentBytes, $0.receivedBytes) } }

    /// The snapshot digest of a running peer.
    package func digest(of index: Int) -> Digest? { peers[index].node?.snapshotDigest }

    /// The digest that all running peers have in common; `nil` if they differ or none runs.
    package var commonDigest: Digest? {
        guard isRootCommon else { return nil }
        var common: Digest?
        for index in 0..<peers.count {  // not `for peer in peers`, which would copy every core
            guard let digest = peers[index].node?.snapshotDigest else { continue }
            if let common, common != digest { return nil }
            common = digest
        }
        return common
    }

    /// Whether the sums over what the running peers hold are equal, which costs next to nothing to see.
    private var isRootCommon: Bool {
        var common: UInt64?
        for index in 0..<peers.count {
            guard let root = peers[index].node?.entryRoot else { continue }
            if let common, common != root { return false }
            common = root
        }
        return true
    }

    /// SHA-256 over everything that was delivered when, and over the final views: equal for equal runs.
    package var digest: Digest {
        var builder = DigestBuilder()
        builder.update(withUnsafeBytes(of: traceHash.littleEndian) { Array($0) })
        for peer in peers {  // once a run
            guard let node = peer.node else { continue }
            builder.update(node.snapshotDigest.bytes)
            for member in node.members { builder.update(member.peer.bytes + [member.state.rawValue]) }
        }
        return builder.finish()
    }

    /// Schedules an action.
    package mutating func schedule(_ action: Action, at instant: Instant) { queue.push(.action(action), at: instant) }

    /// Does an action at once.
    package mutating func perform(_ action: Action) { act(action) }

    /// Hands an input to a running peer's core at once.
    package mutating func give(_ input: OverlayInput, to index: Int) { handle(input, index) }

    /// Notes that the run broke an invariant.
    package mutating func noteViolation(_ text: String) { observer.violate(text, at: time) }

    /// Runs until an instant.
    package mutating func run(until end: Instant) {
        while let (at, event) = queue.pop(until: end) {
            time = at
            happen(event)
        }
        time = max(time, end)
    }

    private static func contact(_ index: Int, _ generator: inout SeededGenerator) -> Contact {
        var bytes: [UInt8] = []
        for _ in 0..<8 { withUnsafeBytes(of: generator.next().littleEndian) { bytes.append(contentsOf: $0) } }
        guard let peer = PeerID(bytes: bytes.prefix(32)), let key = AgreementPublicKey(bytes: Array(bytes.suffix(32)))
        else {
            preconditionFailure("64 random bytes make two keys")
        }
        let octets = (UInt8(10), UInt8(index >> 16 & 255), UInt8(index >> 8 & 255), UInt8(index & 255))
        return Contact(peer: peer, agreementKey: key, addresses: [NetworkAddress(ipv4: octets, port: 7600)])
    }
}

// MARK: - What happens

extension Simulator {
    private mutating func happen(_ event: Event) {
        switch event {
        case .arrival(let packet):
            if let at = network.receive(at: packet.to, bytes: packet.byteCount, now: time) {
                queue.push(.delivery(packet), at: at)
            }
        case .delivery(let packet): deliver(packet)
        case .wake(let index, let at):
            guard peers[index].wake == at else { return }
            peers[index].wake = nil
            if peers[index].pausedUntil == nil { handle(.timer, index) }
        case .retry(let sender, let receiver, let life): retry(sender, receiver, life)
        case .resume(let index, let at):
            guard peers[index].pausedUntil == at else { return }
            peers[index].pausedUntil = nil
            let backlog = peers[index].backlog
            peers[index].backlog = []
            for packet in backlog { accept(packet) }
            handle(.timer, index)
        case .end(let index, let life): if peers[index].life == life { stop(index) }
        case .action(let action): act(action)
        }
    }

    private mutating func act(_ action: Action) {
        if tracer != nil { trace(action) }
        switch action {
        case .start(let index, let known): start(index, knowing: known)
        case .crash(let index): stop(index)
        case .restart(let index): start(index, knowing: peers[index].cache)
        case .restartEmpty(let index, let known): start(index, knowing: known)
        case .leave(let index):
            guard peers[index].node != nil else { return }
            observer.setRunning(index, false)
            handle(.leave, index)
            queue.push(.end(index, life: peers[index].life), at: time + .milliseconds(50))
        case .pause(let index, let duration):
            let until = time + duration
            guard peers[index].node != nil, peers[index].pausedUntil.map({ $0 < until }) ?? true else { return }
            peers[index].pausedUntil = until
            queue.push(.resume(index, until), at: until)
        case .partition(let partitions): network.partitions = partitions
        case .setNetwork(let profile): network.profile = profile
        case .setLoss(let loss): network.profile.loss = loss
        case .lie(let index): tellLies(index)
        case .publish(let index, let key, let value): handle(.publish(key, value: value), index)
        }
    }

    /// What a wall clock shows.
    private static func wallMilliseconds(_ local: Instant) -> UInt64 {
        UInt64(Int64(epochMilliseconds) + local.nanoseconds / 1_000_000)
    }

    private mutating func start(_ index: Int, knowing known: [Int]) {
        if peers[index].node != nil { stop(index) }
        peers[index].life += 1
        peers[index].cache = []
        let contact = peers[index].contact
        var configuration = configuration
        if isClosed {
            configuration.admission = Admission.Configuration(
                founder: identity(0), pages: peers[index].admissionPages)
        }
        let node = OverlayNode(
            configuration: configuration, contact: contact, signer: .simulated(contact.peer),
            incarnation: Self.wallMilliseconds(peers[index].clock.local(time)), seed: generator.next(),
            pool: pool)
        peers[index].node = node
        observer.setRunning(index, true)
        handle(
            .start(known: known.filter { $0 != index }.prefix(Self.rememberedContacts).map { peers[$0].contact }), index
        )
        let capability = Capability(
            name: "peer-\(index)", cores: 8, memoryBytes: 16 << 30, flopsPerSecond: 1e12, diskFreeBytes: 100 << 30,
            software: "simulated")
        handle(.publish(.capability, value: capability.wireBytes), index)
    }

    private mutating func stop(_ index: Int) {
        peers[index].node = nil
        peers[index].sessions = [:]
        peers[index].ports.removeAll()
        peers[index].backlog = []
        peers[index].pausedUntil = nil
        peers[index].wake = nil
        observer.setRunning(index, false)
    }

    /// Feeds a core and does what it wants.
    mutating func handle(_ input: OverlayInput, _ index: Int) {
        var effects: [OverlayEffect] = []
        let now = peers[index].clock.local(time)
        let deadline = peers[index].node?.step(input, at: now, into: &effects) ?? nil
        perform(effects, of: index, deadline: deadline)
    }

    /// Gives a core what it would know of a settled swarm.
    mutating func remember(_ records: [KeptRecord], _ entries: [OwnedEntries], _ index: Int) {
        var effects: [OverlayEffect] = []
        let now = peers[index].clock.local(time)
        peers[index].node?.remember(records, entries, at: now, into: &effects)
        let deadline = peers[index].node?.step(.timer, at: now, into: &effects) ?? nil
        perform(effects, of: index, deadline: deadline)
    }

    private mutating func perform(_ effects: [OverlayEffect], of index: Int, deadline: Instant?) {
        for effect in effects {
            switch effect {
            case .send(let payload, let peer):
                guard payload.count <= Limits.datagramPayloadBytes, !payload.isEmpty else {
                    observer.violate("peer \(index) sent a datagram of \(payload.count) bytes", at: time)
                    continue
                }
                if let receiver = indices[peer] { send(payload, from: index, to: receiver) }
            case .learn(let contact):
                guard let other = indices[contact.peer] else { continue }
                if !peers[index].ports.contains(other) {
                    peers[index].ports.set(announcedPort(other), of: other, announced: announcedPort(other))
                }
                if peers[index].cache.count < Self.rememberedContacts, !peers[index].cache.contains(other) {
                    peers[index].cache.append(other)
                }
            case .forget(let peer): if let other = indices[peer] { peers[index].sessions[other] = nil }
            case .restrict(let policy):
                peers[index].policy = policy
                for other in 0..<peers.count where !policy.keeps(peers[other].contact.peer) {
                    peers[index].sessions[other] = nil
                }
            case .renewSession(let peer):
                // The session at hand stays in use until the handshake is through.
                guard let other = indices[peer], peers[index].sessions[other]?.isProven == true else { continue }
                renew(index, other)
            case .event(let event): observe(event, of: index)
            }
        }
        if let deadline {
            let wake = max(peers[index].clock.virtual(deadline), time)
            if peers[index].wake != wake {
                peers[index].wake = wake
                queue.push(.wake(index, wake), at: wake)
            }
        } else {
            peers[index].wake = nil
        }
    }

    private mutating func observe(_ event: OverlayEvent, of index: Int) {
        if tracer != nil { trace(event, of: index) }
        switch event {
        case .memberUp(let peer): if let other = indices[peer] { observer.setBelief(index, other, alive: true) }
        case .memberLeft(let peer): if let other = indices[peer] { observer.setBelief(index, other, alive: false) }
        case .memberDown(let peer):
            guard let other = indices[peer] else { return }
            // Whom the other does not speak to any more, it is as good as dead.
            let isFalse =
                observer.isRunning[other] && peers[other].pausedUntil == nil
                && peers[other].policy.keeps(identity(index))
            observer.recordDeath(index, other, at: time, isFalse: isFalse)
            observer.setBelief(index, other, alive: false)
        case .entryUpdated(let owner, let key):
            guard let other = indices[owner], let version = peers[index].node?.version(of: owner, key) ?? nil else {
                return
            }
            observer.recordVersion(index, other, key, version, at: time)
        case .admissionChanged: peers[index].admissionPages = peers[index].node?.pages() ?? []
        case .misbehaviour(let peer, _):
            // What liars say of others counts for nothing.
            if let other = indices[peer], peers[index].lie == nil { observer.recordBlame(other) }
        case .equivocation(let owner, let key):
            guard let other = indices[owner] else { return }
            guard peers[other].lie == nil else { return observer.recordBlame(other) }
            observer.violate("peer \(index) saw two values for one version of entry \(key) of \(owner.short)", at: time)
        default: break
        }
    }
}
