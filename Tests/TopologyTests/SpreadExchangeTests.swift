import Primitives
import Testing

@testable import Topology

/// Exchanges in which peers add up slices of layers that they do not hold.
@Suite struct SpreadExchangeTests {
    /// Peers in clusters with fast links within and slow ones between, all allowed.
    private static func problem(seed: UInt64, peers: Int = 12, layers: Int = 6) -> PlanningProblem {
        var problem = RandomProblem.make(seed: seed, peers: peers, layers: layers, microBatches: 24, memoryBytes: 1e11)
        problem.weighsSlices = true
        problem.exchangesInLevels = true
        return problem
    }

    private static func table(_ peers: Int, _ value: (Int, Int) -> Double) -> LinkTable<Double> {
        LinkTable(
            peers: peers, values: (0..<(peers * peers)).map { value($0 / peers, $0 % peers) }, own: 0)
    }

    private static func layout(
        seed: UInt64, schedule: PlanSchedule, exchange: ExchangeStyle = .spread
    ) -> (PlanningProblem, Layout)? {
        var generator = SeededGenerator(seed: seed)
        let problem = problem(seed: seed)
        guard var layout = RandomProblem.layout(of: problem, schedule: schedule, generator: &generator),
            layout.pipelines.count > 1
        else { return nil }
        layout.exchange = exchange
        return (problem, layout)
    }

    /// Random layouts to look at: fewer where slices are fitted.
    private static func seeds(_ exchange: ExchangeStyle) -> UInt64 { exchange == .timed ? 50 : 120 }

    /// Four peers with equal links, two stages: every pair of peers carries a quarter of what each of them holds, twice, where
    /// holders alone would send halves over one link in three. V = 40 bytes at 10 bytes/s.
    @Test func allLinksCarryGradients() throws {
        var problem = CostModelTests.problem(
            peers: 4, layers: 2, microBatches: 2, latency: 0, bytesPerSecond: 10, parameters: 10)
        problem.exchangesInLevels = true
        problem.weighsSlices = true
        let tables = CostTables(problem)
        var layout = Layout(
            pipelines: [0, 2].map { first in
                (0..<2).map { Layout.Stage(peer: first + $0, layers: $0..<($0 + 1), depth: 1) }
            }, microBatches: [1, 1], schedule: .oneForwardOneBackward)
        layout.exchange = .direct
        let direct = IterationSimulator.run(layout, tables: tables)
        layout.exchange = .spread
        let spread = IterationSimulator.run(layout, tables: tables)
        #expect(abs(direct.exchangeSeconds - 4) < 1e-6, "\(direct.exchangeSeconds)")
        #expect(abs(spread.exchangeSeconds - 2) < 1e-6, "\(spread.exchangeSeconds)")
        #expect(abs(ClosedForm(tables: tables).seconds(layout) - spread.seconds) < 1e-9)
        // Each stage's gradients leave it and their total comes back, but for the slice that it adds up itself.
        let sent = spread.links.reduce(0) { $0 + $1.bytes } - direct.links.reduce(0) { $0 + $1.bytes }
        #expect(abs(sent - (4 * 2 * 40 * 3 / 4.0 - 4 * 2 * 40 / 2.0)) < 1e-6, "\(sent)")
    }

    /// The last layer's gradients are on their way while the first one's are computed.
    @Test func exchangeOverlapsWithWhatIsPutOff() throws {
        var problem = CostModelTests.problem(
            peers: 2, layers: 8, microBatches: 8, latency: 0, bytesPerSecond: 10, parameters: 10)
        problem.exchangesInLevels = true
        let tables = CostTables(problem)
        var layout = Layout(
            pipelines: (0..<2).map { [Layout.Stage(peer: $0, layers: 0..<8, depth: 4)] }, microBatches: [4, 4],
            schedule: .zeroBubble)
        layout.exchange = .direct
        let direct = IterationSimulator.run(layout, tables: tables)
        layout.exchange = .spread
        let spread = IterationSimulator.run(layout, tables: tables)
        #expect(spread.pipelineSeconds == direct.pipelineSeconds)
        #expect(spread.exchangeSeconds < 0.5 * direct.exchangeSeconds, "\(spread.exchangeSeconds)")
        #expect(abs(ClosedForm(tables: tables).seconds(layout) - spread.seconds) < 1e-9)
    }

