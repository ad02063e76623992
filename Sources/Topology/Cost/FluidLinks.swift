/// The links of one pipeline whose peers' access links are shared: max-min fairly, as `FluidNetwork` has it, with the few
/// flows that a pipeline can have at a time and without tags or queues of events.
///
/// Channel i carries activations from stage i to stage i + 1, channel stages + i gradients from stage i to stage i − 1.
struct FluidLinks {
    private let stages: Int
    private let bytes: [Double]
    private let capacity: [Double]
    private let source: [Int]
    private let target: [Int]
    private let upload: [Double]
    private let download: [Double]
    /// Tensors that each channel has still to send, the one in flight among them.
    private var waiting: [Int]
    private var remaining: [Double]
    private var rate: [Double]
    private var active: [Int] = []
    private var now = 0.0
    /// When the pass ends whose tensor a stage will send, and which way.
    private var heldUntil: [Double]
    private var isHeldForward: [Bool]
    // Scratch of the filling.
    private var leftUp: [Double]
    private var leftDown: [Double]
    private var senders: [Int]
    private var receivers: [Int]
    private var open: [Int] = []

    init(_ pipeline: [Layout.Stage], tables: CostTables) {
        let stages = pipeline.count
        self.stages = stages
        var bytes = Array(repeating: 0.0, count: 2 * stages)
        var capacity = Array(repeating: Double.infinity, count: 2 * stages)
        var source = Array(repeating: 0, count: 2 * stages)
        var target = source
        for index in 0..<(stages - 1) {
            let there = pipeline[index].peer * tables.peers + pipeline[index + 1].peer
            let back = pipeline[index + 1].peer * tables.peers + pipeline[index].peer
            let boundary = pipeline[index].layers.upperBound
            bytes[index] = tables.forwardBytes(boundary, link: there)
            bytes[stages + index + 1] = tables.backwardBytes(boundary, link: back)
            if tables.secondsPerByte[there] > 0 { capacity[index] = 1 / tables.secondsPerByte[there] }
            if tables.secondsPerByte[back] > 0 { capacity[stages + index + 1] = 1 / tables.secondsPerByte[back] }
            source[index] = index
            target[index] = index + 1
            source[stages + index + 1] = index + 1
            target[stages + index + 1] = index
        }
        self.bytes = bytes
        self.capacity = capacity
        self.source = source
        self.target = target
        func rates(_ costs: [Double]) -> [Double] {
            pipeline.map { costs[$0.peer] > 0 ? 1 / costs[$0.peer] : Double.infinity }
        }
        upload = rates(tables.uplinkSecondsPerByte)
        download = rates(tables.downlinkSecondsPerByte)
        waiting = Array(repeating: 0, count: 2 * stages)
        remaining = Array(repeating: 0, count: 2 * stages)
        rate = remaining
        heldUntil = Array(repeating: .infinity, count: stages)
        isHeldForward = Array(repeating: false, count: stages)
        leftUp = upload
        leftDown = download
        senders = Array(repeating: 0, count: stages)
        receivers = senders
    }

    /// Remembers that a stage will send its tensor when its pass ends.
    mutating func hold(_ stage: Int, until end: Double, isForward: Bool) {
        heldUntil[stage] = end
        isHeldForward[stage] = isForward
    }

    /// When the next tensor is handed over, and by which stage.
    var nextHeld: (time: Double, stage: Int) {
        var best = (time: Double.infinity, stage: 0)
        for stage in 0..<stages where heldUntil[stage] < best.time { best = (heldUntil[stage], stage) }
        return best
    }

    /// Puts a stage's tensor on its channel.
    mutating func release(_ stage: Int) {
        let time = heldUntil[stage]
        heldUntil[stage] = .infinity
        let channel = isHeldForward[stage] ? stage : stages + stage
        waiting[channel] += 1
        guard waiting[channel] == 1 else { return }
        advance(to: time)
        remaining[channel] = bytes[channel]
        active.append(channel)
        fill()
    }

    /// When the next transfer ends, and on which channel.
    var nextEnd: (time: Double, channel: Int) {
        var best = (time: Double.infinity, channel: 0)
        for channel in active {
            let end = now + (rate[channel] == .infinity ? 0 : remaining[channel] / rate[channel])
            if end < best.time { best = (end, channel) }
        }
        return best
    }

    /// Ends a channel's transfer.
    mutating func complete(_ channel: Int, at time: Double) {
        advance(to: time)
        waiting[channel] -= 1
        if waiting[channel] > 0 {
            remaining[channel] = bytes[channel]
        } else if let position = active.firstIndex(of: channel) {
            active.remove(at: position)
        }
        fill()
    }

    private mutating func advance(to time: Double) {
        guard time > now else { return }
        for channel in active { remaining[channel] = max(0, remaining[channel] - rate[channel] * (time - now)) }
        now = time
    }

    /// Progressive filling (Bertsekas and Gallager, Data Networks, section 6.5.2).
    private mutating func fill() {
        for stage in 0..<stages {
            leftUp[stage] = upload[stage]
            leftDown[stage] = download[stage]
            senders[stage] = 0
            receivers[stage] = 0
        }
        for channel in active {
            senders[source[channel]] += 1
            receivers[target[channel]] += 1
        }
        open.removeAll(keepingCapacity: true)
        open.append(contentsOf: active)
        while !open.isEmpty {
            var level = Double.infinity
            for channel in open { level = min(level, share(channel)) }
            let limit = level * (1 + 1e-12)
            // All that this level settles is found before any of it is taken away.
            var kept = 0
            var settled = open.count
            while kept < settled {
                if share(open[kept]) <= limit {
                    settled -= 1
                    open.swapAt(kept, settled)
                } else {
                    kept += 1
                }
            }
            guard kept < open.count else { return }
            for channel in open[kept...] {
                rate[channel] = level
                leftUp[source[channel]] -= level
                leftDown[target[channel]] -= level
                senders[source[channel]] -= 1
                receivers[target[channel]] -= 1
            }
            open.removeLast(open.count - kept)
        }
    }

    private func share(_ channel: Int) -> Double {
        let source = source[channel]
        let target = target[channel]
        return min(
            capacity[channel],
            min(leftUp[source] / Double(senders[source]), leftDown[target] / Double(receivers[target])))
    }
}

extension PipelineRecurrence.State {
    /// As `run` with transfers that take from each other: ends of transfers, tensors handed over and passes in the order
    /// of their times, in this order where they are equal.
    mutating func runSharing() {
        while true {
            var chosen = 0
            var earliest = starts[0]
            for stage in 1..<max(1, stages) where starts[stage] < earliest {
                earliest = starts[stage]
                chosen = stage
            }
            let end = links?.nextEnd ?? (.infinity, 0)
            let held = links?.nextHeld ?? (.infinity, 0)
            if end.time < .infinity, end.time <= earliest, end.time <= held.time {
                links?.complete(end.channel, at: end.time)
                arrive(end.channel, at: end.time)
            } else if held.time < .infinity, held.time <= earliest {
                links?.release(held.stage)
            } else {
                guard earliest < .infinity else { return }
                act(chosen, at: earliest)
                decide(chosen)
            }
        }
    }

    private mutating func arrive(_ channel: Int, at time: Double) {
        if channel < stages {
            let stage = channel + 1
            activationAt[stage * microBatches + activations[stage]] = time + latencyForward[channel]
            activations[stage] += 1
            decide(stage)
        } else {
            let stage = channel - stages - 1
            gradientAt[stage * microBatches + gradients[stage]] = time + latencyBackward[channel - stages]
            gradients[stage] += 1
            decide(stage)
        }
    }
}
