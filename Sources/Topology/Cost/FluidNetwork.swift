/// Transfers in flight where access links are shared: first in, first out on every directed pair, and pairs share the links
/// max-min fairly (`MaxMinRates`), as long-lived TCP flows roughly do.
///
/// Shares are worked out anew only when time goes on after a change, so that transfers that start or end together cost one
/// division of the rates; between two divisions an event costs no more than its place in a queue.
struct FluidNetwork<Tag> {
    /// Result of an advance.
    struct Completion {
        var tag: Tag
        /// When the last byte left; the latency of the link comes on top.
        var time: Double
        var latency: Double
    }

    private struct Channel {
        var source: Int
        var target: Int
        /// The rate of the pair by itself.
        var capacity: Double
        var latency: Double
        var waiting: [(bytes: Double, tag: Tag)] = []
        var head = 0
        /// Bytes that the transfer in flight had to send at a time, when it began, and its rate since.
        var remaining = 0.0
        var settled = 0.0
        var started = 0.0
        var rate = 0.0
        /// Counts rates and transfers: what was queued for an earlier one is void.
        var version = 0
        var isActive = false
        var isListed = false
        /// Among the listed ones.
        var position = 0
        var bytes = 0.0
        var busySeconds = 0.0
    }

    private let tables: CostTables
    private var channels: [Channel] = []
    private var channelOfPair: [Int: Int] = [:]
    /// The active channels, and some that have become idle since the rates were divided.
    private var listed: [Int] = []
    private var activeCount = 0
    private var ends = EventQueue<(channel: Int, version: Int)>()
    private var now = 0.0
    /// Whether transfers have started or ended since the rates were divided, and when they were.
    private var isStale = false
    private var divided = 0.0
    /// When the first transfer began.
    private var begun = Double.infinity
    private let grain: Double
    private var filling: MaxMinRates
    /// All channels, least capacity first.
    private var byCapacity: [Int] = []
    // Scratch.
    private var flows: [MaxMinRates.Flow] = []
    private var ranked: [Int] = []

    /// - Parameter grain: With many transfers, what starts or ends within this part of the time since the first one began may wait
    ///   for the next division of the rates: times come out too long by about so much, in a fraction of the work.
    init(tables: CostTables, grain: Double = 0) {
        self.tables = tables
        self.grain = grain
        filling = MaxMinRates(tables: tables)
    }

    /// Queues bytes from one peer to another.
    mutating func send(_ bytes: Double, from source: Int, to target: Int, tag: Tag, at time: Double) {
        advanceClock(to: time)
        let pair = source * tables.peers + target
        let index: Int
        if let known = channelOfPair[pair] {
            index = known
        } else {
            index = channels.count
            channelOfPair[pair] = index
            let cost = tables.secondsPerByte[pair]
            let capacity = cost > 0 ? 1 / cost : .infinity
            channels.append(
                Channel(source: source, target: target, capacity: capacity, latency: tables.latency[pair]))
            byCapacity.insert(index, at: place(of: capacity))
        }
        begun = min(begun, time)
        channels[index].waiting.append((bytes, tag))
        channels[index].bytes += bytes
        if !channels[index].isActive { start(index, rate: 0) }
    }

    /// When the next transfer ends or the rates are due to be divided, or `nil` if nothing is in flight.
    mutating func nextCompletion() -> Double? {
        guard activeCount > 0 else { return nil }
        let earliest = soonest
        guard isStale, earliest > now else { return earliest }
        let due = divisionDue
        guard due <= now else { return min(earliest, due) }
        divide()
        return soonest
    }

    private var divisionDue: Double { divided + grain * max(0, divided - begun) }

    private var soonest: Double {
        mutating get {
            while let next = ends.next, channels[next.channel].version != next.version { _ = ends.pop() }
            return ends.nextTime ?? .infinity
        }
    }

    /// Ends the transfer that is due at `time`, the one that was given its rate first if there are several; `nil` if only the
    /// rates were due.
    mutating func complete(at time: Double) -> Completion? {
        advanceClock(to: time)
        guard soonest <= time, let (_, end) = ends.pop() else { return nil }
        let index = end.channel
        let tag = channels[index].waiting[channels[index].head].tag
        channels[index].busySeconds += now - channels[index].started
        channels[index].head += 1
        channels[index].isActive = false
        channels[index].version += 1
        activeCount -= 1
        if channels[index].head < channels[index].waiting.count {
            start(index, rate: grain > 0 ? channels[index].rate : 0)
        } else {
            channels[index].waiting.removeAll(keepingCapacity: true)
            channels[index].head = 0
        }
        isStale = true
        return Completion(tag: tag, time: time, latency: channels[index].latency)
    }

    /// Every pair that carried anything, in the order of first use.
    var usage: [IterationTrace.Link] {
        channels.map {
            IterationTrace.Link(source: $0.source, target: $0.target, bytes: $0.bytes, busySeconds: $0.busySeconds)
        }
    }

    /// - Parameter rate: what the channel has until the rates are divided anew.
    private mutating func start(_ index: Int, rate: Double) {
        channels[index].isActive = true
        channels[index].started = now
        channels[index].remaining = channels[index].waiting[channels[index].head].bytes
        activeCount += 1
        if !channels[index].isListed {
            channels[index].isListed = true
            listed.append(index)
        }
        setRate(rate, of: index)
        isStale = true
    }

    private mutating func setRate(_ rate: Double, of index: Int) {
        channels[index].rate = rate
        channels[index].settled = now
        channels[index].version += 1
        guard rate > 0 else { return }
        let seconds = rate == .infinity ? 0 : channels[index].remaining / rate
        ends.push((index, channels[index].version), at: now + seconds)
    }

    private func place(of capacity: Double) -> Int {
        var (low, high) = (0, byCapacity.count)
        while low < high {
            let middle = (low + high) / 2
            if channels[byCapacity[middle]].capacity <= capacity { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func advanceClock(to time: Double) {
        guard time > now else { return }
        if isStale, divisionDue <= now { divide() }
        now = time
    }

    private mutating func divide() {
        isStale = false
        divided = now
        flows.removeAll(keepingCapacity: true)
        var kept = 0
        for index in listed {
            guard channels[index].isActive else {
                channels[index].isListed = false
                continue
            }
            listed[kept] = index
            channels[index].position = kept
            kept += 1
            let sent = channels[index].rate * (now - channels[index].settled)
            if sent > 0 { channels[index].remaining = max(0, channels[index].remaining - sent) }
            flows.append(
                MaxMinRates.Flow(
                    source: channels[index].source, target: channels[index].target, capacity: channels[index].capacity))
        }
        listed.removeLast(listed.count - kept)
        ranked.removeAll(keepingCapacity: true)
        for index in byCapacity where channels[index].isActive { ranked.append(channels[index].position) }
        let shares = filling.divide(flows, byCapacity: ranked)
        ends.removeAll()
        for (position, index) in listed.enumerated() { setRate(shares[position], of: index) }
    }
}
