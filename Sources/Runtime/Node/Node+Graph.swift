internal import Noise
internal import Overlay
internal import Pipeline
internal import Primitives
internal import Topology

extension Node {
    /// Notes when a report of links came, for the graph's ages.
    func noteEntry(of owner: PeerID, _ key: EntryKey) {
        guard key.kind == EntryKey.linksKind else { return }
        linksHeard[owner, default: [:]][key] = MonotonicClock.now
    }

    /// The graph as this node knows it now.
    func liveGraph() async throws -> LiveGraph {
        let snapshot = try await snapshot()
        let now = MonotonicClock.now
        return LiveGraph(snapshot) { owner, key in self.linksHeard[owner]?[key].map { (now - $0).seconds } }
    }

    /// The planner's graph, predictions included. Predicting is too much work for the node's own thread.
    func completedGraph(without excluded: Set<PeerID> = []) async throws -> LinkGraph {
        let live = try await liveGraph()
        return await Task.detached { live.linkGraph(without: excluded) }.value
    }

    package func graph() async throws -> GraphView {
        let live = try await liveGraph()
        return await Task.detached { live.view }.value
    }

    /// A plan for a job on the live graph, verified: what it leans on and nobody has measured is measured, and it is made
    /// anew.
    ///
    /// - Parameter rounds: Rounds of verification at most.
    func verifiedPlan(_ job: JobSpec, _ options: PlannerOptions, limit: Duration, rounds: Int) async throws -> JobPlan {
        let measured = try await liveGraph().measuredGraph()
        var rule = PlanVerification.Options()
        rule.rounds = rounds
        let options = options
        let start = rule
        var verification = await Task.detached { PlanVerification(measured: measured, options: start) }.value
        func plan(_ graph: LinkGraph) async throws -> JobPlan {
            try await Task.detached {
                try JobPlan(spec: job, graph: graph, options: options, timeLimit: limit)
            }.value
        }
        var results = [try await plan(verification.graph)]
        var learnt = 0
        while let pairs = verification.next(after: results[results.count - 1].report) {
            let measurements = await measure(pairs, of: measured.nodes.map(\.peer))
            learnt += measurements.count
            guard !measurements.isEmpty else { break }
            let before = verification
            verification = await Task.detached {
                var next = before
                next.take(measurements)
                return next
            }.value
            results.append(try await plan(verification.graph))
        }
        let layouts = results.map(\.report.layout)
        var result = results[
            verification.safest(of: layouts, problem: JobPlan.problem(spec: job, graph: measured))]
        result.view.verification = PlanView.Verification(
            rounds: verification.rounds, askedPairs: verification.asked.count, measuredLinks: learnt)
        return result
    }

    /// Has pairs of peers measured, waits until their reports have come, and gives what they say.
    private func measure(
        _ pairs: [PlanVerification.Pair], of peers: [PeerID]
    ) async -> [PlanVerification.Measurement] {
        for pair in pairs {
            let (left, right) = (peers[pair.left], peers[pair.right])
            if left == identity.peer || right == identity.peer {
                driver.input(.measure(left == identity.peer ? right : left))
            } else {
                driver.input(.ask(left, target: right))
            }
        }
        let wait = Self.verificationPatience + Self.verificationPatiencePerMember * peers.count
        let deadline = MonotonicClock.now + wait
        var found: [PlanVerification.Measurement] = []
        while !isStopping, !Task.isCancelled {
            guard let live = try? await liveGraph() else { break }
            found = pairs.flatMap { pair in
                [(pair.left, pair.right), (pair.right, pair.left)].compactMap { from, to in
                    guard let link = live.consensus(from: peers[from], to: peers[to]), let rate = link.bandwidth else {
                        return nil
                    }
                    return PlanVerification.Measurement(
                        from: from, to: to, latencySeconds: link.roundTrip.map { $0.seconds / 2 },
                        bytesPerSecond: rate.bytesPerSecond)
                }
            }
            if found.count == 2 * pairs.count || MonotonicClock.now >= deadline { break }
            try? await Task.sleep(for: .milliseconds(250))
        }
        return found
    }

    /// How long a round of verification waits for the reports: a few sessions of half a second each, and the pause after
    /// which peers publish new links (`LinkPublisher`).
    private static let verificationPatience: Duration = .seconds(12)
    private static let verificationPatiencePerMember: Duration = .milliseconds(40)
}
