import Primitives
import Testing

@testable import Topology

/// Exchanges in which relays gather slices on their way.
@Suite struct RelayedSlicesTests {
    /// Peers in clusters with fast links within and slow ones between, more than go without relays.
    private static func problem(seed: UInt64, peers: Int = 18) -> PlanningProblem {
        var problem = RandomProblem.make(
            seed: seed, peers: peers, layers: 4 + Int(seed % 3), microBatches: 24, memoryBytes: 1e11)
        for index in problem.model.layers.indices { problem.model.layers[index].parameters *= seed % 2 == 0 ? 1 : 30 }
        problem.weighsSlices = true
        problem.exchangesInLevels = true
        return problem
    }

    private static func layout(_ problem: PlanningProblem, seed: UInt64) -> Layout? {
        var generator = SeededGenerator(seed: seed)
        guard
            var layout = seed % 2 == 0
                ? RandomProblem.unevenLayout(of: problem, schedule: .zeroBubble, generator: &generator)
                : RandomProblem.layout(of: problem, schedule: .zeroBubble, generator: &generator),
            layout.pipelines.count > 1
        else { return nil }
        layout.exchange = .relayed
        return layout.fitsMemory(tables: CostTables(problem)) ? layout : nil
    }

    private static func exchange(_ layout: Layout, _ tables: CostTables) throws -> SpreadExchange {
        try #require(SpreadExchange(layout, pieces: SpreadExchange.pieces(of: layout, tables), tables: tables))
    }

    /// Two regions of two pipelines each, a slow link between: a relay adds up what its region sends, so that half as much
    /// crosses.
    @Test func sumsCrossOnce() throws {
        let tables = CostTables(Self.regions())
        var layout = Layout(
            pipelines: (0..<18).map { [Layout.Stage(peer: $0, layers: 0..<2, depth: 1)] },
            microBatches: Array(repeating: 1, count: 18), schedule: .oneForwardOneBackward)
        func crossing() -> Double {
            IterationSimulator.run(layout, tables: tables).links.reduce(0) {
                ($1.source < 9) != ($1.target < 9) ? $0 + $1.bytes : $0
            }
        }
        layout.exchange = .timed
        let straight = (bytes: crossing(), seconds: IterationSimulator.run(layout, tables: tables).exchangeSeconds)
        layout.exchange = .relayed
        let relayed = (bytes: crossing(), seconds: IterationSimulator.run(layout, tables: tables).exchangeSeconds)
        // Of nine parts there and nine totals back a slice needs one of each.
        #expect(relayed.bytes < 0.5 * straight.bytes, "\(relayed.bytes) of \(straight.bytes) bytes")
        #expect(relayed.seconds < 0.8 * straight.seconds, "\(relayed.seconds) next to \(straight.seconds)")
        #expect(layout.withRelays(tables: tables).exchange == .relayed)
    }

    /// Nine peers each with fast links, a hundredth as fast between the two halves.
    private static func regions() -> PlanningProblem {
        var problem = CostModelTests.problem(
            peers: 18, layers: 2, microBatches: 18, latency: 0, bytesPerSecond: 1000, parameters: 1000)
        for source in 0..<18 {
            for target in 0..<18 where (source < 9) != (target < 9) {
                problem.graph.setLink(
                    from: source, to: target, latency: .measured(0), bytesPerSecond: .measured(10))
            }
        }
        problem.exchangesInLevels = true
        problem.weighsSlices = true
        return problem
    }

    /// What is followed transfer by transfer is what the simulator sees, but where transfers of stages and of the exchange meet.
    @Test func recurrenceFollowsTheSimulator() throws {
        var errors: [Double] = []
        for seed: UInt64 in 0..<24 {
            let problem = Self.problem(seed: seed)
            guard let layout = Self.layout(problem, seed: seed) else { continue }
            let tables = CostTables(problem)
            let simulated = IterationSimulator.run(layout, tables: tables).seconds
            errors.append(abs(ClosedForm(tables: tables).seconds(layout) / simulated - 1))
        }
        errors.sort()
        #expect(errors.count > 15)
        #expect(errors[errors.count / 2] < 1e-9, "\(errors)")
        #expect(errors[errors.count * 95 / 100] < 0.05, "\(errors)")
    }

    /// Every holder's part comes to the peer that adds it up; only peers of the plan help, and they have room for it.
    @Test func treesJoinAllHolders() throws {
        var relays = 0
        for seed: UInt64 in 0..<12 {
            let problem = Self.problem(seed: seed)
            guard let layout = Self.layout(problem, seed: seed) else { continue }
            let tables = CostTables(problem)
            let exchange = try Self.exchange(layout, tables)
            let isUsed = layout.isUsed(of: tables.peers)
            var room = (0..<tables.peers).map { _ in tables.largestSlice * tables.gradientBytes(0..<tables.layers) }
            for stage in layout.pipelines.joined() {
                room[stage.peer] -= tables.largestSlice * tables.gradientBytes(stage.layers)
            }
            for (index, piece) in SpreadExchange.pieces(of: layout, tables).enumerated() {
                #expect(abs(exchange.slices[index].reduce(0, +) - 1) < 1e-9, "seed \(seed), piece \(index)")
                let holders = piece.holders(in: layout, layers: tables.layers).map {
                    layout.pipelines[$0.rank][$0.stage].peer
                }
                for adder in exchange.adders[index] {
                    let tree = try #require(exchange.tree(index, adder))
                    relays += tree.relays.count
                    #expect(tree.relayOfHolder.count == holders.count)
                    #expect(tree.relayOfHolder.allSatisfy { $0 < tree.relays.count })
                    #expect(Set(tree.relays).count == tree.relays.count && !tree.relays.contains(adder))
                    #expect(tree.relays.indices.allSatisfy(tree.relayOfHolder.contains), "a relay without parts")
                    let bytes = piece.bytes * exchange.slices[index][adder]
                    for peer in tree.relays + [adder] {
                        #expect(isUsed[peer], "seed \(seed): peer \(peer) has no stage")
                        if !holders.contains(peer) { room[peer] -= bytes }
                    }
                }
            }
            let least = room.min() ?? 0
            #expect(least > -1e-6 * tables.gradientBytes(0..<tables.layers), "seed \(seed): \(least) bytes of room")
        }
        #expect(relays > 300, "\(relays) relays in all")
    }