    @Test(
        arguments: [PlanSchedule.zeroBubble, .deepOneForwardOneBackward, .gpipe],
        [ExchangeStyle.spread, .tailored, .timed])
    func closedFormFollowsTheSimulator(schedule: PlanSchedule, exchange: ExchangeStyle) {
        var errors: [Double] = []
        for seed: UInt64 in 0..<Self.seeds(exchange) {
            guard let (problem, layout) = Self.layout(seed: seed, schedule: schedule, exchange: exchange) else {
                continue
            }
            let tables = CostTables(problem)
            let simulated = IterationSimulator.run(layout, tables: tables).seconds
            errors.append(abs(ClosedForm(tables: tables).seconds(layout) / simulated - 1))
        }
        errors.sort()
        #expect(errors.count > Self.seeds(exchange) / 2)
        #expect(errors[errors.count / 2] < 1e-4, "\(errors)")
        // Slices that suit a timeline suffer more from what the closed form does not know of it.
        #expect(errors[errors.count * 95 / 100] < (exchange == .timed ? 0.05 : 0.03), "\(errors)")
    }

    /// Pipelines of any lengths and cuts, a tied embedding with one holder in some and two in others, compression on some links.
    @Test(arguments: [ExchangeStyle.spread, .tailored, .timed])
    func closedFormFollowsTheSimulatorForUnevenPipelines(exchange: ExchangeStyle) throws {
        var errors: [Double] = []
        var lengths: Set<Int> = []
        for seed: UInt64 in 0..<Self.seeds(exchange) {
            var problem = Self.problem(seed: seed)
            problem.compression = try #require(
                .named("aq-sgd", activationElementBytes: 2, gradientElementBytes: 4))
            problem.model.tiedParameters = problem.model.layers.map(\.parameters).min().map { $0 / 2 } ?? 0
            let tables = CostTables(problem)
            var generator = SeededGenerator(seed: seed)
            guard
                var layout = RandomProblem.unevenLayout(of: problem, schedule: .zeroBubble, generator: &generator),
                layout.pipelines.count > 1
            else { continue }
            layout.exchange = exchange
            layout.plainLinks = Set((0..<(tables.peers * tables.peers)).filter { _ in generator.index(below: 3) == 0 })
            guard layout.fitsMemory(tables: tables) else { continue }
            lengths.formUnion(layout.pipelines.map(\.count))
            let plain = tables.leavingPlain(layout.plainLinks)
            let simulated = IterationSimulator.run(layout, tables: plain).seconds
            errors.append(abs(ClosedForm(tables: plain).seconds(layout) / simulated - 1))
        }
        errors.sort()
        #expect(
            errors.count > Self.seeds(exchange) / 2 && lengths.contains(1) && lengths.count > 2,
            "\(errors.count) of \(lengths)")
        #expect(errors[errors.count / 2] < 1e-3, "\(errors)")
        #expect(errors[errors.count * 95 / 100] < (exchange == .timed ? 0.05 : 0.03), "\(errors)")
    }

    /// Also where the search does not know tailored slices.
    @Test func plansHaveTheExchangeThatSuitsThemBest() throws {
        let problem = Self.problem(seed: 3, peers: 18)
        let report = try Planner.plan(problem, options: PlannerOptions(seed: 1, budget: 1_000))
        let tables = CostTables(problem)
        for style in ExchangeStyle.allowed(tables) {
            var layout = report.layout
            layout.exchange = style
            guard layout.fitsMemory(tables: tables) else { continue }
            let seconds = IterationSimulator.run(layout, tables: tables).seconds
            #expect(
                report.trace.seconds <= seconds * (1 + 1e-9), "\(report.layout.exchange) chosen, \(style) is faster")
        }
    }

    @Test func slicesAreAPartitionThatFollowsThePeers() throws {
        for seed: UInt64 in 0..<20 {
            let problem = Self.problem(seed: seed)
            let tables = CostTables(problem)
            let figures = try #require(tables.spreadFigures)
            for bytes in [1e3, 1e6, 1e9] {
                let slices = figures.slices(bytes: bytes)
                #expect(abs(slices.reduce(0, +) - 1) < 1e-9)
                #expect(slices.allSatisfy { $0 >= 0 && $0 <= tables.largestSlice * (1 + 1e-9) }, "\(slices)")
            }
            let order = Array((0..<problem.graph.count).reversed())
            let turned = SpreadFigures(
                latency: Self.table(tables.peers) { tables.latency[order[$0], order[$1]] },
                secondsPerByte: Self.table(tables.peers) { tables.secondsPerByte[order[$0], order[$1]] },
                peers: tables.peers, largest: tables.largestSlice)
            for (slice, other) in zip(figures.slices(bytes: 1e6).reversed(), turned.slices(bytes: 1e6)) {
                #expect(abs(slice - other) < 1e-6)
            }
        }
    }

    /// A peer whose links are slow adds up less than the others.
    @Test func slowLinksGetSmallSlices() throws {
        let peers = 6
        let figures = SpreadFigures(
            latency: Self.table(peers) { _, _ in 0 },
            secondsPerByte: Self.table(peers) { $0 == 0 || $1 == 0 ? 1 : 0.1 }, peers: peers, largest: 0.5)
        let slices = figures.slices(bytes: 1)
        // All links of the slow peer carry the other end's slice, too: the least time is that of 1/5 for each fast peer.
        #expect(slices[0] < 0.02, "\(slices)")
        #expect(slices.dropFirst().allSatisfy { abs($0 - 0.2) < 0.01 }, "\(slices)")
    }

    @Test func piecesCoverEveryParameterOnce() throws {
        for seed: UInt64 in 0..<20 {
            guard let (base, layout) = Self.layout(seed: seed, schedule: .zeroBubble) else { continue }
            var problem = base
            problem.model.tiedParameters =
                min(
                    problem.model.layers[0].parameters, problem.model.layers[problem.model.layers.count - 1].parameters)
                / 2
            let tables = CostTables(problem)
            let exchange = GradientExchange(layout: layout, tables: tables)
            let bytes = exchange.segments.reduce(0) { $0 + $1.bytes }
            #expect(abs(bytes / tables.gradientBytes(0..<tables.layers) - 1) < 1e-9)
            var covered = Array(repeating: 0, count: tables.layers)
            for piece in exchange.segments where !piece.isTied { for layer in piece.layers { covered[layer] += 1 } }
            #expect(covered.allSatisfy { $0 == 1 })
            let simulated = IterationSimulator.run(layout, tables: tables).seconds
            #expect(abs(ClosedForm(tables: tables).seconds(layout) / simulated - 1) < 0.05)
        }
    }

    /// Room for slices counts as memory.
    @Test func slicesNeedMemory() {
        let tables = CostTables(Self.problem(seed: 1))
        let range = 0..<2
        let others = tables.gradientBytes(0..<tables.layers) - tables.gradientBytes(range)
        #expect(
            tables.stageBytes(range, depth: 3, exchange: .spread) - tables.stageBytes(range, depth: 3)
                == tables.largestSlice * others)
    }

    /// A plan that spreads its exchange is not below the bound.
    @Test(arguments: [ExchangeStyle.spread, .tailored, .timed])
    func boundHoldsForSpreadPlans(exchange: ExchangeStyle) throws {
        for seed: UInt64 in 0..<40 {
            for schedule in [PlanSchedule.zeroBubble, .deepOneForwardOneBackward] {
                guard let (problem, layout) = Self.layout(seed: seed, schedule: schedule, exchange: exchange) else {
                    continue
                }
                let tables = CostTables(problem)
                let ended = StageEndings(tables: tables).applied(to: layout)
                let seconds = min(
                    IterationSimulator.run(layout, tables: tables).seconds,
                    IterationSimulator.run(ended, tables: tables).seconds)
                // That of plans that spread, not the lesser of two.
                let bound = IterationLowerBound(problem: problem, tables: tables).ofForm
                #expect(bound <= seconds * (1 + 1e-9), "seed \(seed): bound \(bound), plan \(seconds)")
            }
        }
    }

    /// Neither is any plan below the bounds of few peers, which look at divisions and skeletons, whatever the form of its exchange.
    @Test func boundsOfFewPeersHoldForAllForms() throws {
        var least = Double.infinity
        for seed: UInt64 in 0..<15 {
            var problem = Self.problem(seed: seed, peers: 4 + Int(seed % 4), layers: 3 + Int(seed % 3))
            for index in problem.model.layers.indices {
                problem.model.layers[index].parameters *= seed % 2 == 0 ? 1 : 30
            }
            problem.localSteps = seed % 5 == 0 ? 4 : 1
            if seed % 3 == 0 {
                problem.compression = try #require(
                    .named("aq-sgd", activationElementBytes: 2, gradientElementBytes: 4))
            }
            let tables = CostTables(problem)
            var generator = SeededGenerator(seed: seed)
            var best = Double.infinity
            for _ in 0..<20 {
                guard
                    var layout = RandomProblem.unevenLayout(of: problem, schedule: .zeroBubble, generator: &generator)
                else { continue }
                for style in ExchangeStyle.allowed(tables) {
                    layout.exchange = style
                    guard layout.fitsMemory(tables: tables) else { continue }
                    best = min(best, IterationSimulator.run(layout, tables: tables).seconds)
                }
                let timed = layout.timed(tables: tables).layout
                guard timed.fitsMemory(tables: tables) else { continue }
                best = min(best, IterationSimulator.run(timed, tables: tables).seconds)
            }
            guard best.isFinite else { continue }
            let bound = IterationLowerBound(problem: problem, tables: tables).seconds(plan: best * 2, nodes: 5_000)
            #expect(bound <= best * (1 + 1e-9), "seed \(seed): bound \(bound), plan \(best)")
            least = min(least, best / bound)
        }
        // Or the bounds would say nothing that could be wrong.
        #expect(least < 2, "the nearest plan is \(least) times its bound")
    }

    /// However a layer is sliced, whoever adds a part up sends it on whole, and that takes as long as the bound says; with
    /// equal links and no latency exactly that.
    @Test func lastLayerTakesTwoHops() throws {
        for seed: UInt64 in 0..<20 {
            let tables = CostTables(Self.problem(seed: seed))
            let bytes = tables.leastGradientBytes
            let count = tables.peers
            var generator = SeededGenerator(seed: seed)
            let from = generator.index(below: count)
            let bound = tables.twoHops[from]
            for _ in 0..<200 {
                var weights = (0..<count).map { _ in generator.index(below: 2) == 0 ? 0 : generator.unit() }
                weights[generator.index(below: count)] = 1
                let slices = weights.map { $0 / weights.reduce(0, +) }
                var ends: [Double] = []
                for to in 0..<count where to != from {
                    let direct = from * count + to
                    let own = (slices[from] + slices[to]) * bytes
                    var end = own > 0 ? own * tables.secondsPerByte[direct] + tables.latency[direct] : 0
                    for middle in 0..<count where middle != from && middle != to && slices[middle] > 0 {
                        let (first, second) = (from * count + middle, middle * count + to)
                        let part = slices[middle] * bytes
                        end = max(
                            end,
                            part * (tables.secondsPerByte[first] + tables.secondsPerByte[second])
                                + tables.latency[first] + tables.latency[second])
                    }
                    ends.append(end)
                }
                for (end, least) in zip(ends.sorted(), bound) {
                    #expect(end >= least * (1 - 1e-9), "seed \(seed): \(ends.sorted()), bound \(bound)")
                }
            }
        }
        var problem = CostModelTests.problem(
            peers: 4, layers: 2, microBatches: 2, latency: 0, bytesPerSecond: 10, parameters: 10)
        problem.exchangesInLevels = true
        // 40 bytes: half over the link at 10 bytes/s, a quarter by each of the two others, twice.
        #expect(CostTables(problem).twoHops.joined().allSatisfy { abs($0 - 2) < 1e-9 })
    }
}
