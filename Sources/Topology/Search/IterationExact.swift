/// Branch and bound over whole plans of few peers: who stands where in which pipeline, where the layers are cut, how the
/// micro-batches are shared, and the schedule.
///
/// Pipelines are laid down one after the other, each with its share of the micro-batches. A branch ends where a stage
/// cannot be done in the time of the best plan so far: the first micro-batch must reach it, then it has all of its share to
/// do; or where the peers that are left could not do the micro-batches that are left if they did nothing else. How many
/// micro-batches a stage holds is not searched: it follows the schedule, or where that leaves it open `LayoutBuilder`'s rule.
/// Neither are slices of a spread exchange, which are `SpreadSlices`', `TailoredSlices`' and `TimedSlices`', nor when stages let
/// forward passes go first (`StageEndings`).
struct IterationExact {
    private let problem: PlanningProblem
    private let tables: CostTables
    private let closedForm: ClosedForm
    private let budget: CostBudget
    private let nodeLimit: Int
    private let workFlops: Double
    /// By peer: the peers of lower index that differ in nothing.
    private let twins: [[Int]]
    private var builder: LayoutBuilder
    /// The same for plans in whose exchanges all peers help, where the problem allows these.
    private var spreading: LayoutBuilder?
    private var isUsed: [Bool]
    private var restSpeed: Double
    private var pipelines: [LayoutBuilder.Pipeline] = []
    private var shares: [Int] = []
    private var nodes = 0
    /// Nodes at which `isOver` is asked again.
    private var nextQuestion = 0
    private var isOver: () -> Bool = { false }
    private var isStopped = false
    /// Plans that were simulated, at most.
    private(set) var simulations = 0
    /// The best plan found that is faster than the one that the search began with.
    private(set) var best: Layout?
    private(set) var seconds: Double

    /// A few milliseconds' worth.
    private static let nodesBetweenQuestions = 1_000
    /// Peers up to which the whole tree can be worth its time.
    static let mostPeers = 12

    /// - Parameters:
    ///   - seconds: the simulated time of a plan that is known already.
    ///   - nodeLimit: stages laid down after which the search gives up; a simulated plan counts as many as take the same time.
    init(_ problem: PlanningProblem, tables: CostTables, seconds: Double, nodeLimit: Int) {
        self.problem = problem
        self.tables = tables
        self.seconds = seconds
        self.nodeLimit = nodeLimit
        closedForm = ClosedForm(tables: tables)
        budget = CostBudget(problem)
        builder = LayoutBuilder(tables: tables, schedule: .zeroBubble)
        isUsed = Array(repeating: false, count: tables.peers)
        restSpeed = tables.secondsPerFlop.reduce(0) { $0 + 1 / $1 }
        workFlops = tables.forwardPrefix[tables.layers] + tables.backwardPrefix[tables.layers]
        let prices = budget.prices
        twins = (0..<tables.peers).map { peer in
            (0..<peer).filter { prices[$0] == prices[peer] && tables.areTwins($0, peer) }
        }
    }

    /// Searches the whole tree; whether it came to its end, so that no plan is faster than `seconds`.
    ///
    /// - Parameter isOver: asked now and then; if so, the search gives up.
    mutating func run(isOver: () -> Bool = { false }) -> Bool {
        withoutActuallyEscaping(isOver) { isOver in
            self.isOver = isOver
            defer { self.isOver = { false } }
            for schedule in problem.schedule.map({ [$0] }) ?? PlanSchedule.allCases {
                builder = LayoutBuilder(tables: tables, schedule: schedule)
                spreading =
                    tables.spreadsExchange ? LayoutBuilder(tables: tables, schedule: schedule, exchange: .spread) : nil
                place(rest: tables.microBatches, after: -1)
                if isStopped || nodes > nodeLimit { return false }
            }
            return true
        }
    }

    /// Whether the limit is reached or the time is over.
    private mutating func givesUp() -> Bool {
        if isStopped || nodes > nodeLimit { return true }
        if nodes >= nextQuestion {
            nextQuestion = nodes + Self.nodesBetweenQuestions
            isStopped = isOver()
        }
        return isStopped
    }

    /// Lays down one pipeline more, or judges the plan if all micro-batches have one.
    ///
    /// - Parameter first: the first peer of the pipeline before. Pipelines may change places unless replicas exchange
    ///   canonical partial sums, so only ascending first peers are looked at.
    private mutating func place(rest: Int, after first: Int) {
        guard !givesUp() else { return }
        if rest == 0 {
            if problem.shape.replicas.map({ $0 == pipelines.count }) ?? true { judge() }
            return
        }
        let wanted = problem.shape.replicas ?? tables.peers
        guard pipelines.count < wanted, Double(rest) * workFlops <= restSpeed * seconds * (1 + 1e-9)
        else { return }
        let isLast = problem.shape.replicas == pipelines.count + 1
        for share in isLast ? rest...rest : 1...rest {
            extend([], cuts: [], arrival: 0, share: share, rest: rest, after: first)
        }
    }

