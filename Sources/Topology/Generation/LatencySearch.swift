internal import Primitives

/// Searches for the pipeline on which one sequence is answered soonest.
///
/// First branch and bound over whole-prompt pipelines, first stage by first stage, most promising first, with the shortest
/// way of `LatencyBound` as the bound: it often proves the optimum at once, because the shortest way itself visits no
/// peer twice. Then annealing over the order of peers, with prompts in chunks too.
struct LatencySearch {
    private let tables: GenerationTables
    private let budget: CostBudget
    private let stages: Int?
    private let affinity: Affinity
    private let whole: LatencyBound
    private var generator: SeededGenerator
    /// First stages that are still to be tried, worst bound first.
    private var firsts: [(peer: Int, bound: Double)] = []
    /// The least time of a whole-prompt pipeline that branch and bound has left unproven.
    private var unproven = Double.infinity
    private let chunkedBound: Double
    private let nodes: Int
    private let stepsOfFirst: Int
    private(set) var best: GenerationLayout.Pipeline?
    private(set) var seconds = Double.infinity
    private var wholeSeconds = Double.infinity
    private(set) var steps = 0
    private var arrangement: Arrangement?
    private var value = Double.infinity
    private var temperature = 0.0
    private var step = 0

    /// Peers up to which the way back to the first stage is part of the bound.
    private static let exactPeers = 128
    /// Starts of pipelines that branch and bound looks at for one first stage.
    private static let usualNodes = 2_000
    private static let stepsOfRound = 1_500
    /// Steps of branch and bound after which annealing takes turns with it.
    private static let mostBranchingSteps = 5_000
    private static let hot = 0.1
    private static let cold = 0.001

    init(
        _ problem: PlanningProblem, tables: GenerationTables, budget: CostBudget, affinity: Affinity, seed: UInt64,
        patience: Int
    ) {
        self.tables = tables
        self.budget = budget
        self.affinity = affinity
        stages = problem.shape.stages
        generator = SeededGenerator(seed: seed)
        // A node looks at all peers and layers, a first stage at all pairs of peers: in large swarms fewer are looked at, and
        // each counts for more of the budget.
        nodes = max(20, Self.usualNodes * max(1, patience) * 1_500 / max(1_500, tables.peers * tables.layers))
        stepsOfFirst = 1 + tables.peers * tables.peers * tables.layers / 200_000
        whole = LatencyBound(tables: tables, chunks: 1)
        var chunked = Double.infinity
        for chunks in tables.chunkChoices {
            let bound = chunks == 1 ? whole : LatencyBound(tables: tables, chunks: chunks)
            let shared = tables.peers > Self.exactPeers ? bound.toGo(first: nil) : nil
            for peer in 0..<tables.peers {
                let value = bound.bound(first: peer, shared ?? bound.toGo(first: peer))
                if chunks == 1 { firsts.append((peer, value)) } else { chunked = min(chunked, value) }
            }
        }
        chunkedBound = chunked
        firsts.sort { ($1.bound, $1.peer) < ($0.bound, $0.peer) }
        firsts.removeAll { $0.bound == .infinity }
    }

    /// No plan answers sooner.
    var bound: Double { min(chunkedBound, min(unproven, min(wholeSeconds, firsts.last?.bound ?? .infinity))) }

    /// Whether nothing better can be found.
    var isProven: Bool { seconds <= bound * (1 + 1e-9) }

    /// Does so many steps: first stages, then moves.
    mutating func advance(_ count: Int) {
        let end = steps + count
        while steps < end, !isProven {
            if let first = firsts.last, first.bound < wholeSeconds, !isTired {
                steps += stepsOfFirst
                firsts.removeLast()
                branch(first.peer)
            } else {
                steps += 1
                move()
            }
        }
    }

    /// Whether so many first stages could not be settled that annealing should have its turn: of a large swarm only the most
    /// promising are tried.
    private var isTired: Bool { steps > Self.mostBranchingSteps && steps % 2 == 0 }

    // MARK: Branch and bound

    private mutating func branch(_ first: Int) {
        let togo = whole.toGo(first: first)
        var left = nodes
        var used = Array(repeating: false, count: tables.peers)
        used[first] = true
        var path: [GenerationLayout.Stage] = []
        for end in 1...tables.layers {
            let cost = whole.firstCost(end, first)
            guard cost < .infinity else { break }
            path.append(GenerationLayout.Stage(peer: first, layers: 0..<end))
            extend(&path, cost, budget.prices[first], togo, first, &used, &left)
            path.removeLast()
        }
    }

    private mutating func extend(
        _ path: inout [GenerationLayout.Stage], _ cost: Double, _ price: Double, _ togo: LatencyBound.ToGo,
        _ first: Int, _ used: inout [Bool], _ left: inout Int
    ) {
        guard budget.allows(cost: price), let last = path.last else { return }
        let done = last.layers.upperBound
        guard done < tables.layers else {
            let total = cost + (path.count > 1 ? whole.back(last.peer, first) : 0)
            guard stages == nil || stages == path.count, total < wholeSeconds else { return }
            wholeSeconds = total
            consider(path)
            return
        }
        let rest = stages.map { $0 - path.count } ?? tables.layers
        guard rest > 0 else { return }
        let optimistic = cost + togo.after(done, on: last.peer)
        guard optimistic < wholeSeconds else { return }
        left -= 1
        guard left > 0 else {
            unproven = min(unproven, optimistic)
            return
        }
        var children: [(bound: Double, cost: Double, peer: Int, end: Int)] = []
        for peer in 0..<tables.peers where !used[peer] {
            let arrival = cost + whole.hop(done, last.peer, peer)
            guard arrival < wholeSeconds else { continue }
            for end in (done + 1)...tables.layers {
                let stage = whole.stageCost(done, end, peer)
                guard stage < .infinity else { break }
                let bound = arrival + stage + togo.after(end, on: peer)
                if bound < wholeSeconds { children.append((bound, arrival + stage, peer, end)) }
            }
        }
        children.sort { ($0.bound, $0.peer, $0.end) < ($1.bound, $1.peer, $1.end) }
        for child in children where child.bound < wholeSeconds {
            used[child.peer] = true
            path.append(GenerationLayout.Stage(peer: child.peer, layers: done..<child.end))
            extend(&path, child.cost, price + budget.prices[child.peer], togo, first, &used, &left)
            path.removeLast()
            used[child.peer] = false
        }
    }

