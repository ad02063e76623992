package import NIOCore
internal import NIOPosix
package import Noise
package import Primitives
internal import Synchronization
package import Wire

/// One UDP port with all its sessions.
///
/// Everything runs on one event loop, which may be the caller's own: calls made there take effect at once, calls from
/// elsewhere are handed over in order. Events come on that loop.
package final class UDPEndpoint: Sendable {
    /// What comes out of the endpoint.
    package enum Event: Sendable {
        /// An authentic payload; `receivedAt` is when the datagram came to this machine, as far as the system tells.
        case payload([UInt8], from: PeerID, address: NetworkAddress, receivedAt: Instant)
        /// The first session with a peer, or the first after a pause.
        case established(PeerID, AgreementPublicKey, NetworkAddress)
        /// A peer with a session is at another address now.
        case moved(PeerID, NetworkAddress)
        /// Payloads for a peer could not be sent and are gone.
        case failed(PeerID, SessionFailure)
        /// A peer that is not admitted was turned away.
        case refused(PeerID)
    }

    package let eventLoop: any EventLoop
    private let shell: NIOLoopBound<SessionShell>
    private let port = Mutex(Port())

    /// The channel of the bound port.
    private struct Port {
        var channel: (any Channel)?
        var isClosed = false
    }

    /// An endpoint that is not bound yet. `onEvent` is called on the event loop and must not block.
    package init(
        identity: LocalIdentity, secret: SwarmSecret, eventLoop: any EventLoop,
        configuration: SessionConfiguration = SessionConfiguration(), entropy: any EntropySource = SystemEntropy(),
        shaper: Shaper? = nil, onEvent: @escaping @Sendable (Event) -> Void
    ) async throws {
        self.eventLoop = eventLoop
        shell = try await eventLoop.submit {
            let table = SessionTable(
                identity: identity, secret: secret, configuration: configuration, entropy: entropy,
                wallClockMilliseconds: MonotonicClock.wallMilliseconds, at: MonotonicClock.now)
            return NIOLoopBound(
                SessionShell(table: table, eventLoop: eventLoop, shaper: shaper, onEvent: onEvent),
                eventLoop: eventLoop)
        }.get()
    }

    /// Binds the port and begins to serve; returns the address with the port that the system chose if it was 0.
    package func bind(to address: NetworkAddress) async throws -> NetworkAddress {
        let channel = try await open(address).get()
        guard let local = channel.localAddress, let bound = NetworkAddress(local) else {
            throw AddressError(text: address.description)
        }
        keepOpen(channel, at: bound)
        return bound
    }

    private func open(_ address: NetworkAddress) -> EventLoopFuture<any Channel> {
        let shell = shell
        let socket: TimedSocket
        do {
            socket = try TimedSocket(boundTo: address, bufferBytes: DatagramSizes.socketBuffer)
        } catch {
            return eventLoop.makeFailedFuture(error)
        }
        return DatagramBootstrap(group: eventLoop)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: DatagramSizes.slot))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = DatagramHandler(shell: shell.value, socket: socket)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .withBoundSocket(socket.handle)
    }

    /// Opens the port again whenever it closes by itself: NIO closes a datagram channel on most errors of a send (no
    /// route, a firewall's refusal), and those come and go with the network.
    private func keepOpen(_ channel: any Channel, at local: NetworkAddress) {
        let isClosed = port.withLock { port in
            if !port.isClosed { port.channel = channel }
            return port.isClosed
        }
        if isClosed { return channel.close(promise: nil) }
        channel.closeFuture.whenComplete { [weak self] _ in self?.reopen(at: local) }
    }

    private func reopen(at local: NetworkAddress) {
        guard !port.withLock({ $0.isClosed }) else { return }
        // The pause keeps a send that fails again and again from taking all of the processor.
        eventLoop.scheduleTask(in: .milliseconds(50)) { [weak self] in
            guard let self, !port.withLock({ $0.isClosed }) else { return }
            open(local).whenComplete { [weak self] result in
                switch result {
                case .success(let channel): self?.keepOpen(channel, at: local)
                case .failure: self?.reopen(at: local)
                }
            }
        }
    }

    /// Sends a payload of at most `Limits.datagramPayloadBytes`; waits for a session if there is none.
    ///
    /// Payloads sent from inside an event's handler count as sent at the event's time, and those sent in one turn of the
    /// event loop as sent together, so that an emulated network does not see how long this machine takes over them. A
    /// caller elsewhere may say the time itself.
    package func send(_ payload: [UInt8], to peer: PeerID, at now: Instant? = nil) {
        perform(.send(payload, to: peer), at: now)
    }

    /// Tells how to reach a peer.
    package func learn(_ contact: Contact) { perform(.learn(contact), at: nil) }

    /// Ends all sessions with a peer.
    package func forget(_ peer: PeerID) { perform(.forget(peer), at: nil) }

    /// This machine has got other addresses: shows them to all peers with a session.
    package func networkChanged() { perform(.networkChanged, at: nil) }

    /// Answers and keeps only the peers of the policy from now on.
    package func restrict(to policy: AdmissionPolicy) { perform(.restrict(policy), at: nil) }

    /// Makes new keys with a peer that did not answer.
    package func renew(_ peer: PeerID) { perform(.renew(peer), at: nil) }

    /// Counters of the sessions.
    package func counters() async -> SessionCounters {
        let shell = shell
        return (try? await eventLoop.submit { shell.value.table.counters }.get()) ?? SessionCounters()
    }

    /// Where datagrams to a peer go, if it has written.
    package func address(of peer: PeerID) async -> NetworkAddress? {
        let shell = shell
        return try? await eventLoop.submit { shell.value.table.address(of: peer) }.get()
    }

    /// Closes the port. Events stop.
    package func close() async {
        let channel = port.withLock { port in
            port.isClosed = true
            return port.channel.take()
        }
        let shell = shell
        eventLoop.execute { shell.value.stop() }
        try? await channel?.close().get()
    }

    private func perform(_ input: SessionTable.Input, at now: Instant?) {
        if eventLoop.inEventLoop { return shell.value.handle(input, at: now ?? shell.value.turnTime()) }
        let shell = shell
        eventLoop.execute { shell.value.handle(input, at: now ?? shell.value.turnTime()) }
    }
}

