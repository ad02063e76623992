package import Primitives

/// What a running node offers to the person or program on the same machine: the port that the HTTP server in Control
/// serves and the command line uses.
///
/// Every value is Codable with stable keys and units in names, because it is also the JSON that `--json` prints.
/// Streams end when their work is done; cancelling the consumer of one cancels the work behind it. Failures are
/// `NodeControlError`, whose text reaches the user as one line.
package protocol NodeControl: Sendable {
    /// This node at a glance.
    func status() async throws -> NodeStatus

    /// Brings what `/metrics` tells up to date; called before each scrape, so that an idle node does nothing for it.
    func refreshMetrics() async

    /// Every member that the node knows, itself first, then by identity.
    func peers() async throws -> PeerListing

    /// The closed swarm's list, and who waits to be on it.
    func admissions() async throws -> AdmissionListing

    /// Admits a peer to a closed swarm; its founder only.
    func admit(_ request: AdmissionRequest) async throws -> AdmissionView

    /// Ends a peer's admission; its founder only.
    func revoke(_ request: AdmissionRequest) async throws -> AdmissionView

    /// The bandwidth and latency graph as of now.
    func graph() async throws -> GraphView

    /// Pings a peer `count` times (forever when `nil`) and reports each answer or its absence.
    func ping(_ request: PingRequest) async throws -> AsyncThrowingStream<PingReply, any Error>

    /// Measures the link to a peer now, both directions.
    func probe(_ request: ProbeRequest) async throws -> ProbeReport

    /// Plans a model's training on the live graph, without starting anything.
    func plan(_ request: PlanRequest) async throws -> PlanView

    /// Runs a job on the swarm and reports its progress; the last event is `.finished`, or the stream throws.
    func train(_ request: TrainRequest) async throws -> AsyncThrowingStream<TrainEvent, any Error>

    /// Adds a local file to the swarm's content-addressed files; the last event is `.finished`.
    func addShard(_ request: ShardAddRequest) async throws -> AsyncThrowingStream<ShardEvent, any Error>

    /// Fetches a file from the peers that have it; the last event is `.finished`.
    func fetchShard(_ request: ShardFetchRequest) async throws -> AsyncThrowingStream<ShardEvent, any Error>

    /// The files of which this node holds at least a part.
    func shards() async throws -> ShardListing

    /// Tells the swarm goodbye and then ends the process as `shutdown` does.
    func leave() async throws

    /// Ends the process gracefully; others will see it leave.
    func shutdown() async throws
}

/// Why a node refused or failed, with the HTTP status its kind maps to.
package struct NodeControlError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kinds that a caller may want to tell apart.
    package enum Kind: String, Codable, Sendable, CaseIterable {
        /// The request makes no sense; nothing was done.
        case invalidRequest
        /// No such peer, shard, job or path.
        case notFound
        /// The node is busy with something that excludes this.
        case conflict
        /// The node cannot do this now: no peers yet, the graph is not measured, it is leaving.
        case unavailable
        /// Something went wrong while doing it.
        case failed
    }

    package let kind: Kind
    /// What happened, to what, and what to do next; one line.
    package let message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    package var description: String { message }

    /// The status of the HTTP answer.
    package var httpStatus: Int {
        switch kind {
        case .invalidRequest: 400
        case .notFound: 404
        case .conflict: 409
        case .unavailable: 503
        case .failed: 500
        }
    }

    /// The kind that an HTTP status stands for.
    package static func kind(httpStatus: Int) -> Kind {
        switch httpStatus {
        case 404: .notFound
        case 409: .conflict
        case 503: .unavailable
        case 400..<500: .invalidRequest
        default: .failed
        }
    }
}

extension NodeControl {
    /// Nothing to do for what keeps no metrics, as a client.
    package func refreshMetrics() async {}

    /// Finds the one peer that a person meant: by full identity, by the beginning of one (four characters or more), or
    /// by name.
    package func resolve(_ text: String) async throws -> PeerID { try await peers().resolve(text) }
}
