import Primitives
import Testing

@testable import Topology

/// Links kept by place must mean the same as links kept one by one.
struct LinkTableTests {
    /// 24 peers at three places, and a fourth where nobody stands.
    private static func problem() -> PlanningProblem {
        let places = (0..<24).map { $0 * 7 % 3 }
        let nodes = places.indices.map {
            LinkGraph.Node(name: "peer\($0)", flopsPerSecond: 1e11, memoryBytes: 4e9)
        }
        func table(_ value: (Int, Int) -> Double) -> LinkTable<LinkEstimate> {
            LinkTable(
                places: places, width: 4,
                values: (0..<16).map { .measured(value($0 / 4, $0 % 4)) }, own: .unknown)
        }
        let graph = LinkGraph(
            nodes: nodes, latencies: table { $0 == $1 ? 0.001 : 0.01 * Double(1 + $0 + 2 * $1) },
            rates: table { $0 == $1 ? 1e8 : 1e6 * Double(3 + 2 * $0 + $1) },
            digest: Digest.sha256([UInt8](arrayLiteral: 1)))
        return PlanningProblem(
            name: "places", graph: graph,
            model: .gpt(
                name: "small", shape: GPTShape(layers: 4, width: 128, heads: 4, context: 128, vocabulary: 256),
                precision: .single), batch: PlanningProblem.Batch(sequences: 48, microBatchSequences: 1),
            slicesTiedExchange: true, weighsSlices: true)
    }

    private static func filled(_ problem: PlanningProblem) -> PlanningProblem {
        var filled = problem
        filled.graph.latencies = problem.graph.latencies.filled
        filled.graph.rates = problem.graph.rates.filled
        return filled
    }

    @Test func placesMeanWhatPairsMean() throws {
        let places = Self.problem()
        let pairs = Self.filled(places)
        #expect(places.graph.rates.isOfPlaces && !pairs.graph.rates.isOfPlaces)
        #expect(places.graph == pairs.graph && places.graph.hashValue == pairs.graph.hashValue)
        let order = [5, 23, 0, 7, 11]
        #expect(places.graph.permuted(order) == pairs.graph.permuted(order))
        try places.validate()
        let options = PlannerOptions(seed: 3, budget: 300)
        let (first, second) = (try Planner.plan(places, options: options), try Planner.plan(pairs, options: options))
        #expect(first.layout == second.layout && first.objectiveSeconds == second.objectiveSeconds)
    }

    @Test func everyKindOfLinkIsCountedOnce() {
        let graph = Self.problem().graph
        var pairs = 0
        graph.rates.forEachKind { source, target, count in
            #expect(source != target)
            pairs += count
        }
        #expect(pairs == graph.count * (graph.count - 1))
    }

    @Test func aLinkSetByItselfChangesNoOther() {
        let graph = Self.problem().graph
        var changed = graph
        changed.setLink(from: 2, to: 9, latency: nil, bytesPerSecond: .measured(5))
        for position in graph.rates.indices where position != graph.position(from: 2, to: 9) {
            #expect(changed.rates[position] == graph.rates[position])
        }
        #expect(changed.rates[2, 9].value == 5)
        #expect(changed.latencies.isOfPlaces, "only the table that was written is written out")
        // Tables of different shapes still make a problem.
        var problem = Self.problem()
        problem.graph = changed
        #expect(CostTables(problem).secondsPerByte[2, 9] == 0.2)
    }

    /// The exchange priced by places is the one that follows every pair, where all pipelines are cut alike.
    @Test(arguments: [true, false]) func exchangeByPlaceFollowsTheExchangeByPair(weighsSlices: Bool) throws {
        var problem = Self.problem()
        problem.weighsSlices = weighsSlices
        let places = CostTables(problem)
        let pairs = CostTables(Self.filled(problem))
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<20 {
            var peers = Array(0..<24)
            generator.shuffle(&peers)
            let stages = 1 + generator.index(below: 4)
            let cuts = LayerSplit.even(layers: 4, stages: stages)
            let replicas = 24 / stages
            let layout = Layout(
                pipelines: (0..<replicas).map { rank in
                    cuts.indices.map { Layout.Stage(peer: peers[rank * stages + $0], layers: cuts[$0], depth: 2) }
                }, microBatches: MicroBatchSplit.even(48, over: replicas), schedule: .zeroBubble)
            let finishes = layout.pipelines.map { $0.map { _ in 1 + generator.unit() } }
            let expected = GradientExchange(layout: layout, tables: pairs).ends(finishes: finishes)
            let found = try #require(GradientExchange(layout: layout, tables: places).endsByPlace(finishes: finishes))
            for (one, other) in zip(expected.joined(), found.joined()) {
                #expect(abs(one - other) < 1e-12, "by pair \(one), by place \(other)")
            }
            #expect(GradientExchange(layout: layout, tables: places).ends(finishes: finishes) == expected)
        }
    }
}
