/// Transfers in flight: first in, first out on every directed pair, and where access links are known, pairs share them
/// max-min fairly (each pair gets as much as it can without taking from one that has less), as long-lived TCP flows
/// roughly do.
///
/// Shares are worked out anew only when time goes on after a change, so that transfers that start or end together cost one
/// division of the rates.
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
        var remaining = 0.0
        var rate = 0.0
        var finish = Double.infinity
        var isActive = false
        var bytes = 0.0
        var busySeconds = 0.0
    }

    private let tables: CostTables
    private var channels: [Channel] = []
    private var channelOfPair: [Int: Int] = [:]
    private var active: [Int] = []
    private var now = 0.0
    /// Whether transfers have started or ended since the rates were divided.
    private var isStale = false

    init(tables: CostTables) { self.tables = tables }

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
            channels.append(
                Channel(
                    source: source, target: target, capacity: cost > 0 ? 1 / cost : .infinity,
                    latency: tables.latency[pair]))
        }
        channels[index].waiting.append((bytes, tag))
        channels[index].bytes += bytes
        if !channels[index].isActive { start(index) }
    }

    /// When the next transfer ends, or `nil` if nothing is in flight.
    mutating func nextCompletion() -> Double? {
        guard !active.isEmpty else { return nil }
        var earliest = soonest
        if isStale, earliest > now {
            divide()
            earliest = soonest
        }
        return earliest
    }

    private var soonest: Double {
        var earliest = Double.infinity
        for index in active { earliest = min(earliest, channels[index].finish) }
        return earliest
    }

    /// Ends the transfer that is due at `time`, the one that started first if there are several.
    mutating func complete(at time: Double) -> Completion? {
        advanceClock(to: time)
        guard let position = active.firstIndex(where: { channels[$0].finish <= time }) else { return nil }
        let index = active.remove(at: position)
        let tag = channels[index].waiting[channels[index].head].tag
        channels[index].head += 1
        channels[index].isActive = false
        channels[index].finish = .infinity
        if channels[index].head < channels[index].waiting.count {
            start(index)
        } else {
            channels[index].waiting.removeAll(keepingCapacity: true)
            channels[index].head = 0
        }
        isStale = tables.sharesAccess
        return Completion(tag: tag, time: time, latency: channels[index].latency)
    }

    /// Every pair that carried anything, in the order of first use.
    var usage: [IterationTrace.Link] {
        channels.map {
            IterationTrace.Link(source: $0.source, target: $0.target, bytes: $0.bytes, busySeconds: $0.busySeconds)
        }
    }

    private mutating func start(_ index: Int) {
        channels[index].isActive = true
        channels[index].remaining = channels[index].waiting[channels[index].head].bytes
        active.append(index)
        guard !tables.sharesAccess else {
            channels[index].rate = 0
            channels[index].finish = .infinity
            isStale = true
            return
        }
        channels[index].rate = channels[index].capacity
        channels[index].finish = now + time(channels[index].remaining, at: channels[index].rate)
    }

    private func time(_ bytes: Double, at rate: Double) -> Double { rate == .infinity ? 0 : bytes / rate }

    private mutating func advanceClock(to time: Double) {
        guard time > now else { return }
        if isStale { divide() }
        for index in active {
            channels[index].busySeconds += time - now
            if tables.sharesAccess {
                channels[index].remaining = max(0, channels[index].remaining - channels[index].rate * (time - now))
            }
        }
        now = time
    }

    /// Progressive filling (Bertsekas and Gallager, Data Networks, section 6.5.2).
    private mutating func divide() {
        isStale = false
        var open = active
        var upload = tables.uplinkSecondsPerByte.map { $0 > 0 ? 1 / $0 : Double.infinity }
        var download = tables.downlinkSecondsPerByte.map { $0 > 0 ? 1 / $0 : Double.infinity }
        var senders = Array(repeating: 0, count: tables.peers)
        var receivers = senders
        for index in open {
            senders[channels[index].source] += 1
            receivers[channels[index].target] += 1
        }
        while !open.isEmpty {
            var level = Double.infinity
            func share(_ index: Int) -> Double {
                let channel = channels[index]
                return min(
                    channel.capacity,
                    min(
                        upload[channel.source] / Double(senders[channel.source]),
                        download[channel.target] / Double(receivers[channel.target])))
            }
            for index in open { level = min(level, share(index)) }
            var rest: [Int] = []
            var settled: [Int] = []
            for index in open {
                if share(index) <= level * (1 + 1e-12) { settled.append(index) } else { rest.append(index) }
            }
            for index in settled {
                channels[index].rate = level
                channels[index].finish = now + time(channels[index].remaining, at: level)
                upload[channels[index].source] -= level
                download[channels[index].target] -= level
                senders[channels[index].source] -= 1
                receivers[channels[index].target] -= 1
            }
            open = rest
        }
    }
}
