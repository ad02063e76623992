import Foundation
import Synchronization

/// Carries datagrams between one client and a node, as a router on the path would, and records them.
final class DatagramRelay: Sendable {
    struct Recorded: Sendable {
        let bytes: [UInt8]
        let toServer: Bool
    }

    private struct State {
        var recorded: [Recorded] = []
        var clientPort: UInt16?
        var stopped = false
    }

    /// The sockets are used from the relay's thread and for sending from the test's.
    // Proof: PlainSocket holds one constant descriptor, and sending and receiving on it are safe from any thread.
    private struct Sockets: @unchecked Sendable {
        let front: PlainSocket
        let back: PlainSocket
    }

    private let sockets: Sockets
    private let target: UInt16
    private let state = Mutex(State())

    /// The port that clients send to.
    let port: UInt16

    init(target: UInt16) throws {
        sockets = Sockets(front: try PlainSocket(.datagram), back: try PlainSocket(.datagram))
        sockets.front.setReceiveTimeout(seconds: 0.1)
        sockets.back.setReceiveTimeout(seconds: 0.1)
        self.target = target
        port = sockets.front.port
        for towardsServer in [true, false] {
            Thread { [self] in carry(toServer: towardsServer) }.start()
        }
    }

    var recorded: [Recorded] { state.withLock { $0.recorded } }

    /// Sends a datagram as if it came from the other side.
    func send(_ bytes: [UInt8], toServer: Bool) {
        if toServer {
            sockets.back.send(bytes, toPort: target)
        } else if let client = state.withLock({ $0.clientPort }) {
            sockets.front.send(bytes, toPort: client)
        }
    }

    func stop() { state.withLock { $0.stopped = true } }

    private func carry(toServer: Bool) {
        let source = toServer ? sockets.front : sockets.back
        while !state.withLock({ $0.stopped }) {
            guard let (bytes, from) = source.receive() else { continue }
            state.withLock { state in
                if toServer { state.clientPort = from }
                state.recorded.append(Recorded(bytes: bytes, toServer: toServer))
            }
            send(bytes, toServer: toServer)
        }
    }
}
