internal import Logging
internal import NIOCore
internal import Noise
internal import Overlay
internal import Primitives
internal import Synchronization

/// Connects endpoint, overlay driver and node, which need each other: each is plugged in when it exists, and what comes
/// before that is dropped, as it would be before the sockets are bound.
final class NodeWiring: Sendable {
    private let driver = Mutex<OverlayDriver?>(nil)
    private let node = Mutex<Node?>(nil)
    private let hub = Mutex<StreamHub?>(nil)
    let overlayStream: AsyncStream<OverlayEvent>
    let overlayEvents: AsyncStream<OverlayEvent>.Continuation

    init() { (overlayStream, overlayEvents) = AsyncStream.makeStream(of: OverlayEvent.self) }

    func connect(driver: OverlayDriver) { self.driver.withLock { $0 = driver } }

    func connect(node: Node) { self.node.withLock { $0 = node } }

    func connect(hub: StreamHub) { self.hub.withLock { $0 = hub } }

    /// Breaks the cycles.
    func disconnect() {
        hub.withLock { $0 = nil }
        driver.withLock { $0 = nil }
        node.withLock { $0 = nil }
        overlayEvents.finish()
    }

    /// On the datagram endpoint's event loop.
    func receive(_ event: UDPEndpoint.Event) {
        guard let driver = driver.withLock({ $0 }) else { return }
        switch event {
        case .payload(let payload, let peer, _, let receivedAt): driver.deliver(payload, from: peer, at: receivedAt)
        case .established(let peer, _, let address), .moved(let peer, let address):
            hub.withLock { $0 }?.heard(peer, at: address)
            driver.input(.sessionEstablished(peer, address))
        case .failed(let peer, let reason):
            if reason == .notAdmitted { driver.input(.refused(by: peer)) }
            driver.input(.sessionFailed(peer))
        case .refused(let peer): driver.input(.knocked(peer))
        }
    }

    /// In the order of the stream; the next message of the stream waits until this returns.
    func receive(_ message: ByteBuffer, from peer: PeerID, trafficClass: TrafficClass) async {
        guard let node = node.withLock({ $0 }) else { return }
        await node.receive(message, from: peer, trafficClass: trafficClass)
    }
}
