/// What is played with a swarm. Every scenario begins with all peers joining at once through one of them, unless the
/// swarm is to have settled before.
package enum Scenario: String, CaseIterable, Sendable, Codable {
    /// All peers join at once; nothing else.
    case join
    /// Nothing happens for a while: what does a quiet swarm send?
    case steady
    /// Some peers die without a word, one after another.
    case crash
    /// Some peers say goodbye, one after another.
    case leave
    /// One packet in ten is lost, and one peer in a hundred stops running for up to two seconds at any moment.
    case lossy
    /// The swarm is cut in two halves, and heals.
    case partition
    /// A tenth of the peers are replaced every minute.
    case churn
    /// Links are measured and compared with the truth, and so are predictions of links that were not measured.
    case measure
    /// Links are measured for an hour: what does that take of the access links?
    case upkeep
    /// The seed chooses faults of every kind; then the network heals and the swarm must agree again.
    case chaos
    /// One peer in ten lies in one of the ways of `Lie`.
    case liar
    /// A closed swarm: somebody with the ticket but without admission knocks, and a member is revoked.
    case admission
    /// Peers have several addresses each, of which some get slow and some die (`PathScenario`; nobody joins anything).
    case paths
    /// What a `ScenarioScript` says.
    case script

    /// For people.
    package var summary: String {
        switch self {
        case .join: "all peers join at once through one"
        case .steady: "nothing happens; counts the traffic of a quiet swarm"
        case .crash: "peers die without a word, one after another"
        case .leave: "peers say goodbye, one after another"
        case .lossy: "10 % loss, and 1 % of the peers pause for up to 2 s at any moment"
        case .partition: "the swarm is cut in half, and heals"
        case .churn: "a tenth of the peers are replaced every minute"
        case .measure: "links are measured and compared with the truth"
        case .upkeep: "links are measured for an hour; counts what that takes of each access link"
        case .chaos: "random faults of every kind, then the network heals"
        case .liar: "a tenth of the peers forge, replay, equivocate, exceed limits or send garbage"
        case .admission: "a closed swarm refuses a stranger with its ticket, and cuts off a revoked member"
        case .paths: "peers with several addresses find the nearest, and another when it gets slow or dies"
        case .script: "what a file says (--file)"
        }
    }

    /// Virtual seconds of the main phase unless said otherwise.
    package var defaultSeconds: Double {
        switch self {
        case .join, .measure, .crash, .leave, .admission: 30
        case .steady, .lossy, .partition, .churn, .chaos, .paths: 60
        case .liar: 40
        case .upkeep: 3600
        case .script: 0
        }
    }
}

/// A scenario with everything that decides how it runs.
package struct ScenarioOptions: Sendable {
    package var scenario: Scenario
    /// Peers, at least 2.
    package var peers: Int
    package var seed: UInt64
    /// Virtual seconds of the main phase.
    package var seconds: Double
    package var profile = NetworkProfile.world
    /// How wrong the peers' clocks are.
    package var clocks = ClockProfile.exact
    /// Address translators in front of the last peers, one each; the first peer has none.
    package var nats: [NATBox.Kind] = []
    /// What to play if the scenario is `script`.
    package var script: ScenarioScript?
    /// Virtual seconds that a swarm may take to join or to agree before that counts as a violation.
    package var patienceSeconds = 60.0
    /// Whether everybody knows everybody at the beginning, instead of joining.
    package var startsSettled = false
    /// Whether the report has a timeline.
    package var recordsTimeline = false
    /// Whether a trace lists packets, too.
    package var tracesPackets = false
    /// Whether links are measured at all; if not, a swarm has membership and gossip only.
    package var measuresLinks = true
    /// Whether bandwidth is measured; most of the packets of a simulation are those of trains.
    package var measuresBandwidth = true

    package init(scenario: Scenario, peers: Int, seed: UInt64, seconds: Double? = nil) {
        self.scenario = scenario
        self.peers = max(2, peers)
        self.seed = seed
        self.seconds = seconds ?? scenario.defaultSeconds
    }
}
