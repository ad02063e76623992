import Primitives
import Wire

/// State of a session as one end sees it. The simulation models a session's effects (round trips before the first datagram,
/// silence of the responder until the initiator is proven, loss of memory at a restart) and not its cryptography, which has
/// tests of its own.
struct SimulatedSession {
    /// Which life of the other peer the session is with; `nil` while it is being made.
    var life: UInt32?
    /// Whether the other end has shown that it has the keys; before, it is only answered, never told anything.
    var isProven = false
    /// Datagrams that wait for the session.
    var queue: [[UInt8]] = []
    /// Handshakes begun by this end since it last had a session.
    var attempts = 0
    /// When it was made, or renewal was last begun.
    var since = Instant(nanoseconds: 0)
    var isInitiator = false
    /// UDP payload received from, and sent in answer to, somebody who is not proven.
    var unprovenReceivedBytes = 0
    var unprovenSentBytes = 0
}

/// A datagram on its way.
struct Packet {
    enum Kind {
        case handshake
        case response
        /// The answer of a closed swarm's member to somebody who is not admitted.
        case refusal
        /// Shows the responder that the initiator has the keys.
        case keepalive
        case data([UInt8])
    }

    var kind: Kind
    var from: Int
    var to: Int
    /// The port at which the sender is seen, and the receiver's as the sender knows it (`NATBox`).
    var fromPort: UInt32
    var toPort: UInt32
    /// The sender's life, and the receiver's life as the sender believes.
    var fromLife: UInt32
    var toLife: UInt32
    var isCorrupted = false

    /// UDP payload bytes.
    var byteCount: Int {
        switch kind {
        case .handshake: SessionModel.handshakeBytes
        case .response, .refusal: SessionModel.responseBytes
        case .keepalive: Limits.transportOverheadBytes
        case .data(let payload): payload.count + Limits.transportOverheadBytes
        }
    }
}

/// Constants of the sessions that the simulation imitates.
enum SessionModel {
    /// About the size of the first Noise message with MACs and an identity, and of its answer.
    static let handshakeBytes = 340
    static let responseBytes = 300
    /// A handshake is tried this often, this far apart.
    static let attempts = 5
    static let retryInterval = Duration.seconds(1)
    /// Age at which the initiator renews (`SessionConfiguration.rekeyAfter`).
    static let rekeyAfter = Duration.seconds(3600)
    /// Datagrams that wait for a session.
    static let queueLimit = 32
    /// Datagrams that a paused process finds in its socket when it runs again.
    static let backlogLimit = 90
}
