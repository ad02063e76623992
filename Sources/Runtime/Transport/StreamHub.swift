package import NIOCore
internal import NIOPosix
package import Noise
package import Primitives
internal import Synchronization
package import Wire

/// All streams of one process: one TCP connection for each peer and traffic class, dialled on demand by either side.
package final class StreamHub: Sendable {
    private struct LinkKey: Hashable {
        let peer: PeerID
        let trafficClass: TrafficClass
    }

    private struct State {
        var contacts: [PeerID: Contact] = [:]
        /// Where known peers were last heard over datagrams.
        var heardAt: [PeerID: NetworkAddress] = [:]
        var links: [LinkKey: StreamLink] = [:]
        var order: [LinkKey] = []
        var hellos = HelloGuard()
        var lastTimestamp: UInt64 = 0
        /// What the timestamps of our hellos have to exceed where the other side has seen newer ones of this identity.
        var helloFloors: [LinkKey: UInt64] = [:]
        var pending = 0
        var pendingByAddress: [NetworkAddress: Int] = [:]
        var server: (any Channel)?
        var isClosed = false
        var policy: AdmissionPolicy

        /// The addresses of a contact in the order in which they are tried.
        func candidates(_ contact: Contact) -> [NetworkAddress] {
            let heardHost = heardAt[contact.peer]?.withPort(0)
            return CandidateAddresses(
                contact.addresses, lastGood: contact.addresses.first { $0.withPort(0) == heardHost }, sendsIPv6: true
            ).all
        }
    }

    private let identity: LocalIdentity
    private let secret: SwarmSecret
    private let group: any EventLoopGroup
    private let configuration: StreamConfiguration
    private let shaper: Shaper?
    private let answerer: StreamAnswerer
    private let onMessage: @Sendable (PeerID, TrafficClass, ByteBuffer) async -> Void
    private let state: Mutex<State>

    /// A hub that does not listen yet.
    ///
    /// `onMessage` is called in order for each peer and class, one message at a time; while it has not returned and
    /// `inboxBytes` are waiting, the socket is not read, so that a slow reader slows its sender.
    package init(
        identity: LocalIdentity, secret: SwarmSecret, group: any EventLoopGroup,
        configuration: StreamConfiguration = StreamConfiguration(), shaper: Shaper? = nil,
        onMessage: @escaping @Sendable (PeerID, TrafficClass, ByteBuffer) async -> Void
    ) {
        self.identity = identity
        self.secret = secret
        self.group = group
        self.configuration = configuration
        self.shaper = shaper
        self.onMessage = onMessage
        state = Mutex(State(policy: secret.initialPolicy))
        answerer = StreamAnswerer(identity: identity, secret: secret)
        MemoryTuning.apply()
    }

    // MARK: Interface

    /// Listens for streams; returns the address with the port that the system chose if it was 0.
    package func listen(on address: NetworkAddress) async throws -> NetworkAddress {
        guard let socket = address.socketAddress else { throw AddressError(text: address.description) }
        let server = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.accept(channel) }
            }
            .childChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .bind(to: socket).get()
        state.withLock { $0.server = server }
        guard let local = server.localAddress, let bound = NetworkAddress(local) else {
            throw AddressError(text: address.description)
        }
        return bound
    }

    /// Closes the listening port; streams that are open go on.
    package func stopListening() async {
        let server = state.withLock { $0.server.take() }
        try? await server?.close().get()
    }

    /// Tells how to reach a peer.
    package func learn(_ contact: Contact) {
        state.withLock { if $0.policy.keeps(contact.peer) { $0.contacts[contact.peer] = contact } }
    }

    /// Answers and keeps only the peers of the policy from now on; streams with others end at once.
    package func restrict(to policy: AdmissionPolicy) {
        let links = state.withLock { state in
            state.policy = policy
            let over = state.order.filter { !policy.keeps($0.peer) }
            for key in over { state.contacts[key.peer] = nil }
            return over.compactMap { state.links[$0] }
        }
        for link in links { link.closeAll() }
    }

    /// Sends a message; returns when its last byte has been handed to the connection. Suspends while the peer reads
    /// slowly. Messages of one peer and class keep their order; one that was handed over may still be lost with its
    /// connection.
    package func send(_ message: ByteBuffer, to peer: PeerID, class trafficClass: TrafficClass) async throws {
        guard message.readableBytes <= Limits.streamMessageBytes else {
            throw StreamError.tooLarge(message.readableBytes)
        }
        guard let link = link(peer, trafficClass, mustBeKnown: true) else { throw StreamError.unknownPeer(peer) }
        try Task.checkCancellation()
        let id = link.reserveID()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outgoing = OutgoingMessage(id: id, body: message, continuation: continuation)
                if link.enqueue(outgoing) { startDialling(link) }
                if Task.isCancelled { link.cancel(id) }
            }
        } onCancel: {
            link.cancel(id)
        }
    }

    /// Sends bytes as `send` does a buffer.
    package func send(_ message: [UInt8], to peer: PeerID, class trafficClass: TrafficClass) async throws {
        try await send(ByteBuffer(bytes: message), to: peer, class: trafficClass)
    }

    /// A peer's datagrams come from there: of its addresses those of this host are tried first.
    package func heard(_ peer: PeerID, at address: NetworkAddress) {
        state.withLock { if $0.contacts[peer] != nil { $0.heardAt[peer] = address } }
    }

    /// Closes all streams with a peer and fails what waits; a later send dials again.
    package func disconnect(_ peer: PeerID) {
        let links = state.withLock { state in state.order.filter { $0.peer == peer }.compactMap { state.links[$0] } }
        for link in links { link.closeAll() }
    }

    /// What the streams to each peer have done, the classes together.
    package var progress: [DeliveryMeter.Progress] {
        var all: [DeliveryMeter.Progress] = []
        for link in state.withLock({ state in state.order.compactMap { state.links[$0] } }) {
            let (bytes, since) = link.progress
            if let place = all.firstIndex(where: { $0.peer == link.peer }) {
                all[place].bytes += bytes
                all[place].saturatedSince = [all[place].saturatedSince, since].compactMap { $0 }.min()
            } else {
                all.append(DeliveryMeter.Progress(peer: link.peer, bytes: bytes, saturatedSince: since))
            }
        }
        return all
    }

    /// What passed so far, in the order in which peers and classes were first used.
    package var counters: [StreamCounters] {
        state.withLock { state in state.order.compactMap { state.links[$0] } }.map(\.counters)
    }

    /// Stops listening and closes everything.
    package func close() async {
        let (server, links) = state.withLock { state in
            state.isClosed = true
            return (state.server.take(), state.order.compactMap { state.links[$0] })
        }
        try? await server?.close().get()
        for link in links { link.closeAll() }
    }

    // MARK: Links

    private func link(_ peer: PeerID, _ trafficClass: TrafficClass, mustBeKnown: Bool) -> StreamLink? {
        state.withLock { state -> StreamLink? in
            guard !state.isClosed, state.policy.keeps(peer) else { return nil }
            let key = LinkKey(peer: peer, trafficClass: trafficClass)
            if let link = state.links[key] { return link }
            guard !mustBeKnown || state.contacts[peer] != nil else { return nil }
            let link = StreamLink(
                peer: peer, trafficClass: trafficClass, inboxLimit: configuration.inboxBytes,
                onMessage: { [weak self] peer, trafficClass, message in
                    // What came before a peer was revoked may still have waited here.
                    guard let self, self.state.withLock({ $0.policy.keeps(peer) }) else { return }
                    await self.onMessage(peer, trafficClass, message)
                })
            state.links[key] = link
            state.order.append(key)
            return link
        }
    }

    private func makeHandler(
        _ link: StreamLink, _ keys: StreamKeys, isDialledByPeer: Bool, eventLoop: any EventLoop
    ) -> StreamHandler {
        StreamHandler(
            link: link, keys: keys, isDialledByPeer: isDialledByPeer, idleAfter: configuration.idleAfter,
            shaper: shaper, eventLoop: eventLoop
        ) { [weak self] connection, unsent in
            if link.closed(connection, unsent: unsent) {
                if let self { self.startDialling(link) } else { link.failOutbox(.closed) }
            }
        }
    }

    // MARK: Dialling

    private func startDialling(_ link: StreamLink) { Task { await dial(link) } }

    private func dial(_ link: StreamLink) async {
        let giveUpAt = MonotonicClock.now + configuration.giveUpAfter
        var pause = configuration.firstRetry
        var reason = "it has no known address"
        while link.wantsConnection() {
            if state.withLock({ $0.isClosed }) { return link.failOutbox(.closed) }
            if let contact = state.withLock({ $0.policy.keeps(link.peer) ? $0.contacts[link.peer] : nil }) {
                do { if try await connect(link, contact) { return } } catch { reason = "\(error)" }
            }
            guard MonotonicClock.now < giveUpAt else {
                return link.failOutbox(.unreachable(link.peer, reason: reason))
            }
            // Half of the pause at random, so that two sides that refuse each other fall out of step.
            try? await Task.sleep(for: pause * Double.random(in: 0.5...1))
            pause = min(pause * 2, configuration.maximumRetry)
        }
    }

    private func raiseFloor(of link: StreamLink, to newest: UInt64) {
        let key = LinkKey(peer: link.peer, trafficClass: link.trafficClass)
        state.withLock { $0.helloFloors[key] = newest }
    }

    /// The wall clock in milliseconds, made strictly growing, and greater than what the peer is known to have seen.
    private func helloTimestamp(for link: StreamLink) -> UInt64 {
        let key = LinkKey(peer: link.peer, trafficClass: link.trafficClass)
        return state.withLock { state in
            state.lastTimestamp = max(state.lastTimestamp + 1, MonotonicClock.wallMilliseconds)
            guard let floor = state.helloFloors[key], state.lastTimestamp <= floor else { return state.lastTimestamp }
            // Kept with the link: of a peer's word nothing but its own streams may depend.
            let next = floor < .max ? floor + 1 : floor
            state.helloFloors[key] = next
            return next
        }
    }

    /// Connects to whichever of the contact's addresses answers first and proves to be the peer; `false` if there is no
    /// address, or no need any more.
    private func connect(_ link: StreamLink, _ contact: Contact) async throws -> Bool {
        var addresses = state.withLock { $0.candidates(contact) }
        let race = AddressRace(stagger: CandidateAddresses.stagger) { try await self.open($0) }
        while !addresses.isEmpty, link.wantsConnection() {
            let (channel, address) = try await race.run(addresses)
            do {
                try await greet(channel, link, contact, address)
                return true
            } catch {
                channel.close(promise: nil)
                if case StreamHandshakeError.outdated(let newest) = error { raiseFloor(of: link, to: newest) }
                addresses.removeAll { $0 == address }
                // Another machine may have the address where we are.
                guard !addresses.isEmpty else { throw AddressRace.Failure(address: address, underlying: error) }
            }
        }
        return false
    }

    private func open(_ address: NetworkAddress) async throws -> any Channel {
        guard let socket = address.socketAddress else { throw AddressError(text: address.description) }
        let connecting = ConnectingChannel()
        return try await withTaskCancellationHandler {
            try await ClientBootstrap(group: group.next())
                .connectTimeout(.nanoseconds(configuration.attemptTimeout.nanoseconds))
                .channelInitializer { channel in
                    connecting.set(channel)
                    return channel.eventLoop.makeCompletedFuture {
                        try SocketTuning.apply(to: channel, remote: address, isShaped: self.shaper != nil)
                    }
                }
                .connect(to: socket).get()
        } onCancel: {
            connecting.cancel()
        }
    }

    private func greet(
        _ channel: any Channel, _ link: StreamLink, _ contact: Contact, _ address: NetworkAddress
    ) async throws {
        let loop = channel.eventLoop
        let done = loop.makePromise(of: Void.self)
        link.beganHandshake(channel)
        loop.execute {
            do { try self.prepare(channel, link, contact, address, done) } catch { done.fail(error) }
        }
        let alarm = loop.scheduleTask(in: .nanoseconds(configuration.attemptTimeout.nanoseconds)) {
            channel.close(promise: nil)
        }
        defer { alarm.cancel() }
        try await done.futureResult.get()
    }

    private func prepare(
        _ channel: any Channel, _ link: StreamLink, _ contact: Contact, _ address: NetworkAddress,
        _ done: EventLoopPromise<Void>
    ) throws {
        guard channel.isActive else { throw ChannelError.eof }
        guard let ephemeral = AgreementKey(secret: SystemEntropy().secretBytes(count: 32)) else {
            throw HandshakeError.weakKey
        }
        let dialler = try StreamDialler(
            identity: identity, secret: secret, remote: contact.peer, remoteKey: contact.agreementKey,
            channel: link.trafficClass.rawValue, offered: configuration.suites,
            timestamp: helloTimestamp(for: link), ephemeral: ephemeral)
        let loop = channel.eventLoop
        let pipeline = channel.pipeline.syncOperations
        if let shaper {
            try pipeline.addHandler(
                ShapedStreamHandler(shaper: shaper, peer: shaper.peer(at: address), eventLoop: loop))
        }
        try pipeline.addHandler(
            DiallingHandler(dialler: dialler, done: done) { keys in
                self.makeHandler(link, keys, isDialledByPeer: false, eventLoop: loop)
            })
    }

    // MARK: Answering

    private func accept(_ channel: any Channel) throws {
        guard let socket = channel.remoteAddress, let remote = NetworkAddress(socket)?.withPort(0), reserve(remote)
        else { throw ChannelError.inappropriateOperationForState }
        let loop = channel.eventLoop
        let handler = AnsweringHandler(
            eventLoop: loop, timeout: configuration.helloTimeout, release: { self.release(remote) },
            answer: { self.answer($0, on: loop) })
        do {
            try SocketTuning.apply(to: channel, remote: remote, isShaped: shaper != nil)
            let pipeline = channel.pipeline.syncOperations
            if let shaper {
                try pipeline.addHandler(ShapedStreamHandler(shaper: shaper, peer: nil, eventLoop: loop))
            }
            try pipeline.addHandler(handler)
        } catch {
            release(remote)
            throw error
        }
    }

    /// Takes one of the places for connections that have not said who they are.
    private func reserve(_ address: NetworkAddress) -> Bool {
        state.withLock { state in
            guard !state.isClosed, state.pending < configuration.pendingHellos,
                state.pendingByAddress[address, default: 0] < configuration.pendingHellosPerAddress
            else { return false }
            state.pending += 1
            state.pendingByAddress[address, default: 0] += 1
            return true
        }
    }

    private func release(_ address: NetworkAddress) {
        state.withLock { state in
            state.pending -= 1
            let left = state.pendingByAddress[address, default: 1] - 1
            state.pendingByAddress[address] = left > 0 ? left : nil
        }
    }

    private func answer(_ hello: [UInt8], on loop: any EventLoop) -> (reply: [UInt8], handler: StreamHandler?)? {
        guard answerer.isFromSwarm(hello), let ephemeral = AgreementKey(secret: SystemEntropy().secretBytes(count: 32))
        else { return nil }
        do throws(StreamHandshakeError) {
            let answer = try answerer.answer(hello, preferred: configuration.suites, ephemeral: ephemeral) { opening in
                state.withLock { $0.policy.answers(opening.peer) ? $0.hellos.newest(beyond: opening) : nil }
            }
            guard let trafficClass = TrafficClass(rawValue: answer.opening.channel),
                state.withLock({ $0.policy.answers(answer.opening.peer) && $0.hellos.admit(answer.opening) }),
                let link = link(answer.opening.peer, trafficClass, mustBeKnown: false),
                !link.refusesHello(own: identity.peer)
            else { return nil }
            return (answer.welcome, makeHandler(link, answer.keys, isDialledByPeer: true, eventLoop: loop))
        } catch {
            if case .outdatedHello(let reply) = error { return (reply, nil) }
            return nil
        }
    }
}