private enum DatagramSizes {
    /// Room for one datagram, with what a shaper adds to it.
    static let slot = 2048
    /// From so many full datagrams in one turn, they leave in bulk: every packet train does. A sender that enters the
    /// kernel for each packet can be preempted after each.
    static let bulk = 8
    /// Room for a packet train at line rate while this process waits for a processor.
    static let socketBuffer = 4 << 20
}

/// Performs the effects of the session table; lives on the endpoint's event loop.
final class SessionShell {
    let table: SessionTable
    private let eventLoop: any EventLoop
    private let onEvent: @Sendable (UDPEndpoint.Event) -> Void
    private let shaper: Shaper?
    private var held = HeldDatagrams()
    private var addresses = SocketAddressCache()
    private var context: ChannelHandlerContext?
    private var socket: TimedSocket?
    /// Full datagrams to one address, which leave in bulk if they become many in one turn of the loop: a packet train.
    private var bulk: (address: NetworkAddress, datagrams: [[UInt8]])?
    private var effects: [SessionTable.Effect] = []
    private var timer: LoopTimer
    private var isReading = false
    private var isFlushScheduled = false
    /// The time of the event that is being handled.
    private var eventTime: Instant?
    /// The time of the first send of this turn of the loop.
    private var batchTime: Instant?

    init(
        table: SessionTable, eventLoop: any EventLoop, shaper: Shaper?,
        onEvent: @escaping @Sendable (UDPEndpoint.Event) -> Void
    ) {
        self.table = table
        self.eventLoop = eventLoop
        self.shaper = shaper
        self.onEvent = onEvent
        timer = LoopTimer(eventLoop: eventLoop)
    }

    func start(_ context: ChannelHandlerContext, _ socket: TimedSocket) {
        self.context = context
        self.socket = socket
        addresses.sendsFromIPv6 = context.localAddress?.protocol == .inet6
        table.sendsIPv6 = addresses.sendsFromIPv6
        timer.action = { [unowned self] in wake() }
        rearm()
    }

    func stop() {
        context = nil
        socket = nil
        timer.cancel()
        timer.action = nil
    }

    /// What counts as now for a send that comes without a time.
    func turnTime() -> Instant {
        if let time = eventTime ?? batchTime { return time }
        let now = MonotonicClock.now
        if !isReading { batchTime = now }
        scheduleFlush()
        return now
    }

