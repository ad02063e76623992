import Overlay
import Primitives
import Wire

/// One peer of a simulation: its core while it runs, its sessions, and what its disk remembers.
struct SimulatedPeer {
    /// State of a session as one end sees it. The simulation models a session's effects (one round trip before the first
    /// datagram, loss of memory at a restart) and not its cryptography, which has tests of its own.
    struct Session {
        /// Which life of the other peer the session is with; `nil` while it is being made.
        var life: UInt32?
        /// Datagrams that wait for the session.
        var queue: [[UInt8]] = []
        var attempts = 0
        /// When it was made, or renewal was last begun.
        var since = Instant(nanoseconds: 0)
        var isInitiator = false
    }

    let contact: Contact
    /// The core; `nil` while the process does not run.
    var node: OverlayNode?
    /// Counts starts.
    var life: UInt32 = 0
    /// The process does not run until then, though nobody has killed it.
    var pausedUntil: Instant?
    /// What has arrived during a pause.
    var backlog: [Packet] = []
    var sessions: [Int: Session] = [:]  // only looked up, never iterated
    /// Peers whose address is known, and in the order in which they became known, as a disk would remember them.
    var reachable: Set<Int> = []  // only looked up, never iterated
    var cache: [Int] = []
    /// When the simulation will wake the core next.
    var wake: Instant?
    /// UDP payload sent.
    var sentBytes = 0
    var sentDatagrams = 0
}

/// A datagram on its way.
struct Packet {
    enum Kind {
        case handshake
        case response
        case data([UInt8])
    }

    var kind: Kind
    var from: Int
    var to: Int
    /// The sender's life, and the receiver's life as the sender believes.
    var fromLife: UInt32
    var toLife: UInt32

    /// UDP payload bytes.
    var byteCount: Int {
        switch kind {
        case .handshake: SessionModel.handshakeBytes
        case .response: SessionModel.responseBytes
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
