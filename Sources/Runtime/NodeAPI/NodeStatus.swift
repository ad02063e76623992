package import Primitives

/// This node at a glance: `weft status`.
package struct NodeStatus: Codable, Hashable, Sendable {
    /// How a node stands with its swarm.
    package enum Admission: String, Codable, Sendable, CaseIterable {
        /// The swarm is open.
        case open
        /// The founder's list names this node.
        case admitted
        /// Nobody has answered yet.
        case asking
        /// The closed swarm does not admit this node.
        case refused
        /// The founder has ended its admission.
        case revoked
    }

    /// The identity, 52 characters of base32.
    package var peer: String
    package var name: String
    /// The swarm's name.
    package var swarm: String
    /// Version of the software.
    package var version: String
    package var processID: Int
    package var stateDirectory: String
    package var uptimeSeconds: Double
    /// Where the node listens for datagrams and streams.
    package var listenAddress: String
    /// Addresses that it gives to others, in order of preference.
    package var addresses: [String]
    /// Addresses, not of this machine, at which others see it.
    package var observedAddresses: [String]
    /// "none", "endpoint-independent", "address-dependent" (symmetric), or "unknown" while nobody has reported.
    package var natKind: String
    /// Members that are alive, this node included.
    package var alivePeers: Int
    /// Members of which the node knows, whatever their state.
    package var knownPeers: Int
    /// How membership judges others from here.
    package var membership: MembershipView
    /// The digest of the current graph snapshot, equal on all peers once quiet.
    package var graphDigest: String
    /// Directed pairs of live peers whose bandwidth has been measured, and how many pairs there are.
    package var measuredLinks: Int
    package var totalLinks: Int
    package var capability: CapabilityView
    package var traffic: TrafficView
    package var admission: Admission
    /// What the node is working on.
    package var job: JobView?
    /// Set while another process uses this node's identity.
    package var identityConflict: IdentityConflictView?
    /// Other members whose identities seem to be in use by two processes each.
    package var identitiesUsedTwice: [String]

    package init(
        peer: PeerID, name: String, swarm: String, version: String, processID: Int, stateDirectory: String,
        uptimeSeconds: Double, listenAddress: String, addresses: [String], observedAddresses: [String] = [],
        natKind: String = "unknown", alivePeers: Int, knownPeers: Int,
        membership: MembershipView = MembershipView(), graphDigest: String, measuredLinks: Int, totalLinks: Int,
        capability: CapabilityView, traffic: TrafficView,
        admission: Admission = .open, job: JobView? = nil, identityConflict: IdentityConflictView? = nil,
        identitiesUsedTwice: [PeerID] = []
    ) {
        self.peer = peer.description
        self.name = name
        self.swarm = swarm
        self.version = version
        self.processID = processID
        self.stateDirectory = stateDirectory
        self.uptimeSeconds = uptimeSeconds
        self.listenAddress = listenAddress
        self.addresses = addresses
        self.observedAddresses = observedAddresses
        self.natKind = natKind
        self.alivePeers = alivePeers
        self.knownPeers = knownPeers
        self.membership = membership
        self.graphDigest = graphDigest
        self.measuredLinks = measuredLinks
        self.totalLinks = totalLinks
        self.capability = capability
        self.traffic = traffic
        self.admission = admission
        self.job = job
        self.identityConflict = identityConflict
        self.identitiesUsedTwice = identitiesUsedTwice.map(\.description)
    }
}

