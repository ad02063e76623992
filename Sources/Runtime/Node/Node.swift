internal import Foundation
package import Logging
internal import NIOCore
internal import NIOPosix
internal import Noise
internal import Overlay
internal import Pipeline
internal import Primitives
internal import Shards
internal import Synchronization
internal import Wire

/// One running peer: sockets, overlay, shards and jobs put together.
///
/// The actor owns what is shared between tasks; packets never pass through it. They are handled on the datagram
/// endpoint's event loop, and stream messages in their stream's own order.
package actor Node {
    package let configuration: NodeConfiguration
    let identity: LocalIdentity
    let log: Logger
    /// Datagrams, and so all probes, have a loop of their own: bulk streams must not delay what measures them.
    private let datagramLoops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let streamLoops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let endpoint: UDPEndpoint
    let driver: OverlayDriver
    let hub: StreamHub
    let shardStore: ShardStore
    let shardService: ShardService
    let swarmName: String
    let startedAt: Instant
    private let wiring: NodeWiring

    /// Set once the node listens.
    private(set) var listenAddress: NetworkAddress
    /// Where this machine's interfaces say that it can be reached; `Node+Network` keeps it true.
    var addresses: [NetworkAddress] = []
    private(set) var capability: Capability?
    private(set) var isStopping = false
    var participant: JobParticipant?
    var coordinators: [JobCoordinator] = []
    var pingWaiters: [PeerID: [CheckedContinuation<Duration?, Never>]] = [:]
    var probeWaiters: [PeerID: [CheckedContinuation<Bool, Never>]] = [:]
    var availableWaiters: [PeerID: [CheckedContinuation<Bool, Never>]] = [:]
    /// When each report of links came to this node.
    var linksHeard: [PeerID: [EntryKey: Instant]] = [:]
    private var background: [Task<Void, Never>] = []
    private var networkWatch: RepeatedTask?
    private(set) var discovery: LANDiscovery?
    var identityWarnings = IdentityWarnings()
    var metrics = NodeMetrics()
    /// What was last written to the peer cache.
    private var savedPeers: PeerCache?
    nonisolated let shutdownRequests = AsyncStream.makeStream(of: Void.self)

    /// Rounds of saving between two trims of memory (a minute), and the round after which the start is surely over.
    private static let roundsPerTrim = 4
    private static let firstTrim = 2

    // MARK: Life

    /// Loads keys and swarm from the state directory and builds everything; nothing is sent yet.
    package init(configuration: NodeConfiguration, log: Logger) async throws {
        self.configuration = configuration
        self.log = log
        let agreement = try configuration.state.agreementKey()
        identity = LocalIdentity(identity: try configuration.state.identityKey(), agreement: agreement)
        let (name, secret, founder) = try Self.swarm(configuration.state)
        swarmName = name
        startedAt = MonotonicClock.now
        listenAddress = configuration.listen
        let shaper = try configuration.topologyFile.map {
            try Shaper(topology: try TopologyFile.load($0), name: configuration.name)
        }
        let wiring = NodeWiring()
        self.wiring = wiring
        endpoint = try await UDPEndpoint(
            identity: identity, secret: secret, eventLoop: datagramLoops.next(), shaper: shaper
        ) { wiring.receive($0) }
        hub = StreamHub(
            identity: identity, secret: secret, group: streamLoops, shaper: shaper
        ) { peer, trafficClass, message in await wiring.receive(message, from: peer, trafficClass: trafficClass) }
        let contact = Contact(peer: identity.peer, agreementKey: identity.agreementPublicKey, addresses: [])
        var overlay = OverlayNode.Configuration()
        overlay.admission = Admission.Configuration(
            founder: founder, pages: founder == nil ? [] : configuration.state.admissionPages())
        let core = OverlayNode(
            configuration: overlay, contact: contact, signer: identity.signer,
            incarnation: MonotonicClock.wallMilliseconds,
            seed: SystemEntropy().seed())
        let (endpoint, hub) = (endpoint, hub)
        driver = try await OverlayDriver.make(
            core: core, on: endpoint.eventLoop,
            port: OverlayDriver.Port(
                send: { endpoint.send($0, to: $1) },
                learn: {
                    endpoint.learn($0)
                    hub.learn($0)
                },
                forget: {
                    endpoint.forget($0)
                    hub.disconnect($0)
                },
                renew: { endpoint.renew($0) },
                restrict: {
                    endpoint.restrict(to: $0)
                    hub.restrict(to: $0)
                }, event: { wiring.overlayEvents.yield($0) }, now: { MonotonicClock.now }))
        wiring.connect(driver: driver)
        wiring.connect(hub: hub)
        shardStore = try ShardStore(path: configuration.state.shardsPath)
        shardService = ShardService(store: shardStore) { message, peer in
            try await hub.send(message, to: peer, class: .shards)
        }
    }

    private static func swarm(_ state: StateDirectory) throws -> (name: String, secret: SwarmSecret, founder: PeerID?) {
        let ticket = try state.ticket()
        let name = ticket.swarmName
        let founder = ticket.founder
        guard let secret = SwarmSecret(ticket.secret.duplicate(), founder: founder) else { throw TicketError.damaged }
        return (name, secret, founder)
    }

    /// Binds the sockets, joins the swarm and begins to serve.
    package func start() async throws {
        participant = JobParticipant(signer: identity.signer, port: participantPort(), log: log)
        wiring.connect(node: self)
        listenAddress = try await TransportBinding.bind(endpoint, hub, to: configuration.listen)
        addresses = configuration.reachableAddresses(bound: listenAddress)
        background.append(
            Task { [weak self, events = wiring.overlayStream] in
                for await event in events { await self?.handle(event) }
            })
        let cached = configuration.state.cachedPeers().records.map(\.contact)
        driver.input(.setAddresses(addresses))
        let known = configuration.bootstrap + cached
        driver.input(.start(known: known.filter { $0.peer != identity.peer }))
        try await publishCapability()
        if configuration.discovery { await startDiscovery() }
        background.append(
            Task { [weak self] in
                // Early once, so that a node that dies young finds its swarm again too.
                try? await Task.sleep(for: .seconds(3))
                var round = 0
                while !Task.isCancelled {
                    await self?.saveCache()
                    if round == 1 || round % Self.roundsPerTrim == Self.firstTrim { ProcessMemory.trim() }
                    round += 1
                    try? await Task.sleep(for: .seconds(15))
                }
            })
        networkWatch = watchNetwork()
        log.info(
            "listening",
            metadata: ["address": "\(listenAddress)", "peer": "\(identity.peer.short)", "swarm": "\(swarmName)"])
    }

    private func publishCapability() async throws {
        let report = await MachineReport.detect(
            diskPath: configuration.state.path, flopsPerSecond: configuration.flopsPerSecond)
        let capability = report.capability(configuration)
        self.capability = capability
        driver.input(.publish(.capability, value: capability.wireBytes))
    }

    private func startDiscovery() async {
        let driver = driver
        let contact = Contact(
            peer: identity.peer, agreementKey: identity.agreementPublicKey, addresses: addresses)
        do {
            let secret = try Self.swarm(configuration.state).secret
            let discovery = LANDiscovery(secret: secret, contact: contact, eventLoop: datagramLoops.next()) {
                driver.input(.discovered($0))
            }
            try await discovery.start()
            self.discovery = discovery
        } catch {
            log.info("no discovery on the local network (\(error)): peers are found by ticket")
        }
    }

    /// Leaves the swarm if asked to, ends jobs, closes sockets and saves the peers.
    package func stop(leaving: Bool) async {
        guard !isStopping else { return }
        isStopping = true
        saveCacheNow(await members())
        for coordinator in coordinators { await coordinator.mailbox.close() }
        await participant?.stop()
        await discovery?.close()
        try? await driver.stop(after: leaving ? .leave : nil)
        for task in background { task.cancel() }
        networkWatch?.cancel()
        for waiter in pingWaiters.values.flatMap({ $0 }) { waiter.resume(returning: nil) }
        pingWaiters = [:]
        for waiter in probeWaiters.values.flatMap({ $0 }) { waiter.resume(returning: false) }
        probeWaiters = [:]
        for waiter in availableWaiters.values.flatMap({ $0 }) { waiter.resume(returning: false) }
        availableWaiters = [:]
        // The farewells were handed to the socket; give the loop one turn to send them.
        if leaving { try? await Task.sleep(for: .milliseconds(50)) }
        await hub.close()
        await endpoint.close()
        wiring.disconnect()
        try? await streamLoops.shutdownGracefully()
        try? await datagramLoops.shutdownGracefully()
        log.info("stopped")
    }

    /// Ends `run`, as the control socket and a graceful shutdown ask.
    nonisolated func requestShutdown() { shutdownRequests.continuation.yield() }

    // MARK: State for others

    func members() async -> [Member] { (try? await driver.read { $0.members }) ?? [] }

    func snapshot() async throws -> GraphSnapshot { try await driver.read { $0.snapshot } }

    /// A peer's name for people: what its capability says, else the short identity.
    func name(of peer: PeerID) async -> String {
        let snapshot = try? await snapshot()
        return snapshot?.capability(of: peer)?.name ?? peer.short
    }

    private func saveCache() async { saveCacheNow(await members()) }

    private func saveCacheNow(_ members: [Member]) {
        let records = members.filter { $0.state.isLive && $0.peer != identity.peer }.map(\.record)
        let cache = PeerCache(records: records)
        guard !records.isEmpty, cache != savedPeers else { return }
        do {
            try configuration.state.save(cache)
            savedPeers = cache
        } catch {
            log.warning("the peer cache could not be saved: \(error)")
        }
    }

    // MARK: Events

    private func endProbe(of peer: PeerID, isMeasured: Bool) {
        for waiter in probeWaiters.removeValue(forKey: peer) ?? [] { waiter.resume(returning: isMeasured) }
    }

    private func endAvailable(of peer: PeerID, isMeasured: Bool) {
        for waiter in availableWaiters.removeValue(forKey: peer) ?? [] { waiter.resume(returning: isMeasured) }
    }

    private func handle(_ event: OverlayEvent) async {
        switch event {
        case .pinged(let peer, let roundTrip):
            for waiter in pingWaiters.removeValue(forKey: peer) ?? [] { waiter.resume(returning: roundTrip) }
        case .probing(.measured(let peer, _)): endProbe(of: peer, isMeasured: true)
        case .probing(.available(let peer, _, _)): endAvailable(of: peer, isMeasured: true)
        case .probing(.measurementFailed(let peer)):
            endProbe(of: peer, isMeasured: false)
            endAvailable(of: peer, isMeasured: false)
        case .memberDown(let peer), .memberLeft(let peer):
            endProbe(of: peer, isMeasured: false)
            endAvailable(of: peer, isMeasured: false)
            linksHeard[peer] = nil
            log.info("peer gone", metadata: ["peer": "\(peer.short)"])
            await participant?.peerLost(peer)
            await shardService.peerLost(peer)
            for coordinator in coordinators { await coordinator.mailbox.deposit(.lost(peer), from: peer, lane: 0) }
        case .memberUp(let peer): log.info("peer arrived", metadata: ["peer": "\(peer.short)"])
        case .memberSuspected(let peer, let accuser):
            log.debug("peer suspected", metadata: ["peer": "\(peer.short)", "by": "\(accuser.short)"])
        case .identityConflict(_, let others): noteIdentityConflict(at: others)
        case .identityUsedTwice(let peer): noteIdentityUsedTwice(by: peer)
        case .formerLifeOutbid:
            log.info("peers knew a record from the future: this machine's clock was set back since the last run")
        case .equivocation(let owner, _):
            log.warning("a peer signed two values for one version", metadata: ["peer": "\(owner.short)"])
        case .misbehaviour(let peer, let reason):
            log.warning(
                "a peer sends what no honest peer sends: ask its owner, it is broken or lies",
                metadata: ["peer": "\(peer.short)", "what": "\(reason.rawValue)"])
        case .publishRefused(_, let byteCount):
            log.error("an entry of \(byteCount) bytes is too large to be published")
        case .joined(let members): log.info("joined", metadata: ["members": "\(members)"])
        case .admissionChanged: await saveAdmission()
        case .revoked(let peer): log.notice("a peer's admission was revoked", metadata: ["peer": "\(peer.short)"])
        case .notAdmitted:
            if await admissionState() == .revoked {
                log.notice("this peer's admission to the closed swarm was revoked: ask its founder")
            }
        case .entryUpdated(let owner, let key): noteEntry(of: owner, key)
        case .memberUpdated, .refuted, .graphChanged, .probing: break
        }
    }
}
