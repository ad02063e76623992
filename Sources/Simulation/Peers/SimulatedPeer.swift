import Overlay
import Primitives
import Wire

/// One peer of a simulation: its core while it runs, its sessions, and what its disk remembers.
struct SimulatedPeer {
    let contact: Contact
    let clock: PeerClock
    /// The address translator in front of the peer, if any; it survives the peer's process.
    var nat: NATBox?
    /// The core; `nil` while the process does not run.
    var node: OverlayNode?
    /// Counts starts.
    var life: UInt32 = 0
    /// The process does not run until then, though nobody has killed it.
    var pausedUntil: Instant?
    /// What has arrived during a pause.
    var backlog: [Packet] = []
    var sessions: [Int: SimulatedSession] = [:]  // only looked up, never iterated
    /// The ports of peers whose address is known, as they told or were last seen.
    var ports: KnownPorts
    /// The first peers that became known, as a disk would remember them.
    var cache: [Int] = []
    /// Whom the process speaks to, and a closed swarm's list on its disk.
    var policy = AdmissionPolicy.open
    var admissionPages: [SignedEntry] = []
    /// Datagrams that reached its core since it was first started.
    var received = 0
    /// When the simulation will wake the core next.
    var wake: Instant?
    /// UDP payload sent.
    var sentBytes = 0
    var sentDatagrams = 0
    /// UDP payload that came through the access link.
    var receivedBytes = 0
    /// What the peer lies about, if it is a liar.
    var lie: Lie?
}