    func handle(_ input: SessionTable.Input, at now: Instant) {
        let outerTime = eventTime
        eventTime = now
        defer { eventTime = outerTime }
        // Events may come back here from inside their handler: the effects of each input have their own array.
        var effects = self.effects
        self.effects = []
        table.handle(input, at: now, into: &effects)
        for effect in effects {
            switch effect {
            case .transmit(let bytes, let address): transmit(bytes, to: address, at: now)
            case .deliver(let payload, let peer, let address):
                onEvent(.payload(payload, from: peer, address: address, receivedAt: now))
            case .refused(let peer): onEvent(.refused(peer))
            case .established(let peer, let key, let address): onEvent(.established(peer, key, address))
            case .moved(let peer, let address): onEvent(.moved(peer, address))
            case .failed(let peer, let reason): onEvent(.failed(peer, reason))
            }
        }
        effects.removeAll(keepingCapacity: true)
        self.effects = effects
        if !isReading { rearm() }
    }

    /// Takes in what there is to read: a datagram that NIO has read, and those behind it.
    func read(_ envelope: AddressedEnvelope<ByteBuffer>) {
        isReading = true
        socket?.drain(slotBytes: DatagramSizes.slot) { arrival in
            guard let source = addresses.address(envelope.remoteAddress) else { return }
            receive(Array(envelope.data.readableBytesView), from: source, at: arrival)
        } isOpen: {
            context != nil
        } next: { datagram, source, arrival in
            receive(datagram, from: source, at: arrival)
        }
    }

    private func receive(_ datagram: [UInt8], from source: NetworkAddress, at arrival: Instant) {
        guard let shaper else { return handle(.datagram(datagram, from: source), at: arrival) }
        if let arrival = shaper.unwrap(datagram, from: source) { held.insert(arrival) }
    }

    func readComplete() {
        isReading = false
        if shaper != nil { releaseHeld() }
        flush()
        rearm()
    }

    private func wake() {
        let now = MonotonicClock.now
        if shaper != nil { releaseHeld() }
        if let deadline = table.nextDeadline, deadline <= now { handle(.timer, at: now) }
        rearm()
    }

    /// Hands over what the emulated network has delivered by now, with the exact times of its deliveries.
    private func releaseHeld() {
        guard let shaper else { return }
        let now = MonotonicClock.now
        held.advance(to: now, through: shaper)
        while let next = held.takeDelivered(by: now) {
            handle(.datagram(next.bytes, from: next.source), at: next.deliveredAt)
        }
    }

    private func rearm() {
        let deadlines = [table.nextDeadline, held.nextDeadline].compactMap { $0 }
        timer.set(deadlines.min())
    }

    private func transmit(_ bytes: [UInt8], to address: NetworkAddress, at now: Instant) {
        if let shaper {
            if let wrapped = shaper.wrap(bytes, to: address, at: now) { write(wrapped, to: address) }
        } else if bytes.count == Limits.datagramBytes, bulk.map({ $0.address == address }) ?? true {
            bulk = bulk ?? (address, [])
            bulk?.datagrams.append(bytes)
        } else {
            write(bytes, to: address)
        }
        scheduleFlush()
    }

    private func write(_ datagram: [UInt8], to address: NetworkAddress) {
        guard let context, let socket = addresses.socket(address) else { return }
        var buffer = context.channel.allocator.buffer(capacity: datagram.count)
        buffer.writeBytes(datagram)
        context.write(
            NIOAny(AddressedEnvelope(remoteAddress: socket, data: buffer)), promise: nil)
    }

    /// Sends all that was written, then the bulk.
    private func flush() {
        guard let bulk = bulk.take() else {
            context?.flush()
            return
        }
        var rest = bulk.datagrams[...]
        if rest.count >= DatagramSizes.bulk, let socket {
            context?.flush()
            rest = rest.dropFirst(
                socket.sendInBulk(rest, to: bulk.address, isIPv6Port: addresses.sendsFromIPv6))
        }
        for datagram in rest { write(datagram, to: bulk.address) }
        context?.flush()
    }

    /// One flush for everything that is written in this turn of the loop.
    private func scheduleFlush() {
        guard !isReading, !isFlushScheduled else { return }
        isFlushScheduled = true
        eventLoop.assumeIsolated().execute { [self] in
            isFlushScheduled = false
            batchTime = nil
            flush()
        }
    }
}

/// Passes datagrams from the channel to the shell.
private final class DatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    private let shell: SessionShell
    private let socket: TimedSocket

    init(shell: SessionShell, socket: TimedSocket) {
        self.shell = shell
        self.socket = socket
    }

    func channelActive(context: ChannelHandlerContext) {
        shell.start(context, socket)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        shell.stop()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { shell.read(unwrapInboundIn(data)) }

    func channelReadComplete(context: ChannelHandlerContext) { shell.readComplete() }

    /// An unreachable destination is not an error of the port; the session's own timers notice silence.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
