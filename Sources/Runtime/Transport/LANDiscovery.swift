package import NIOCore
internal import NIOPosix
package import Noise
internal import Primitives
internal import Synchronization
package import Wire

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// Finds peers of the swarm on the local network by multicast, so that two machines on one desk need no address.
///
/// Announces itself at once, then after 1, 2, 4, … seconds up to every minute, and when a newcomer asks.
package final class LANDiscovery: Sendable {
    /// The port after the default port of a node.
    package static let defaultPort: UInt16 = NodeConfiguration.defaultPort + 1
    /// A group of the administratively scoped block (RFC 2365), which routers do not pass on.
    private static let group = NetworkAddress(ipv4: (239, 255, 87, 70), port: 0)
    private static let longestPause: Duration = .seconds(60)
    /// Answers to questions are no more frequent than this.
    private static let answerPause: Duration = .milliseconds(500)
    /// Peers whose greatest timestamp is remembered.
    private static let memory = 4096

    private struct State {
        var contact: Contact
        var channel: (any Channel)?
        var announcer: Task<Void, Never>?
        var lastTimestamp: UInt64 = 0
        var lastAnswer: Instant?
        var greatest: [PeerID: UInt64] = [:]
    }

    private let secret: SwarmSecret
    private let port: UInt16
    private let eventLoop: any EventLoop
    private let onContact: @Sendable (Contact) -> Void
    private let state: Mutex<State>

    /// Prepares to announce `contact`. `onContact` is called for each authentic announcement of another peer.
    package init(
        secret: SwarmSecret, contact: Contact, port: UInt16 = LANDiscovery.defaultPort, eventLoop: any EventLoop,
        onContact: @escaping @Sendable (Contact) -> Void
    ) {
        self.secret = secret
        self.port = port
        self.eventLoop = eventLoop
        self.onContact = onContact
        state = Mutex(State(contact: contact))
    }

    /// Joins the group on every interface that can and begins to announce; throws if the port cannot be had or no
    /// interface takes part. A node runs as well without.
    package func start() async throws {
        var bootstrap = DatagramBootstrap(group: eventLoop).channelOption(.socketOption(.so_reuseaddr), value: 1)
        #if os(macOS)
            bootstrap = bootstrap.channelOption(.socketOption(NIOBSDSocket.Option(rawValue: SO_REUSEPORT)), value: 1)
        #endif
        let channel = try await bootstrap.channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(
                    AnnouncementHandler { [weak self] in self?.receive($0) })
            }
        }.bind(host: "0.0.0.0", port: Int(port)).get()
        guard let group = Self.group.socketAddress, let multicast = channel as? any MulticastChannel else {
            try await channel.close()
            throw DiscoveryError.noInterface
        }
        guard try await Self.join(group, multicast) > 0 else {
            try await channel.close()
            throw DiscoveryError.noInterface
        }
        let announcer = Task { [weak self] in
            var pause = Duration.seconds(1)
            while !Task.isCancelled {
                try? await Task.sleep(for: pause)
                guard let self, !Task.isCancelled else { return }
                announce(isQuestion: false)
                pause = min(pause * 2, Self.longestPause)
            }
        }
        state.withLock { state in
            state.channel = channel
            state.announcer = announcer
        }
        announce(isQuestion: true)
    }

    /// Joins the group on every interface on which it is not joined yet; returns on how many.
    private static func join(_ group: SocketAddress, _ channel: any MulticastChannel) async throws -> Int {
        var joined = 0
        for device in try System.enumerateDevices() where device.multicastSupported || device.address.isLoopback {
            guard case .v4? = device.address else { continue }
            // Fails where it has been joined before.
            if (try? await channel.joinGroup(group, device: device).get()) != nil { joined += 1 }
        }
        return joined
    }

    /// Announces other addresses from now on.
    package func update(_ contact: Contact) { state.withLock { $0.contact = contact } }

    /// After a change of the machine's network: joins the group on interfaces that have come, says where this peer is now,
    /// and asks who else is there.
    package func refresh() async {
        guard let multicast = state.withLock({ $0.channel }) as? any MulticastChannel,
            let group = Self.group.socketAddress
        else { return }
        _ = try? await Self.join(group, multicast)
        announce(isQuestion: true)
    }

    /// Leaves the group.
    package func close() async {
        let (channel, announcer) = state.withLock { ($0.channel.take(), $0.announcer.take()) }
        announcer?.cancel()
        try? await channel?.close().get()
    }

    private func announce(isQuestion: Bool) {
        let (channel, datagram) = state.withLock { state in
            state.lastTimestamp = max(state.lastTimestamp + 1, MonotonicClock.wallMilliseconds)
            let message = DiscoveryMessage(
                contact: state.contact, timestamp: state.lastTimestamp, isQuestion: isQuestion)
            return (state.channel, message.sealed(with: secret))
        }
        guard let channel, let target = Self.group.withPort(port).socketAddress else { return }
        channel.writeAndFlush(
            AddressedEnvelope(remoteAddress: target, data: ByteBuffer(bytes: datagram)), promise: nil)
    }

    private func receive(_ datagram: [UInt8]) {
        guard let message = DiscoveryMessage(datagram: datagram, secret: secret) else { return }
        let now = MonotonicClock.now
        let (isNew, answers) = state.withLock { state -> (Bool, Bool) in
            let peer = message.contact.peer
            guard peer != state.contact.peer, message.timestamp > state.greatest[peer, default: 0] else {
                return (false, false)
            }
            if state.greatest.count >= Self.memory { state.greatest.removeAll(keepingCapacity: true) }
            state.greatest[peer] = message.timestamp
            let mayAnswer = state.lastAnswer.map { now - $0 >= Self.answerPause } ?? true
            guard message.isQuestion, mayAnswer else { return (true, false) }
            state.lastAnswer = now
            return (true, true)
        }
        if answers { announce(isQuestion: false) }
        if isNew { onContact(message.contact) }
    }
}

/// Why there is no discovery on the local network.
package enum DiscoveryError: Error, Hashable, Sendable, CustomStringConvertible {
    case noInterface

    package var description: String {
        "no network interface takes part in multicast; peers on the local network will not be found by themselves"
    }
}

extension SocketAddress? {
    fileprivate var isLoopback: Bool { self.flatMap { NetworkAddress($0) }?.isLoopback ?? false }
}

private final class AnnouncementHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let receive: @Sendable ([UInt8]) -> Void

    init(receive: @escaping @Sendable ([UInt8]) -> Void) { self.receive = receive }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        receive(Array(unwrapInboundIn(data).data.readableBytesView))
    }

    /// A network that went away is not the end; announcements go on.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
