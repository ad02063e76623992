/// The judge of a plan: a discrete-event simulation of one training iteration.
///
/// Stages work as the training engine's do, a transfer starts when its tensor is ready and the pair's earlier
/// transfers are out, tensors arrive after the link's latency, gradients are exchanged by reduce-scatter and all-gather
/// among the holders of every layer, the first and the last stage add a tied embedding's gradients, and every peer steps
/// its optimiser. The iteration ends when the last peer has stepped.
package struct IterationSimulator {
    enum Message {
        case activation(stage: Int)
        case gradient(stage: Int)
        case exchanged(ExchangeStep, segment: Int, rank: Int)
        case tied(stage: Int)
        /// Of a spread exchange: a holder's part of the slice that a peer adds up, and a total.
        case part(segment: Int, peer: Int)
        case total(segment: Int, holder: Int)
        /// What a relay gathers for whoever adds it up, and the total on its way back.
        case gathered(segment: Int, adder: Int, relay: Int)
        case returned(segment: Int, adder: Int, relay: Int)
    }

    /// What a holder waits for in the exchange of a segment, in this order (`ExchangeForm`).
    enum ExchangeStep: Int, CaseIterable {
        /// Slices of its mates' gradients, and its own last backward pass.
        case gradients
        /// Sums of other clusters.
        case sums
        /// Totals of the parts that other clusters add up.
        case totals
        /// Its mates' slices of the total.
        case slices
    }

    enum Pass {
        case forward, backward, weights
        /// All weights' gradients that are left, layer by layer.
        case lastWeights
    }

    enum Event {
        case computed(stage: Int, pass: Pass)
        case arrived(Message)
        case computedPiece(segment: Int, stage: Int)
        case stepped(stage: Int)
        case finished(stage: Int)
    }

    struct StageState {
        var rank: Int
        var position: Int
        var isLast: Bool
        var peer: Int
        var layers: Range<Int>
        var microBatches: Int
        var depth: Int
        /// Backward passes that are done when forward passes begin to go first, and whether weights do until then.
        var turn: Int
        var isPrompt: Bool
        var forwardSeconds: Double
        /// Without the weights' gradients, if those are computed apart.
        var backwardSeconds: Double
        var weightSeconds: Double
        var isBusy = false
        var forwardsReady: Int
        var backwardsReady = 0
        var forwards = 0
        var backwards = 0
        /// Micro-batches whose weights' gradients are done.
        var weights = 0
        var segments: [Int] = []
        var segmentsDone = 0
        var hasTied = false
        var isFinished = false
        /// Bytes of gradients that are still to be sent to the stage before at the end of the last pass (tail only).
        var backlog = 0.0
        var finish = 0.0
        var exchangeBegin = Double.infinity
        var exchanged = 0.0
        var done = 0.0
    }

    let tables: CostTables
    let exchange: GradientExchange
    let replicas: Int
    let exchanges: Bool
    /// Whether only what follows the last micro-batch's backward pass at the last stage is simulated.
    private var isTail = false
    /// By rank (tail only).
    private var tails: [PipelineTail] = []
    /// By segment.
    let forms: [ExchangeForm]
    private let schedule: PlanSchedule
    private let style: ExchangeStyle
    /// `nil` if no peers help that do not hold a layer.
    var spread: SpreadState?
    var stages: [StageState] = []
    var firstStageOfRank: [Int] = []
    var events = EventQueue<Event>()
    /// Stages that may be able to begin a pass, and since when.
    private var idle: [(index: Int, time: Double)] = []
    /// Seconds between events that happen at the same time but for rounding: passes of whole layers often end together, and
    /// what goes first must not be a matter of the last bit.
    static let simultaneous = 1e-9
    /// Used where access links are shared.
    private var network: FluidNetwork<Message>
    /// Used where they are not.
    private var direct: DirectNetwork
    /// By step, then by segment and rank: tensors that have come.
    var received: [[Int]]
    /// By segment and rank: what it waits for; `nil` when it is done.
    var steps: [ExchangeStep?]

    /// Simulates one iteration. Memory is not looked at: `ClosedForm` refuses plans that do not fit.
    ///
    /// With local steps the times are those of the iteration that exchanges; `seconds` is the mean over all of them.
    package static func run(_ layout: Layout, tables: CostTables) -> IterationTrace {
        let tables = tables.leavingPlain(layout.plainLinks)
        var simulator = IterationSimulator(layout, tables: tables, exchanges: true)
        simulator.run()
        var trace = simulator.trace()
        guard tables.localSteps > 1, layout.pipelines.count > 1 else { return trace }
        var local = IterationSimulator(layout, tables: tables, exchanges: false)
        local.run()
        let mean =
            (trace.seconds + Double(tables.localSteps - 1) * local.trace().seconds) / Double(tables.localSteps)
        trace.exchangeSeconds = max(0, mean - trace.pipelineSeconds - trace.optimizerSeconds)
        trace.seconds = mean
        return trace
    }

    /// When the last peer has exchanged and stepped, if the stages would end their last passes at these times but for what
    /// the exchange takes from the last gradients' share of the access links.
    ///
    /// - Parameter grain: see `FluidNetwork`.
    static func exchangeSeconds(
        _ layout: Layout, finishes: [[Double]], tables: CostTables, grain: Double = 0
    ) -> Double {
        var simulator = IterationSimulator(layout, tables: tables, exchanges: true, grain: grain)
        simulator.isTail = true
        for (rank, stages) in finishes.enumerated() {
            let first = simulator.firstStageOfRank[rank]
            let tail = PipelineTail(layout, rank: rank, tables: tables)
            simulator.tails.append(tail)
            let backlogs = tail.backlogs(finishes: stages)
            for (position, finish) in stages.enumerated() {
                simulator.stages[first + position].finish = finish
                simulator.stages[first + position].backlog = backlogs[position]
            }
            simulator.events.push(.finished(stage: first + stages.count - 1), at: stages[stages.count - 1])
        }
        simulator.loop()
        return simulator.stages.map(\.done).max() ?? 0
    }

    /// Starts what the end of a stage's last pass leaves to the stage before.
    private mutating func sendBacklog(_ index: Int, at time: Double) {
        let stage = stages[index]
        guard stage.position > 0 else { return }
        guard stage.backlog > 0 else {
            events.push(.finished(stage: index - 1), at: max(time, stages[index - 1].finish))
            return
        }
        let rest = tails[stage.rank].rest(of: stage.backlog, at: stage.position, late: time - stage.finish)
        send(rest, from: stage.peer, to: stages[index - 1].peer, tag: .gradient(stage: index - 1), at: time)
    }

    private init(_ layout: Layout, tables: CostTables, exchanges: Bool, grain: Double = 0) {
        self.tables = tables
        var exchanged = layout
        // Nothing need be divided where nothing is exchanged.
        if !exchanges { exchanged.exchange = .direct }
        exchange = GradientExchange(layout: exchanged, tables: tables)
        self.exchanges = exchanges && layout.pipelines.count > 1
        forms = self.exchanges ? exchange.segments.indices.map(exchange.form(of:)) : []
        replicas = layout.pipelines.count
        schedule = layout.schedule
        style = layout.exchange
        if self.exchanges, let spread = exchange.spread {
            self.spread = SpreadState(spread, exchange)
        }
        network = FluidNetwork(tables: tables, grain: grain)
        direct = DirectNetwork(tables: tables)
        let holders = exchange.segments.count * replicas
        received = ExchangeStep.allCases.map { _ in Array(repeating: 0, count: holders) }
        steps = Array(repeating: .gradients, count: holders)
        for (rank, pipeline) in layout.pipelines.enumerated() {
            firstStageOfRank.append(stages.count)
            let microBatches = layout.microBatches[rank]
            for (position, stage) in pipeline.enumerated() {
                let backward = tables.backwardSeconds(stage.layers, on: stage.peer)
                let weights = layout.schedule == .zeroBubble ? backward * tables.weightGradientShare : 0
                stages.append(
                    StageState(
                        rank: rank, position: position, isLast: position + 1 == pipeline.count, peer: stage.peer,
                        layers: stage.layers, microBatches: microBatches,
                        depth: max(1, min(stage.depth, microBatches)),
                        turn: weights > 0 && stage.ending.forwardsFirst > 0
                            ? microBatches - stage.ending.forwardsFirst : .max,
                        isPrompt: weights > 0 && stage.ending.isPrompt,
                        forwardSeconds: tables.forwardSeconds(stage.layers, on: stage.peer),
                        backwardSeconds: backward - weights, weightSeconds: weights,
                        forwardsReady: position == 0 ? microBatches : 0))
            }
        }
        for (index, segment) in exchange.segments.enumerated() {
            for (rank, position) in segment.stages.enumerated() {
                stages[firstStageOfRank[rank] + position].segments.append(index)
                let last = layout.pipelines[rank].count - 1
                if segment.isTied, last > 0 { stages[firstStageOfRank[rank] + last].segments.append(index) }
            }
        }
    }

    private mutating func run() {
        for index in stages.indices { startNext(index, at: 0) }
        loop()
    }

    private mutating func loop() {
        while true {
            let transfer = network.nextCompletion()
            let next = min(transfer ?? .infinity, events.nextTime ?? .infinity)
            if let first = idle.first, next > first.time + Self.simultaneous {
                startIdle()
                continue
            }
            if let transfer, events.isEmpty || transfer <= (events.nextTime ?? .infinity) {
                if let completion = network.complete(at: transfer) {
                    events.push(.arrived(completion.tag), at: completion.time + completion.latency)
                }
                continue
            }
            guard let (time, event) = events.pop() else { break }
            handle(event, at: time)
        }
    }

    /// Lets stages begin what they can, now that everything is known that has come at about the same time.
    private mutating func startIdle() {
        let stages = idle
        idle.removeAll(keepingCapacity: true)
        for stage in stages { startNext(stage.index, at: stage.time) }
    }

    mutating func send(_ bytes: Double, from source: Int, to target: Int, tag: Message, at time: Double) {
        if tables.sharesAccess {
            network.send(bytes, from: source, to: target, tag: tag, at: time)
        } else {
            events.push(.arrived(tag), at: direct.send(bytes, from: source, to: target, at: time))
        }
    }

    private mutating func handle(_ event: Event, at time: Double) {
        switch event {
        case .computed(let index, let pass):
            stages[index].isBusy = false
            switch pass {
            case .forward: forwardDone(index, at: time)
            case .backward: backwardDone(index, at: time)
            case .weights: weightsDone(index, at: time)
            case .lastWeights:
                stages[index].weights = stages[index].microBatches
                finished(index, at: time)
            }
            idle.append((index, time))
        case .computedPiece(let segment, let stage):
            startPiece(segment, stage: stage, at: time)
        case .stepped(let index):
            stages[index].done = time
        case .finished(let index):
            sendBacklog(index, at: time)
            stages[index].isFinished = true
            startExchange(index, at: time)
        case .arrived(let message):
            switch message {
            case .activation(let index):
                stages[index].forwardsReady += 1
                idle.append((index, time))
            case .gradient(let index) where isTail:
                let end = time + stages[index].backwardSeconds + stages[index].weightSeconds
                events.push(.finished(stage: index), at: max(stages[index].finish, end))
            case .gradient(let index):
                stages[index].backwardsReady += 1
                idle.append((index, time))
            case .exchanged(let step, let segment, let rank):
                received[step.rawValue][segment * replicas + rank] += 1
                proceed(segment, rank: rank, at: time)
            case .tied(let index):
                stages[index].hasTied = true
                stepIfReady(index, at: time)
            case .part(let segment, let peer): partDone(segment, peer: peer, at: time)
            case .total(let segment, let holder): totalDone(segment, holder: holder, at: time)
            case .gathered(let segment, let adder, let relay):
                gatheredDone(segment, addedUpBy: adder, relay: relay, at: time)
            case .returned(let segment, let adder, let relay):
                returnedDone(segment, addedUpBy: adder, relay: relay, at: time)
            }
        }
    }

    /// Starts the next pass if its input is there, as the training engine's stage machine does: a backward pass that is
    /// ready goes first (with GPipe only after the last forward), a forward pass starts only while the stage may hold one
    /// micro-batch more, and with a zero-bubble schedule weights' gradients are computed when there is nothing else.
    private mutating func startNext(_ index: Int, at time: Double) {
        let stage = stages[index]
        guard !stage.isBusy else { return }
        let mayGoBackward = schedule != .gpipe || stage.forwards == stage.microBatches
        let held = stage.forwards - (schedule == .zeroBubble ? stage.weights : stage.backwards)
        let mayGoForward = stage.forwardsReady > stage.forwards && held < stage.depth
        let hasTurned = stage.backwards >= stage.turn
        if mayGoBackward, stage.backwardsReady > stage.backwards, !(hasTurned && mayGoForward) {
            stages[index].isBusy = true
            events.push(.computed(stage: index, pass: .backward), at: time + stage.backwardSeconds)
        } else if mayGoForward, !(stage.isPrompt && !hasTurned && stage.weights < stage.backwards) {
            stages[index].isBusy = true
            events.push(.computed(stage: index, pass: .forward), at: time + stage.forwardSeconds)
        } else if schedule == .zeroBubble, spread != nil, stage.backwards == stage.microBatches,
            stage.weights < stage.backwards
        {
            computeLastWeights(index, at: time)
        } else if schedule == .zeroBubble, stage.weights < stage.backwards {
            stages[index].isBusy = true
            events.push(.computed(stage: index, pass: .weights), at: time + stage.weightSeconds)
        }
    }

    /// A piece of a stage's gradients will be complete.
    mutating func completePiece(_ segment: Int, of index: Int, at time: Double) {
        events.push(.computedPiece(segment: segment, stage: index), at: time)
    }

    /// A stage computes the last weights' gradients until then.
    mutating func endLastWeights(_ index: Int, at time: Double) {
        stages[index].isBusy = true
        events.push(.computed(stage: index, pass: .lastWeights), at: time)
    }

    private mutating func forwardDone(_ index: Int, at time: Double) {
        stages[index].forwards += 1
        let stage = stages[index]
        guard !stage.isLast else {
            stages[index].backwardsReady += 1
            return
        }
        send(
            tables.forwardBytes(
                stage.layers.upperBound, link: stage.peer * tables.peers + stages[index + 1].peer),
            from: stage.peer, to: stages[index + 1].peer,
            tag: .activation(stage: index + 1), at: time)
    }

    private mutating func backwardDone(_ index: Int, at time: Double) {
        stages[index].backwards += 1
        let stage = stages[index]
        if stage.position > 0 { sendGradient(index, at: time) }
        if stage.backwards == stage.microBatches, schedule != .zeroBubble { finished(index, at: time) }
    }

    private mutating func sendGradient(_ index: Int, at time: Double) {
        let stage = stages[index]
        let target = stages[index - 1].peer
        send(
            tables.backwardBytes(stage.layers.lowerBound, link: stage.peer * tables.peers + target), from: stage.peer,
            to: target, tag: .gradient(stage: index - 1), at: time)
    }

    private mutating func weightsDone(_ index: Int, at time: Double) {
        stages[index].weights += 1
        if stages[index].weights == stages[index].microBatches { finished(index, at: time) }
    }

    private mutating func finished(_ index: Int, at time: Double) {
        stages[index].isFinished = true
        stages[index].finish = time
        startExchange(index, at: time)
    }

    private func trace() -> IterationTrace {
        let last = stages.map(\.finish).max() ?? 0
        let exchanged = max(last, stages.map(\.exchanged).max() ?? 0)
        let end = max(exchanged, stages.map(\.done).max() ?? 0)
        var rows: [[IterationTrace.Stage]] = Array(repeating: [], count: replicas)
        for stage in stages {
            rows[stage.rank].append(
                IterationTrace.Stage(
                    forwardSeconds: stage.forwardSeconds,
                    backwardSeconds: stage.backwardSeconds + stage.weightSeconds,
                    computeSeconds: Double(stage.microBatches)
                        * (stage.forwardSeconds + stage.backwardSeconds + stage.weightSeconds),
                    finishSeconds: stage.finish,
                    exchangeBeginSeconds: min(stage.exchangeBegin, stage.finish), exchangedSeconds: stage.exchanged,
                    doneSeconds: stage.done,
                    memoryBytes: tables.stageBytes(
                        stage.layers, depth: stage.depth, exchange: style)))
        }
        return IterationTrace(
            seconds: end, pipelineSeconds: last, exchangeSeconds: exchanged - last, optimizerSeconds: end - exchanged,
            stages: rows, links: tables.sharesAccess ? network.usage : direct.usage)
    }
}
