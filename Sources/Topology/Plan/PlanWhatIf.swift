/// What an iteration would take if one thing were different: a peer more or less, a faster link, more compression.
///
/// Links and compression are changed under the plan as it is; another peer leads to a short search from the plan.
struct PlanWhatIf {
    private let report: PlanReport
    private let problem: PlanningProblem

    /// Candidates of the searches with another peer.
    private static let budget = 1_500
    /// Peers up to which those searches are made.
    private static let largest = 200

    init(_ report: PlanReport, problem: PlanningProblem) {
        self.report = report
        self.problem = problem
    }

    var lines: [String] {
        var lines: [String] = []
        if let link = busiestLink {
            let names =
                "\(problem.graph.nodes[link.source].name) - \(problem.graph.nodes[link.target].name)"
            lines.append("if the busiest link (\(names)) were twice as fast: " + seconds(faster([link])))
        }
        let all = report.trace.links.map { (source: $0.source, target: $0.target) }
        if !all.isEmpty { lines.append("if all links were twice as fast: " + seconds(faster(all))) }
        if !all.isEmpty { lines += compressed }
        if problem.graph.count <= Self.largest { lines += otherPeers }
        return lines
    }

    private func seconds(_ problem: PlanningProblem) -> String {
        change(seconds(report.layout, CostTables(problem)))
    }

    /// What an iteration takes with slices and endings that suit other links.
    private func seconds(_ layout: Layout, _ tables: CostTables) -> Double {
        if layout.exchange == .relayed {
            let other = layout.timed(tables: tables).layout.withRelays(tables: tables)
            return IterationSimulator.run(other, tables: tables).seconds
        }
        let same = IterationSimulator.run(layout, tables: tables).seconds
        guard layout.exchange == .timed else { return same }
        return min(same, IterationSimulator.run(layout.timed(tables: tables).layout, tables: tables).seconds)
    }

    private func change(_ value: Double) -> String {
        let before = report.trace.seconds
        let percent = before > 0 ? (value - before) / before * 100 : 0
        return "\(Figures.seconds(value)) (\(percent > 0 ? "+" : "")\(Figures.fixed(percent, digits: 1)) %)"
    }

    private var busiestLink: (source: Int, target: Int)? {
        report.trace.links.max { ($0.busySeconds, $1.source) < ($1.busySeconds, $0.source) }
            .map { ($0.source, $0.target) }
    }

    /// The problem with these pairs twice as fast, both ways.
    private func faster(_ links: [(source: Int, target: Int)]) -> PlanningProblem {
        var next = problem
        var done: Set<Int> = []
        for link in links {
            for (from, to) in [(link.source, link.target), (link.target, link.source)] {
                let position = problem.graph.position(from: from, to: to)
                guard done.insert(position).inserted else { continue }
                next.graph.rates[position].value *= 2
            }
        }
        return next
    }

    private var compressed: [String] {
        PlanningProblem.Compression.names.compactMap { name in
            guard name != problem.compression.name,
                let kind = PlanningProblem.Compression.named(
                    name, activationElementBytes: problem.model.activationElementBytes,
                    gradientElementBytes: problem.model.gradientBytesPerParameter)
            else { return nil }
            guard kind.isLossy || problem.compression.isLossy else { return nil }
            var next = problem
            next.compression = kind
            var layout = report.layout
            layout.plainLinks = []
            return "with compression \(name) on all links: "
                + change(seconds(layout, CostTables(next)))
        }
    }

    private var otherPeers: [String] {
        var lines: [String] = []
        // Its like joins: the peer that computes longest.
        if case .compute(let rank, let position) = PlanDiagram.bottleneck(of: report.trace) {
            lines += [joined(by: report.layout.pipelines[rank][position].peer)].compactMap(\.self)
        } else if let first = report.layout.peers.first {
            lines += [joined(by: first)].compactMap(\.self)
        }
        if let leaver = leastBusy { lines += [without(leaver)].compactMap(\.self) }
        return lines
    }

    private func joined(by peer: Int) -> String? {
        let count = problem.graph.count
        var next = problem
        let order = Array(0..<count) + [peer]
        next.graph = problem.graph.permuted(order)
        next.graph.nodes[count].name += "'"
        // The copy is as near to its like as that one's nearest.
        var best = -1
        for other in 0..<count where other != peer {
            let position = problem.graph.position(from: peer, to: other)
            if best < 0 || problem.graph.rates[position].value > problem.graph.rates[best].value { best = position }
        }
        if best >= 0 {
            for (from, to) in [(peer, count), (count, peer)] {
                next.graph.setLink(
                    from: from, to: to, latency: problem.graph.latencies[best],
                    bytesPerSecond: problem.graph.rates[best])
            }
        }
        let arrangement = Arrangement(
            pipelines: report.layout.pipelines.map { $0.map(\.peer) }, spares: unused(count) + [count])
        guard let value = searched(next, arrangement) else { return nil }
        return "with one peer more like \(problem.graph.nodes[peer].name): " + change(min(value, report.trace.seconds))
    }

    private func without(_ peer: Int) -> String? {
        guard report.layout.peers.count > 1,
            problem.shape.stages == nil || problem.shape.replicas == nil
                || !report.plan.spares.isEmpty
        else { return nil }
        var next = problem
        let kept = (0..<problem.graph.count).filter { $0 != peer }
        next.graph = problem.graph.permuted(kept)
        guard
            let outcome = try? Replanner.replan(
                report.plan, problem: next,
                options: Replanner.Options(planner: PlannerOptions(seed: report.seed, budget: Self.budget)))
        else { return nil }
        return "without \(problem.graph.nodes[peer].name), the least busy peer: "
            + change(relayed(outcome.report, next))
    }

    private func unused(_ count: Int) -> [Int] {
        let used = Set(report.layout.peers)
        return (0..<count).filter { !used.contains($0) }
    }

    private func searched(_ next: PlanningProblem, _ arrangement: Arrangement) -> Double? {
        guard
            var search = try? PlanSearch(
                next, options: PlannerOptions(seed: report.seed, budget: Self.budget), warmStarts: [arrangement])
        else { return nil }
        while !search.isFinished { search.advance(512) }
        return (try? search.report()).map { relayed($0, next) }
    }

    /// What an iteration of a plan of a short search takes, with relays if this one has them.
    private func relayed(_ other: PlanReport, _ problem: PlanningProblem) -> Double {
        guard report.layout.exchange == .relayed else { return other.trace.seconds }
        let tables = CostTables(problem)
        return IterationSimulator.run(other.layout.withRelays(tables: tables), tables: tables).seconds
    }

    /// The peer of the plan that computes least.
    private var leastBusy: Int? {
        var best: Int?
        var least = Double.infinity
        for (rank, stages) in report.trace.stages.enumerated() {
            for (position, stage) in stages.enumerated() where stage.computeSeconds < least {
                least = stage.computeSeconds
                best = report.layout.pipelines[rank][position].peer
            }
        }
        return best
    }
}
