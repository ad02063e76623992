package import Primitives

/// What a stream carries. Each class of each peer has its own TCP connection, so that classes cannot block each other.
package enum TrafficClass: UInt8, CaseIterable, Sendable {
    case control = 0
    case activations
    case gradients
    case shards
}

/// Why a message could not be sent.
package enum StreamError: Error, Hashable, Sendable {
    /// No contact was learnt for the peer.
    case unknownPeer(PeerID)
    /// No connection could be made in time.
    case unreachable(PeerID, reason: String)
    /// The message is longer than `Limits.streamMessageBytes`.
    case tooLarge(Int)
    /// The peer was disconnected or the hub closed while the message waited.
    case closed
}

extension StreamError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unknownPeer(let peer): "no contact is known for \(peer.short); learn one before sending"
        case .unreachable(let peer, let reason):
            "no stream to \(peer.short) could be opened: \(reason); check that it runs and accepts TCP on its port"
        case .tooLarge(let count): "a message of \(count) bytes is too long for a stream; cut it"
        case .closed: "the connection was closed before the message was sent"
        }
    }
}

/// What passed over the streams of one peer and class.
package struct StreamCounters: Hashable, Sendable {
    package let peer: PeerID
    package let trafficClass: TrafficClass
    package var bytesSent: UInt64 = 0
    package var bytesReceived: UInt64 = 0
    package var messagesSent: UInt64 = 0
    package var messagesReceived: UInt64 = 0
    /// Connections opened, so reconnections plus one.
    package var connections: UInt64 = 0
}

/// The bounds and timers of a stream hub.
package struct StreamConfiguration: Sendable {
    /// How long sends wait for a connection before they fail. (A guess: longer than a peer's restart.)
    package var giveUpAfter: Duration = .seconds(10)
    /// One attempt to connect and shake hands.
    package var attemptTimeout: Duration = .seconds(5)
    package var firstRetry: Duration = .milliseconds(50)
    package var maximumRetry: Duration = .seconds(1)
    /// A connection that carried nothing for so long is closed by its dialler.
    package var idleAfter: Duration = .seconds(300)
    /// A stranger has so long to show a hello.
    package var helloTimeout: Duration = .seconds(5)
    /// Connections that have not shown a hello yet: in all, and of one address.
    package var pendingHellos = 256
    package var pendingHellosPerAddress = 32
    /// Decoded messages that may wait for the handler before the socket is no longer read: a few milliseconds of a fast
    /// link, so that a busy processor does not stop it.
    package var inboxBytes = 8 << 20
    /// Suites that this side offers and chooses, best first.
    package var suites: [BulkCipher.Suite] =
        BulkCipher.prefersAES ? [.aes256GCM, .chaCha20Poly1305] : [.chaCha20Poly1305]

    package init() {}
}
