/// The judge of a plan: a discrete-event simulation of one training iteration.
///
/// Stages work as the training engine's do, a transfer starts when its tensor is ready and the pair's earlier
/// transfers are out, tensors arrive after the link's latency, gradients are exchanged by reduce-scatter and all-gather
/// among the holders of every layer, the first and the last stage add a tied embedding's gradients, and every peer steps
/// its optimiser. The iteration ends when the last peer has stepped.
package struct IterationSimulator {
    private enum Message {
        case activation(stage: Int)
        case gradient(stage: Int)
        case partialSlice(segment: Int, rank: Int)
        case reducedSlice(segment: Int, rank: Int)
        case tied(stage: Int)
    }

    private enum Event {
        case computed(stage: Int, forward: Bool)
        case arrived(Message)
        case stepped(stage: Int)
    }

    private struct StageState {
        var rank: Int
        var position: Int
        var isLast: Bool
        var peer: Int
        var layers: Range<Int>
        var microBatches: Int
        var depth: Int
        var forwardSeconds: Double
        var backwardSeconds: Double
        var isBusy = false
        var forwardsReady: Int
        var backwardsReady = 0
        var forwards = 0
        var backwards = 0
        var segments: [Int] = []
        var segmentsDone = 0
        var hasTied = false
        var finish = 0.0
        var exchanged = 0.0
        var done = 0.0
    }

    private let tables: CostTables
    private let exchange: GradientExchange
    private let replicas: Int
    private let schedule: PlanSchedule
    private var stages: [StageState] = []
    private var firstStageOfRank: [Int] = []
    private var events = EventQueue<Event>()
    private var network: FluidNetwork<Message>
    private var slicesReceived: [Int]
    private var slicesGathered: [Int]

    /// Simulates one iteration. Memory is not looked at: `ClosedForm` refuses plans that do not fit.
    package static func run(_ layout: Layout, tables: CostTables) -> IterationTrace {
        var simulator = IterationSimulator(layout, tables: tables)
        simulator.run()
        return simulator.trace(layout)
    }

    private init(_ layout: Layout, tables: CostTables) {
        self.tables = tables
        exchange = GradientExchange(layout: layout, tables: tables)
        replicas = layout.pipelines.count
        schedule = layout.schedule
        network = FluidNetwork(tables: tables)
        slicesReceived = Array(repeating: 0, count: exchange.segments.count * replicas)
        slicesGathered = slicesReceived
        for (rank, pipeline) in layout.pipelines.enumerated() {
            firstStageOfRank.append(stages.count)
            let microBatches = layout.microBatches[rank]
            for (position, stage) in pipeline.enumerated() {
                stages.append(
                    StageState(
                        rank: rank, position: position, isLast: position + 1 == pipeline.count, peer: stage.peer,
                        layers: stage.layers, microBatches: microBatches,
                        depth: max(1, min(stage.depth, microBatches)),
                        forwardSeconds: tables.forwardSeconds(stage.layers, on: stage.peer),
                        backwardSeconds: tables.backwardSeconds(stage.layers, on: stage.peer),
                        forwardsReady: position == 0 ? microBatches : 0))
            }
        }
        for (index, segment) in exchange.segments.enumerated() {
            for (rank, position) in segment.stages.enumerated() {
                stages[firstStageOfRank[rank] + position].segments.append(index)
            }
        }
    }

    private mutating func run() {
        for index in stages.indices { startNext(index, at: 0) }
        while true {
            let transfer = network.nextCompletion
            if let transfer, events.isEmpty || transfer <= (events.nextTime ?? .infinity) {
                guard let completion = network.complete(at: transfer) else { break }
                events.push(.arrived(completion.tag), at: completion.time + completion.latency)
                continue
            }
            guard let (time, event) = events.pop() else { break }
            handle(event, at: time)
        }
    }

    private mutating func handle(_ event: Event, at time: Double) {
        switch event {
        case .computed(let index, let forward):
            stages[index].isBusy = false
            forward ? forwardDone(index, at: time) : backwardDone(index, at: time)
            startNext(index, at: time)
        case .stepped(let index):
            stages[index].done = time
        case .arrived(let message):
            switch message {
            case .activation(let index):
                stages[index].forwardsReady += 1
                startNext(index, at: time)
            case .gradient(let index):
                stages[index].backwardsReady += 1
                startNext(index, at: time)
            case .partialSlice(let segment, let rank):
                slicesReceived[segment * replicas + rank] += 1
                reduceIfComplete(segment, rank: rank, at: time)
            case .reducedSlice(let segment, let rank):
                slicesGathered[segment * replicas + rank] += 1
                finishSegmentIfComplete(segment, rank: rank, at: time)
            case .tied(let index):
                stages[index].hasTied = true
                stepIfReady(index, at: time)
            }
        }
    }

    /// Starts the next pass if its input is there, as the training engine's stage machine does: a backward pass that is
    /// ready goes first (with GPipe only after the last forward), a forward pass starts only while the stage may hold one
    /// micro-batch more.
    private mutating func startNext(_ index: Int, at time: Double) {
        let stage = stages[index]
        guard !stage.isBusy else { return }
        let mayGoBackward = schedule != .gpipe || stage.forwards == stage.microBatches
        if mayGoBackward, stage.backwardsReady > stage.backwards {
            stages[index].isBusy = true
            events.push(.computed(stage: index, forward: false), at: time + stage.backwardSeconds)
        } else if stage.forwardsReady > stage.forwards, stage.forwards - stage.backwards < stage.depth {
            stages[index].isBusy = true
            events.push(.computed(stage: index, forward: true), at: time + stage.forwardSeconds)
        }
    }

    private mutating func forwardDone(_ index: Int, at time: Double) {
        stages[index].forwards += 1
        let stage = stages[index]
        guard !stage.isLast else {
            stages[index].backwardsReady += 1
            return
        }
        network.send(
            tables.forwardBytes[stage.layers.upperBound], from: stage.peer, to: stages[index + 1].peer,
            tag: .activation(stage: index + 1), at: time)
    }

    private mutating func backwardDone(_ index: Int, at time: Double) {
        stages[index].backwards += 1
        let stage = stages[index]
        if stage.position > 0 {
            network.send(
                tables.backwardBytes[stage.layers.lowerBound], from: stage.peer, to: stages[index - 1].peer,
                tag: .gradient(stage: index - 1), at: time)
        }
        if stage.backwards == stage.microBatches {
            stages[index].finish = time
            startExchange(index, at: time)
        }
    }

    private mutating func startExchange(_ index: Int, at time: Double) {
        let stage = stages[index]
        guard replicas > 1 else {
            exchangeDone(index, at: time)
            return
        }
        for segment in stage.segments {
            let bytes = exchange.segments[segment].bytes / Double(replicas) * exchange.partials[stage.rank]
            for other in peersOf(stage.rank) {
                network.send(
                    bytes, from: stage.peer, to: exchange.holder(of: exchange.segments[segment], rank: other),
                    tag: .partialSlice(segment: segment, rank: other), at: time)
            }
        }
        for segment in stage.segments { reduceIfComplete(segment, rank: stage.rank, at: time) }
    }

    /// The other ranks, starting with the next one, so that not all send to the same peer first.
    private func peersOf(_ rank: Int) -> [Int] { (1..<replicas).map { (rank + $0) % replicas } }

    private mutating func reduceIfComplete(_ segment: Int, rank: Int, at time: Double) {
        let index = firstStageOfRank[rank] + exchange.segments[segment].stages[rank]
        guard stages[index].backwards == stages[index].microBatches,
            slicesReceived[segment * replicas + rank] == replicas - 1
        else { return }
        let bytes = exchange.segments[segment].bytes / Double(replicas)
        for other in peersOf(rank) {
            network.send(
                bytes, from: stages[index].peer, to: exchange.holder(of: exchange.segments[segment], rank: other),
                tag: .reducedSlice(segment: segment, rank: other), at: time)
        }
        // Its own slice counts as gathered.
        slicesGathered[segment * replicas + rank] += 1
        finishSegmentIfComplete(segment, rank: rank, at: time)
    }

    private mutating func finishSegmentIfComplete(_ segment: Int, rank: Int, at time: Double) {
        guard slicesGathered[segment * replicas + rank] == replicas else { return }
        let index = firstStageOfRank[rank] + exchange.segments[segment].stages[rank]
        stages[index].segmentsDone += 1
        if stages[index].segmentsDone == stages[index].segments.count { exchangeDone(index, at: time) }
    }

    private mutating func exchangeDone(_ index: Int, at time: Double) {
        stages[index].exchanged = time
        let stage = stages[index]
        if tables.tiedParameters > 0, let other = tiedPartner(of: index) {
            network.send(
                tables.tiedBytes(replicas: replicas), from: stage.peer, to: stages[other].peer,
                tag: .tied(stage: other), at: time)
        } else {
            stages[index].hasTied = true
        }
        stages[index].segmentsDone = -1
        stepIfReady(index, at: time)
    }

    /// The stage that shares the tied embedding, if this is the first or last of several.
    private func tiedPartner(of index: Int) -> Int? {
        let stage = stages[index]
        if stage.position == 0, stage.isLast { return nil }
        if stage.isLast { return index - stage.position }
        guard stage.position == 0 else { return nil }
        return stages[index...].firstIndex { $0.isLast }
    }

    private mutating func stepIfReady(_ index: Int, at time: Double) {
        let stage = stages[index]
        guard stage.segmentsDone == -1, stage.hasTied else { return }
        stages[index].exchanged = time
        events.push(.stepped(stage: index), at: time + tables.optimizerSeconds(stage.layers, on: stage.peer))
    }

    private func trace(_ layout: Layout) -> IterationTrace {
        let last = stages.map(\.finish).max() ?? 0
        let exchanged = max(last, stages.map(\.exchanged).max() ?? 0)
        let end = max(exchanged, stages.map(\.done).max() ?? 0)
        var rows: [[IterationTrace.Stage]] = layout.pipelines.map { _ in [] }
        for stage in stages {
            rows[stage.rank].append(
                IterationTrace.Stage(
                    forwardSeconds: stage.forwardSeconds, backwardSeconds: stage.backwardSeconds,
                    computeSeconds: Double(stage.microBatches) * (stage.forwardSeconds + stage.backwardSeconds),
                    finishSeconds: stage.finish, exchangedSeconds: stage.exchanged, doneSeconds: stage.done,
                    memoryBytes: tables.stageBytes(stage.layers, depth: stage.depth)))
        }
        return IterationTrace(
            seconds: end, pipelineSeconds: last, exchangeSeconds: exchanged - last, optimizerSeconds: end - exchanged,
            stages: rows, links: network.usage)
    }
}
