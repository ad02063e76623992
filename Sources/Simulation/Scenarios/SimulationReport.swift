/// What a scenario found; keys carry their units.
package struct SimulationReport: Hashable, Sendable, Codable {
    /// Least, median and largest of some figures.
    package struct Spread: Hashable, Sendable, Codable {
        package var count: Int
        package var least: Double
        package var median: Double
        package var ninetieth: Double
        package var most: Double

        /// `nil` without values.
        package init?(_ values: [Double]) {
            let sorted = values.sorted()
            guard let first = sorted.first, let last = sorted.last else { return nil }
            count = sorted.count
            least = first
            median = sorted[sorted.count / 2]
            ninetieth = sorted[min(sorted.count - 1, sorted.count * 9 / 10)]
            most = last
        }
    }

    /// Estimates against the truth; all errors are relative.
    package struct Measurement: Hashable, Sendable, Codable {
        /// Directed links, and how many of them were measured.
        package var links: Int
        package var measuredLinks: Int
        package var bandwidthError: Spread?
        package var roundTripError: Spread?
        package var predictedBandwidthError: Spread?
        package var predictedRoundTripError: Spread?
    }

    /// How a closed swarm kept to its list, from the founder's word on (or the first knock).
    package struct Admission: Hashable, Sendable, Codable {
        /// Until a peer with the ticket but without admission heard that it is refused.
        package var refusedSeconds: Double?
        /// Until nobody kept a session with a revoked peer.
        package var cutOffSeconds: Double?
        /// Until everybody knew the one that was admitted in the end.
        package var admittedSeconds: Double?
    }

    /// How peers with several addresses chose among them. An excess is how much longer than the least one the round trip of a
    /// path is, over all ordered pairs of peers.
    package struct Paths: Hashable, Sendable, Codable {
        /// Of the paths that the handshakes found, of those chosen by round trip, and after one kind has become slower.
        package var firstExcessSeconds: Spread?
        package var chosenExcessSeconds: Spread?
        package var detourExcessSeconds: Spread?
        /// The longest time for which a peer did not hear another after a path had died.
        package var longestSilenceSeconds: Double?
        /// Changes of path for the first choice, and in all; and handshakes begun.
        package var firstMoves = 0
        package var moves = 0
        package var handshakes = 0
    }

    /// How many beliefs were wrong at a moment, and what was sent.
    package struct Sample: Hashable, Sendable, Codable {
        package var seconds: Double
        /// Share of ordered pairs of a running peer and another of which the first believes something false.
        package var wrongShare: Double
        /// UDP payload sent by the average peer since the sample before.
        package var bytesPerPeerPerSecond: Double
    }

    package var scenario: Scenario
    /// The name that a script gives itself.
    package var name: String?
    package var peers: Int
    package var seed: UInt64
    package var virtualSeconds: Double = 0
    /// From the last start until everyone knew everyone.
    package var joinSeconds: Double?
    /// From the last start until all digests were equal for the first time.
    package var digestsEqualSeconds: Double?
    /// From a crash until an observer declared the peer dead, over all crashes and observers.
    package var detectionSeconds: Spread?
    /// The same, each of them, in order.
    package var detections: [Double]?
    /// Four times a virtual second, if asked for.
    package var timeline: [Sample]?
    /// From a goodbye until everybody knew.
    package var leaveSeconds: Spread?
    /// From the end of all faults until everyone knew everyone and all digests were equal.
    package var healSeconds: Double?
    /// Largest share, at any moment, of pairs of live peers of which one does not know the other.
    package var worstMissingShare: Double?
    /// Running peers that were declared dead by somebody.
    package var falseDeaths = 0
    /// When the traffic of a quiet swarm had become even, and its measurement began.
    package var settledSeconds: Double?
    /// UDP payload sent by the average peer in the main phase.
    package var bytesPerPeerPerSecond: Double?
    package var datagramsPerPeerPerSecond: Double?
    /// From the first start until all links to partners were measured and everybody knew.
    package var graphSeconds: Double?
    /// Share of an access link that all traffic takes in its busier direction, over the peers: on average, and in any window
    /// of ten minutes.
    package var accessShare: Spread?
    package var accessShareInWindow: Spread?
    package var measurement: Measurement?
    package var paths: Paths?
    package var admission: Admission?
    /// Datagrams that reached a core.
    package var deliveries = 0
    /// Packets lost on the way and dropped in full queues.
    package var packetsLost = 0
    package var queueDrops = 0
    /// Packets damaged on the way, and packets that address translators did not let in.
    package var packetsCorrupted = 0
    package var packetsFiltered = 0
    /// Liars, those of them that honest peers named, and honest peers that were named.
    package var liars: Int?
    package var namedLiars: Int?
    package var namedHonest: Int?
    /// Invariants broken; empty in a good run.
    package var violations: [String] = []
    /// Equal for equal runs.
    package var digest = ""

    package init(scenario: Scenario, peers: Int, seed: UInt64) {
        self.scenario = scenario
        self.peers = peers
        self.seed = seed
    }
}
