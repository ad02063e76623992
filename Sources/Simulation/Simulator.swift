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
        /// Changes the share of lost packets.
        case setLoss(Double)
        /// Publishes an entry of a peer.
        case publish(Int, EntryKey, [UInt8])
    }

    private enum Event {
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
    package private(set) var observer: Observer
    package private(set) var network: SimulatedNetwork
    /// Datagrams delivered to cores.
    package private(set) var deliveries = 0

    private let configuration: OverlayNode.Configuration
    private let indices: [PeerID: Int]  // only looked up, never iterated
    private var peers: [SimulatedPeer]
    private var queue = EventQueue<Event>()
    private var generator: SeededGenerator
    private var trace: UInt64 = 0xCBF2_9CE4_8422_2325

    /// Virtual wall clock at the beginning, in milliseconds; incarnations come from it.
    private static let epochMilliseconds: UInt64 = 1_750_000_000_000

    /// A swarm of peers of which none runs yet.
    package init(
        peers count: Int, profile: NetworkProfile, seed: UInt64,
        configuration: OverlayNode.Configuration = OverlayNode.Configuration()
    ) {
        self.configuration = configuration
        generator = SeededGenerator(seed: seed)
        network = SimulatedNetwork(profile: profile, peers: count, generator: generator.split())
        observer = Observer(peers: count)
        var identities = generator.split()
        peers = (0..<count).map { index in SimulatedPeer(contact: Self.contact(index, &identities)) }
        var indices: [PeerID: Int] = [:]
        for (index, peer) in peers.enumerated() { indices[peer.contact.peer] = index }
        self.indices = indices
    }

    /// Peers, running or not.
    package var count: Int { peers.count }

    /// The identity of a peer.
    package func identity(_ index: Int) -> PeerID { peers[index].contact.peer }

    /// Which peer has this identity.
    package func index(of peer: PeerID) -> Int? { indices[peer] }

    /// A peer's core, if it runs.
    package func node(_ index: Int) -> OverlayNode? { peers[index].node }

    /// Whether some process is not running though nobody has killed it.
    package var isAnyonePaused: Bool { peers.contains { $0.pausedUntil != nil } }

    /// UDP payload bytes that all peers have sent.
    package var sentBytes: Int { peers.reduce(0) { $0 + $1.sentBytes } }

    /// Datagrams that all peers have sent.
    package var sentDatagrams: Int { peers.reduce(0) { $0 + $1.sentDatagrams } }

    /// The most UDP payload bytes that any peer has sent.
    package var mostSentBytes: Int { peers.map(\.sentBytes).max() ?? 0 }

    /// The digest that all running peers have in common; `nil` if they differ or none runs.
    package var commonDigest: Digest? {
        var common: Digest?
        for index in peers.indices {  // not `for peer in peers`, which would copy every core
            guard let digest = peers[index].node?.snapshotDigest else { continue }
            if let common, common != digest { return nil }
            common = digest
        }
        return common
    }

    /// SHA-256 over everything that was delivered when, and over the final views: equal for equal runs.
    package var digest: Digest {
        var builder = DigestBuilder()
        builder.update(withUnsafeBytes(of: trace.littleEndian) { Array($0) })
        for peer in peers {
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
        case .setLoss(let loss): network.profile.loss = loss
        case .publish(let index, let key, let value): handle(.publish(key, value: value), index)
        }
    }

    private mutating func start(_ index: Int, knowing known: [Int]) {
        if peers[index].node != nil { stop(index) }
        peers[index].life += 1
        peers[index].cache = []
        let contact = peers[index].contact
        let node = OverlayNode(
            configuration: configuration, contact: contact, signer: .simulated(contact.peer),
            incarnation: Self.epochMilliseconds + UInt64(time.nanoseconds / 1_000_000), seed: generator.next())
        peers[index].node = node
        observer.setRunning(index, true)
        handle(.start(known: known.filter { $0 != index }.prefix(32).map { peers[$0].contact }), index)
        let capability = Capability(
            name: "peer-\(index)", cores: 8, memoryBytes: 16 << 30, flopsPerSecond: 1e12, diskFreeBytes: 100 << 30,
            software: "simulated")
        handle(.publish(.capability, value: capability.wireBytes), index)
    }

    private mutating func stop(_ index: Int) {
        peers[index].node = nil
        peers[index].sessions = [:]
        peers[index].reachable = []
        peers[index].backlog = []
        peers[index].pausedUntil = nil
        peers[index].wake = nil
        observer.setRunning(index, false)
    }

    /// Feeds a core and does what it wants.
    private mutating func handle(_ input: OverlayInput, _ index: Int) {
        var effects: [OverlayEffect] = []
        let deadline = peers[index].node?.step(input, at: time, into: &effects) ?? nil
        for effect in effects {
            switch effect {
            case .send(let payload, let peer):
                guard payload.count <= Limits.datagramPayloadBytes, !payload.isEmpty else {
                    observer.violate("peer \(index) sent a datagram of \(payload.count) bytes", at: time)
                    continue
                }
                if let receiver = indices[peer] { send(payload, from: index, to: receiver) }
            case .learn(let contact):
                if let other = indices[contact.peer], peers[index].reachable.insert(other).inserted {
                    peers[index].cache.append(other)
                }
            case .forget(let peer): if let other = indices[peer] { peers[index].sessions[other] = nil }
            case .renewSession(let peer):
                // The session at hand stays in use until the handshake is through.
                guard let other = indices[peer], peers[index].sessions[other]?.life != nil else { continue }
                transmit(.handshake, from: index, to: other, toLife: 0)
            case .event(let event): observe(event, of: index)
            }
        }
        if let deadline {
            let wake = max(deadline, time)
            if peers[index].wake != wake {
                peers[index].wake = wake
                queue.push(.wake(index, wake), at: wake)
            }
        } else {
            peers[index].wake = nil
        }
    }

    private mutating func observe(_ event: OverlayEvent, of index: Int) {
        switch event {
        case .memberUp(let peer): if let other = indices[peer] { observer.setBelief(index, other, alive: true) }
        case .memberLeft(let peer): if let other = indices[peer] { observer.setBelief(index, other, alive: false) }
        case .memberDown(let peer):
            guard let other = indices[peer] else { return }
            let isFalse = observer.isRunning[other] && peers[other].pausedUntil == nil
            observer.recordDeath(index, other, at: time, isFalse: isFalse)
            observer.setBelief(index, other, alive: false)
        case .entryUpdated(let owner, let key):
            guard let other = indices[owner], let version = peers[index].node?.version(of: owner, key) ?? nil else {
                return
            }
            observer.recordVersion(index, other, key, version, at: time)
        case .equivocation(let owner, let key):
            observer.violate("peer \(index) saw two values for one version of entry \(key) of \(owner.short)", at: time)
        default: break
        }
    }
}