    // MARK: Annealing

    /// Takes a pipeline with the best number of chunks if it is better than the best so far.
    @discardableResult
    private mutating func consider(_ stages: [GenerationLayout.Stage]) -> Double {
        var found = Double.infinity
        var pipeline = GenerationLayout.Pipeline(stages: stages)
        for chunks in stages.count > 1 ? tables.chunkChoices : [1] {
            pipeline.promptChunks = chunks
            let total = GenerationLatency(pipeline, tables: tables).total
            found = min(found, total)
            guard total < seconds else { continue }
            seconds = total
            best = pipeline
        }
        return found
    }

    /// The cut of the layers that is best for a whole prompt, by dynamic programming; `nil` if the peers are too small.
    private func cut(_ peers: [Int]) -> [GenerationLayout.Stage]? {
        let layers = tables.layers
        guard peers.count <= layers, let first = peers.first else { return nil }
        let width = layers + 1
        var least = Array(repeating: Double.infinity, count: peers.count * width)
        var start = Array(repeating: 0, count: peers.count * width)
        for end in 1...layers { least[end] = whole.firstCost(end, first) }
        for position in peers.indices.dropFirst() {
            for end in (position + 1)...layers {
                for begin in position..<end where least[(position - 1) * width + begin] < .infinity {
                    let value =
                        least[(position - 1) * width + begin] + whole.hop(begin, peers[position - 1], peers[position])
                        + whole.stageCost(begin, end, peers[position])
                    if value < least[position * width + end] {
                        least[position * width + end] = value
                        start[position * width + end] = begin
                    }
                }
            }
        }
        guard least[(peers.count - 1) * width + layers] < .infinity else { return nil }
        var result: [GenerationLayout.Stage] = []
        var end = layers
        for position in peers.indices.reversed() {
            let begin = position > 0 ? start[position * width + end] : 0
            result.append(GenerationLayout.Stage(peer: peers[position], layers: begin..<end))
            end = begin
        }
        return result.reversed()
    }

    private mutating func begin() {
        step = 0
        var order = Array(0..<tables.peers)
        generator.shuffle(&order)
        var pipeline: [Int]
        if let best, generator.index(below: 3) > 0 {
            pipeline = best.stages.map(\.peer)
        } else {
            // The roomiest affordable peers in an order that keeps near ones together.
            let count = stages ?? min(budget.mostPeers, tables.layers)
            let chosen = Set(budget.selection(count, by: tables.memoryBytes))
            pipeline = affinity.order.filter { chosen.contains($0) }
        }
        if pipeline.isEmpty { pipeline = [order[0]] }
        let used = Set(pipeline)
        arrangement = Arrangement(pipelines: [pipeline], spares: order.filter { !used.contains($0) })
        value = budget.allows(pipeline) ? cut(pipeline).map { consider($0) } ?? .infinity : .infinity
        temperature = Self.hot
    }

    private mutating func move() {
        if arrangement == nil || step >= Self.stepsOfRound { begin() }
        step += 1
        temperature *= Self.cooling
        guard var next = arrangement else { return }
        let freedom = Arrangement.Freedom(stages: stages, replicas: 1, layers: tables.layers, microBatches: 1)
        _ = next.disturb(&generator, freedom: freedom, affinity: affinity)
        guard next != arrangement, let peers = next.pipelines.first, budget.allows(peers), let stages = cut(peers)
        else { return }
        let total = consider(stages)
        let scale = seconds.isFinite ? seconds : 0
        guard total <= value + scale * temperature * generator.exponential() else { return }
        arrangement = next
        value = total
    }

    private static let cooling = Cooling.factor(from: hot, to: cold, steps: stepsOfRound)

    /// A layer over a boundary as long as that helps: the cuts are those for a whole prompt.
    mutating func refine() {
        var improved = true
        while improved, let start = best {
            improved = false
            for boundary in start.stages.indices.dropFirst() {
                for shift in [-1, 1] {
                    let cut = start.stages[boundary].layers.lowerBound + shift
                    guard cut > start.stages[boundary - 1].layers.lowerBound,
                        cut < start.stages[boundary].layers.upperBound
                    else { continue }
                    var stages = start.stages
                    stages[boundary - 1].layers = stages[boundary - 1].layers.lowerBound..<cut
                    stages[boundary].layers = cut..<stages[boundary].layers.upperBound
                    guard
                        stages.allSatisfy({
                            tables.stageBytes($0.layers, sequences: 1) <= tables.memoryBytes[$0.peer]
                        })
                    else { continue }
                    let before = seconds
                    consider(stages)
                    improved = improved || seconds < before
                }
            }
        }
    }
}