/// The timers of failure detection, which follow from measured round trips.
package struct MembershipView: Codable, Hashable, Sendable {
    /// "lan", "wan", "mixed", or "unmeasured" while too few round trips are known.
    package var profile: String
    /// The 10th, 50th and 90th percentile of the round trips to this node's neighbours.
    package var nearRoundTripSeconds: Double?
    package var medianRoundTripSeconds: Double?
    package var farRoundTripSeconds: Double?
    /// The shortest wait for helpers, before local health, and the shortest time between a suspicion and a death.
    package var helperTimeoutSeconds: Double
    package var suspicionSeconds: Double
    /// From 0, healthy, to 8: the node itself seems to be slow, and waits one time longer for each point.
    package var localHealth: Int

    package init(
        profile: String = "unmeasured", nearRoundTripSeconds: Double? = nil, medianRoundTripSeconds: Double? = nil,
        farRoundTripSeconds: Double? = nil, helperTimeoutSeconds: Double = 0, suspicionSeconds: Double = 0,
        localHealth: Int = 0
    ) {
        self.profile = profile
        self.nearRoundTripSeconds = nearRoundTripSeconds
        self.medianRoundTripSeconds = medianRoundTripSeconds
        self.farRoundTripSeconds = farRoundTripSeconds
        self.helperTimeoutSeconds = helperTimeoutSeconds
        self.suspicionSeconds = suspicionSeconds
        self.localHealth = localHealth
    }
}

/// Another process that uses a node's identity.
package struct IdentityConflictView: Codable, Hashable, Sendable {
    /// How often it was noticed since the start, at most every few seconds.
    package var count: Int
    package var lastSeenSeconds: Double
    /// Where the other process says that it can be reached.
    package var otherAddresses: [String]

    package init(count: Int, lastSeenSeconds: Double, otherAddresses: [String]) {
        self.count = count
        self.lastSeenSeconds = lastSeenSeconds
        self.otherAddresses = otherAddresses
    }
}

/// What a machine can do.
package struct CapabilityView: Codable, Hashable, Sendable {
    package var cores: Int
    /// Memory that the node may use for weights and activations.
    package var memoryBytes: UInt64
    /// Measured speed of the built-in engine.
    package var flopsPerSecond: Double
    package var diskFreeBytes: UInt64
    package var gpus: [String]
    package var onBattery: Bool
    /// Whether the peer is willing to coordinate jobs.
    package var coordinator: Bool
    package var version: String

    package init(
        cores: Int, memoryBytes: UInt64, flopsPerSecond: Double, diskFreeBytes: UInt64, gpus: [String],
        onBattery: Bool, coordinator: Bool, version: String
    ) {
        self.cores = cores
        self.memoryBytes = memoryBytes
        self.flopsPerSecond = flopsPerSecond
        self.diskFreeBytes = diskFreeBytes
        self.gpus = gpus
        self.onBattery = onBattery
        self.coordinator = coordinator
        self.version = version
    }
}

/// Bytes over this node's sockets since it started.
package struct TrafficView: Codable, Hashable, Sendable {
    package var datagramBytesSent: UInt64
    package var datagramBytesReceived: UInt64
    package var streamBytesSent: UInt64
    package var streamBytesReceived: UInt64
    /// Datagrams that were dropped for whatever reason (not authentic, replayed, malformed, over a limit).
    package var datagramsDropped: UInt64

    package init(
        datagramBytesSent: UInt64 = 0, datagramBytesReceived: UInt64 = 0, streamBytesSent: UInt64 = 0,
        streamBytesReceived: UInt64 = 0, datagramsDropped: UInt64 = 0
    ) {
        self.datagramBytesSent = datagramBytesSent
        self.datagramBytesReceived = datagramBytesReceived
        self.streamBytesSent = streamBytesSent
        self.streamBytesReceived = streamBytesReceived
        self.datagramsDropped = datagramsDropped
    }
}

/// The job in which a node takes part.
package struct JobView: Codable, Hashable, Sendable {
    package var name: String
    /// The coordinator's identity.
    package var coordinator: String
    /// This node's part: "coordinator", "stage 2 of 4, layers 3-5", "spare".
    package var role: String
    package var step: Int
    package var steps: Int
    package var loss: Double?

    package init(name: String, coordinator: PeerID, role: String, step: Int, steps: Int, loss: Double? = nil) {
        self.name = name
        self.coordinator = coordinator.description
        self.role = role
        self.step = step
        self.steps = steps
        self.loss = loss
    }
}