    /// A price is what the exchange ends later for a slice that is a little larger.
    @Test func pricesAreDerivatives() throws {
        var checked = 0
        for seed: UInt64 in 0..<6 {
            let problem = Self.problem(seed: seed)
            guard let layout = Self.layout(problem, seed: seed) else { continue }
            let tables = CostTables(problem)
            let exchange = try Self.exchange(layout, tables)
            let ends = zip(layout.pipelines, layout.microBatches).map {
                PipelineRecurrence($0, schedule: layout.schedule, tables: tables).ends(microBatches: $1)
            }
            let figures = try #require(tables.spreadFigures)
            let recurrence = RelayedRecurrence(
                SpreadRecurrence(
                    layout, pieces: SpreadExchange.pieces(of: layout, tables), ends: ends, tables: tables, figures),
                trees: exchange.trees)
            var record = RelayedRecurrence.Record()
            recurrence.record(exchange.slices, &record)
            // Only what arrives last counts.
            let prices = recurrence.prices(record, exchange.slices, sharpness: 1e9)
            for (piece, ofPiece) in prices.enumerated() {
                for (adder, price) in ofPiece.enumerated() where price > 0 {
                    var slices = exchange.slices
                    let step = slices[piece][adder] * 1e-7
                    slices[piece][adder] += step
                    var other = RelayedRecurrence.Record()
                    recurrence.record(slices, &other)
                    let slope = (other.end - record.end) / step
                    guard abs(slope - price) > 1e-3 * price else {
                        checked += 1
                        continue
                    }
                    // Where two ways end at the same time either may be followed.
                    #expect(slope > price * 0.999, "seed \(seed): price \(price), slope \(slope)")
                }
            }
        }
        #expect(checked > 50, "\(checked) prices")
    }

    /// Plans with relays are not below the bounds, neither of many peers nor of peers of few kinds.
    @Test func boundsHoldForRelays() throws {
        var least = Double.infinity
        for seed: UInt64 in 0..<9 {
            let isOfFewKinds = seed % 3 > 0
            var problem = Self.problem(seed: seed)
            if isOfFewKinds { Self.makeAlike(&problem, kinds: 1 + Int(seed % 3)) }
            let tables = CostTables(problem)
            #expect(tables.relaysExchange)
            var generator = SeededGenerator(seed: seed)
            for _ in 0..<6 {
                guard
                    var layout = RandomProblem.unevenLayout(of: problem, schedule: .zeroBubble, generator: &generator),
                    layout.pipelines.count > 1
                else { continue }
                layout.exchange = .relayed
                guard layout.fitsMemory(tables: tables) else { continue }
                let ended = StageEndings(tables: tables).applied(to: layout)
                let seconds = min(
                    IterationSimulator.run(layout, tables: tables).seconds,
                    IterationSimulator.run(ended, tables: tables).seconds)
                problem.shape.replicas = layout.pipelines.count
                let form = IterationLowerBound(problem: problem, tables: tables)
                #expect(form.ofForm <= seconds * (1 + 1e-9), "seed \(seed): bound \(form.ofForm), plan \(seconds)")
                let bound = form.seconds(plan: seconds * 2, nodes: isOfFewKinds ? 100 : 0)
                #expect(bound <= seconds * (1 + 1e-9), "seed \(seed): bound \(bound), plan \(seconds)")
                least = min(least, seconds / bound)
            }
        }
        #expect(least < 3, "the nearest plan is \(least) times its bound")
    }

    /// Gives all peers of a third, or a half, the first one's links.
    private static func makeAlike(_ problem: inout PlanningProblem, kinds: Int) {
        let peers = problem.graph.count
        for source in 0..<peers {
            problem.graph.nodes[source].flopsPerSecond = problem.graph.nodes[source % kinds].flopsPerSecond
            problem.graph.nodes[source].memoryBytes = problem.graph.nodes[source % kinds].memoryBytes
            for target in 0..<peers where target != source {
                let (from, to) = (source % kinds, target % kinds == source % kinds ? kinds : target % kinds)
                let position = problem.graph.position(from: from, to: to)
                problem.graph.setLink(
                    from: source, to: target, latency: problem.graph.latencies[position],
                    bytesPerSecond: problem.graph.rates[position])
            }
        }
    }

    /// Few peers go without relays.
    @Test func fewPeersGoWithout() throws {
        let problem = Self.problem(seed: 0, peers: 12)
        let tables = CostTables(problem)
        #expect(!tables.relaysExchange)
        var layout = try #require((0..<20).lazy.compactMap { Self.layout(problem, seed: $0) }.first)
        layout.exchange = .timed
        #expect(layout.withRelays(tables: tables).exchange == .timed)
    }
}