    /// Adds a stage to the pipeline at hand, or ends it if it covers all layers.
    ///
    /// - Parameter arrival: when the first micro-batch leaves the last stage so far.
    private mutating func extend(
        _ peers: [Int], cuts: [Range<Int>], arrival: Double, share: Int, rest: Int, after first: Int
    ) {
        let start = cuts.last?.upperBound ?? 0
        if start == tables.layers {
            finish(peers, cuts: cuts, share: share, rest: rest)
            return
        }
        let left = problem.shape.stages.map { $0 - peers.count } ?? 0
        guard problem.shape.stages == nil || left > 0 else { return }
        for peer in 0..<tables.peers where !isUsed[peer] {
            guard !peers.isEmpty || peer > first || tables.exactReduction else { continue }
            guard !twins[peer].contains(where: { !isUsed[$0] }) else { continue }
            var reached = arrival
            if let last = peers.last, let range = cuts.last {
                let hop = closedForm.hop(
                    from: Layout.Stage(peer: last, layers: range, depth: 1),
                    to: Layout.Stage(peer: peer, layers: start..<(start + 1), depth: 1))
                reached += hop.forward
            }
            isUsed[peer] = true
            restSpeed -= 1 / tables.secondsPerFlop[peer]
            let ends = left == 1 ? tables.layers...tables.layers : (start + 1)...(tables.layers - max(0, left - 1))
            for end in ends {
                nodes += 1
                guard !givesUp() else { break }
                let range = start..<end
                let forward = tables.forwardSeconds(range, on: peer)
                let work = Double(share) * (forward + tables.backwardSeconds(range, on: peer))
                guard reached + work < seconds else { break }
                guard tables.stageBytes(range, depth: 1) <= tables.memoryBytes[peer] else { continue }
                extend(
                    peers + [peer], cuts: cuts + [range], arrival: reached + forward, share: share, rest: rest,
                    after: first)
            }
            isUsed[peer] = false
            restSpeed += 1 / tables.secondsPerFlop[peer]
        }
    }

    private mutating func finish(_ peers: [Int], cuts: [Range<Int>], share: Int, rest: Int) {
        guard budget.allows(pipelines.flatMap(\.peers) + peers),
            let pipeline = builder.pipeline(peers, cuts: cuts, share: share),
            tables.sharesAccess
                || (closedForm.stageEnds(pipeline.stages, microBatches: share, schedule: builder.schedule).finishes
                    .first
                    ?? 0)
                    < seconds
        else { return }
        pipelines.append(pipeline)
        shares.append(share)
        place(rest: rest - share, after: peers[0])
        pipelines.removeLast()
        shares.removeLast()
    }

    private mutating func judge() {
        var layout = Layout(pipelines: pipelines.map(\.stages), microBatches: shares, schedule: builder.schedule)
        // Without shared access links and other exchanges the closed form is the simulator's value but for rounding.
        if !tables.sharesAccess, tables.exchangeClusters.isEmpty, !tables.spreadsExchange {
            guard closedForm.seconds(layout) < seconds * (1 + 1e-9) else { return }
        }
        let styles = ExchangeStyle.allowed(tables).count
        // As it is, in every style, and the best once more.
        let fits = tables.spreadsExchange ? Self.simulationsOfFit : 0
        count(layout, times: styles > 1 && pipelines.count > 1 ? styles + 2 + fits : 1)
        layout = layout.withBetterExchange(tables: tables, endings: false)
        keep(layout)
        guard let spreading else { return }
        // Where all peers help, other depths suit the same stages.
        let others = pipelines.indices.compactMap { rank in
            spreading.pipeline(pipelines[rank].peers, cuts: pipelines[rank].stages.map(\.layers), share: shares[rank])
        }
        guard others.count == pipelines.count, others.map(\.stages) != pipelines.map(\.stages) else { return }
        layout.pipelines = others.map(\.stages)
        for style in [ExchangeStyle.spread, .tailored, .timed] {
            layout.exchange = style
            count(layout, times: style == .timed ? 1 + Self.simulationsOfFit : 1)
            keep(layout)
        }
    }

    /// Simulations that take as long as to fit timed slices; a guess.
    private static let simulationsOfFit = 8

    /// Takes from the limit what simulating a plan costs: a stage for every pass and every message, which took 2 to 4 µs, as
    /// laying down a stage does, and twice as much on access links that are shared.
    private mutating func count(_ layout: Layout, times: Int = 1) {
        let passes = zip(layout.pipelines, layout.microBatches).reduce(0) { $0 + $1.0.count * $1.1 }
        let messages = layout.pipelines.reduce(0) { $0 + $1.count } * (layout.pipelines.count - 1)
        nodes += times * (tables.sharesAccess ? 2 : 1) * (passes + messages)
        simulations += times
    }

    private mutating func keep(_ layout: Layout) {
        let value = IterationSimulator.run(layout, tables: tables).seconds
        guard value < seconds else { return }
        seconds = value
        best = layout
    }
}
