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

    /// A socket that is used from the relay's threads and for sending from the test's.
    // Proof: PlainSocket holds one constant descriptor, and sending and receiving on it are safe from any thread.
    private struct Side: @unchecked Sendable {
        let socket: PlainSocket

        init() throws {
            socket = try PlainSocket(.datagram)
            socket.setReceiveTimeout(seconds: 0.1)
        }
    }

    private let front: Side
    /// Towards the server; the router's mapping of the client.
    private let back: Mutex<Side>
    private let target: UInt16
    private let state = Mutex(State())

    /// The port that clients send to.
    let port: UInt16

    init(target: UInt16) throws {
        front = try Side()
        back = Mutex(try Side())
        self.target = target
        port = front.socket.port
        for towardsServer in [true, false] {
            Thread { [self] in carry(toServer: towardsServer) }.start()
        }
    }

    var recorded: [Recorded] { state.withLock { $0.recorded } }

    /// The port from which the server gets the client's datagrams.
    var mappedPort: UInt16 { back.withLock { $0 }.socket.port }

    /// Forgets the mapping, as a router does that restarts: the server sees another port from now on, and what it sends to
    /// the old one is lost.
    func rebind() throws {
        let fresh = try Side()
        back.withLock { $0 = fresh }
    }

    /// Sends a datagram as if it came from the other side.
    func send(_ bytes: [UInt8], toServer: Bool) {
        if toServer {
            back.withLock { $0 }.socket.send(bytes, toPort: target)
        } else if let client = state.withLock({ $0.clientPort }) {
            front.socket.send(bytes, toPort: client)
        }
    }

    func stop() { state.withLock { $0.stopped = true } }

    private func carry(toServer: Bool) {
        while !state.withLock({ $0.stopped }) {
            let source = toServer ? front : back.withLock { $0 }
            guard let (bytes, from) = source.socket.receive() else { continue }
            state.withLock { state in
                if toServer { state.clientPort = from }
                state.recorded.append(Recorded(bytes: bytes, toServer: toServer))
            }
            send(bytes, toServer: toServer)
        }
    }
}