// MARK: - Sessions and packets

extension Simulator {
    private mutating func send(_ payload: [UInt8], from sender: Int, to receiver: Int) {
        guard let session = peers[sender].sessions[receiver] else {
            guard peers[sender].reachable.contains(receiver) else { return }
            peers[sender].sessions[receiver] = SimulatedPeer.Session(queue: [payload])
            retry(sender, receiver, peers[sender].life)
            return
        }
        if let life = session.life {
            transmit(.data(payload), from: sender, to: receiver, toLife: life)
            if session.isInitiator, time >= session.since + SessionModel.rekeyAfter {
                peers[sender].sessions[receiver]?.since = time
                transmit(.handshake, from: sender, to: receiver, toLife: 0)
            }
        } else if session.queue.count < SessionModel.queueLimit {
            peers[sender].sessions[receiver]?.queue.append(payload)
        }
    }

    /// Tries a handshake, and once more later if there is no answer.
    private mutating func retry(_ sender: Int, _ receiver: Int, _ life: UInt32) {
        guard peers[sender].life == life, peers[sender].node != nil, var session = peers[sender].sessions[receiver],
            session.life == nil
        else { return }
        guard session.attempts < SessionModel.attempts else {
            peers[sender].sessions[receiver] = nil
            handle(.sessionFailed(identity(receiver)), sender)
            return
        }
        session.attempts += 1
        peers[sender].sessions[receiver] = session
        transmit(.handshake, from: sender, to: receiver, toLife: 0)
        queue.push(.retry(from: sender, to: receiver, life: life), at: time + SessionModel.retryInterval)
    }

    private mutating func transmit(_ kind: Packet.Kind, from sender: Int, to receiver: Int, toLife: UInt32) {
        let packet = Packet(kind: kind, from: sender, to: receiver, fromLife: peers[sender].life, toLife: toLife)
        peers[sender].sentBytes += packet.byteCount
        peers[sender].sentDatagrams += 1
        let arrivals = network.send(from: sender, to: receiver, bytes: packet.byteCount, at: time)
        if let first = arrivals.first { queue.push(.arrival(packet), at: first) }
        if let second = arrivals.second { queue.push(.arrival(packet), at: second) }
    }

    private mutating func deliver(_ packet: Packet) {
        guard peers[packet.to].node != nil else { return }
        if peers[packet.to].pausedUntil != nil {
            if peers[packet.to].backlog.count < SessionModel.backlogLimit { peers[packet.to].backlog.append(packet) }
        } else {
            accept(packet)
        }
    }

    private mutating func accept(_ packet: Packet) {
        let (sender, receiver) = (packet.from, packet.to)
        guard peers[receiver].node != nil else { return }
        record(packet)
        switch packet.kind {
        case .handshake:
            let waiting = peers[receiver].sessions[sender]?.queue ?? []
            establish(receiver, sender, life: packet.fromLife, isInitiator: false)
            transmit(.response, from: receiver, to: sender, toLife: packet.fromLife)
            for payload in waiting { transmit(.data(payload), from: receiver, to: sender, toLife: packet.fromLife) }
        case .response:
            guard packet.toLife == peers[receiver].life, let session = peers[receiver].sessions[sender],
                session.life != packet.fromLife
            else { return }
            establish(receiver, sender, life: packet.fromLife, isInitiator: true)
            for payload in session.queue {
                transmit(.data(payload), from: receiver, to: sender, toLife: packet.fromLife)
            }
        case .data(let payload):
            guard packet.toLife == peers[receiver].life, peers[receiver].sessions[sender]?.life == packet.fromLife
            else {
                return
            }
            deliveries += 1
            handle(.datagram(payload, from: identity(sender)), receiver)
        }
    }

    private mutating func establish(_ index: Int, _ other: Int, life: UInt32, isInitiator: Bool) {
        peers[index].sessions[other] = SimulatedPeer.Session(life: life, since: time, isInitiator: isInitiator)
        peers[index].reachable.insert(other)
        handle(.sessionEstablished(identity(other), peers[other].contact.addresses[0]), index)
    }

    /// Mixes a delivery into the trace (FNV-1a over words).
    private mutating func record(_ packet: Packet) {
        func mix(_ word: UInt64, _ trace: inout UInt64) { trace = (trace ^ word) &* 0x0000_0100_0000_01B3 }
        mix(UInt64(bitPattern: time.nanoseconds), &trace)
        mix(UInt64(packet.from) << 32 | UInt64(packet.to), &trace)
        mix(UInt64(packet.byteCount), &trace)
        if case .data(let payload) = packet.kind {
            mix(payload.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }, &trace)
        }
    }
}
