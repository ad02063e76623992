package import Overlay
package import Primitives
import Topology
import Wire

/// Two probing cores alone on one link: what an access link, other traffic and a network card do to packet trains, without a
/// swarm around it. The sender's card is faster than the link; the link is a first-in-first-out queue of bounded length in
/// each direction, shared with other traffic; the receiver's card may interrupt only every so often.
package struct LinkBench {
    /// One direction.
    package struct Way: Sendable {
        /// Rate of datagrams with all their headers, as the cores count them.
        package var rate: Bandwidth
        package var delay: Duration = .milliseconds(10)
        /// Most that a queueing delay elsewhere adds, drawn for each packet without reordering.
        package var jitter: Duration = .zero
        /// Share of the link that other traffic takes: packets of three sizes that come at random (Poisson).
        package var load = 0.0
        /// A packet that comes to an idle card is seen so much later, with all that came meanwhile.
        package var coalescing: Duration = .zero
        /// When something on the way stands still, such as a router that has no processor: what comes in a rest leaves at its end,
        /// all at once.
        package var stalls: Busyness?
        /// Share of the packets that are lost beside those that find the queue full.
        package var loss = 0.0
        /// What the queue holds.
        package var queue: Duration = .milliseconds(200)

        package init(rate: Bandwidth) { self.rate = rate }
    }

    /// When the machine of a core is busy with something else: it runs and rests for random times in turn. What arrives in a
    /// rest keeps the time at which it arrived, as with stamps of the operating system, but is handled afterwards.
    package struct Busyness: Sendable {
        /// Means of exponential distributions.
        package var run: Duration
        package var rest: Duration

        package init(run: Duration, rest: Duration) {
            self.run = run
            self.rest = rest
        }
    }

    private struct MachineState {
        /// The present or next rest.
        var restBegins = Instant(nanoseconds: 0)
        var restEnds = Instant(nanoseconds: 0)
    }

    private struct WayState {
        var cardFree = Instant(nanoseconds: 0)
        var free = Instant(nanoseconds: 0)
        var nextOther = Instant(nanoseconds: 0)
        var lastArrival = Instant(nanoseconds: 0)
        var interruptAt = Instant(nanoseconds: 0)
        /// Of the way itself.
        var machine = MachineState()
    }

    private enum Event {
        case entry(to: Int, ProbingMessage, bytes: Int)
        case delivery(to: Int, ProbingMessage, stamp: Instant)
    }

    /// Both directions; index 0 leads from core 0 to core 1.
    package var ways: [Way]
    /// How busy the cores' machines are; `nil` for not at all.
    package var busyness: Busyness?
    /// What each core multiplies the rates of its reports and of its published links by.
    package var inflation = [1.0, 1.0]
    package private(set) var time = Instant(nanoseconds: 0)
    package private(set) var events: [(core: Int, at: Instant, event: Probing.Event)] = []
    /// The pages that each core has published.
    package private(set) var pages: [[UInt8: LinksPage]] = [[:], [:]]
    /// Bytes of datagrams in each direction.
    package private(set) var bytes = [0, 0]
    package let peers: [PeerID]

    private var cores: [Probing]
    private var states = [WayState(), WayState()]
    private var machines = [MachineState(), MachineState()]
    private var queue = EventQueue<Event>()
    private var generator: SeededGenerator
    /// The sender's card and what leads from it to the link.
    private let cardRate: Bandwidth

    package init(ways: [Way], seed: UInt64, configuration: Probing.Configuration = .init()) {
        precondition(ways.count == 2, "a link has two directions")
        self.ways = ways
        var generator = SeededGenerator(seed: seed)
        let peers = (0..<2).map { index in
            PeerID(
                bytes: Digest.sha256([UInt8(index)] + withUnsafeBytes(of: generator.next().littleEndian, Array.init))
                    .bytes)
        }.compactMap { $0 }.sorted()
        self.peers = peers
        cores = peers.map {
            Probing(
                configuration: configuration, local: $0, seed: generator.next(),
                tokenSecret: Digest.sha256($0.bytes))
        }
        cardRate = ways.reduce(Bandwidth(bitsPerSecond: 10e9)) { max($0, $1.rate) }
        self.generator = generator
        for index in 0..<2 {
            give(.start, to: index)
            give(.memberUp(peers[1 - index], others: 1), to: index)
        }
    }

    /// The figures that a core has of the link.
    package func link(of core: Int) -> ProbedLink? { cores[core].link(to: peers[1 - core]) }

    /// What the two ends' published figures say together of a direction.
    package func consensus(fromCore sender: Int) -> LinkConsensus {
        func report(_ core: Int) -> LinkReport? {
            pages[core].keys.sorted().flatMap { pages[core][$0]?.reports ?? [] }
                .first { $0.prefix == peers[1 - core].prefix }
        }
        return LinkConsensus(sender: report(sender), receiver: report(1 - sender))
    }

    /// Hands an input to a core at the present time.
    package mutating func give(_ input: Probing.Input, to core: Int) { give(input, to: core, stamp: time) }

    private mutating func give(_ input: Probing.Input, to core: Int, stamp: Instant) {
        var effects: [Probing.Effect] = []
        cores[core].handle(input, at: stamp, into: &effects)
        for effect in effects {
            switch effect {
            case .send(let messages, _): for message in messages { send(inflated(message, core), from: core) }
            case .publishLinks(let page, let value):
                guard var links = try? LinksPage(wireBytes: value) else { continue }
                for index in 0..<links.reports.count {
                    let report = links.reports[index]
                    links.reports[index].receiveBandwidth = times(report.receiveBandwidth, inflation[core])
                    links.reports[index].sendBandwidth = times(report.sendBandwidth, inflation[core])
                }
                pages[core][page] = links
            case .needMembers: give(.members([peers[1 - core]]), to: core, stamp: stamp)
            case .find: break  // nobody plans
            case .event(let event): events.append((core, time, event))
            }
        }
    }

    /// Runs until a time, or until something holds after an event.
    @discardableResult
    package mutating func run(for duration: Duration, until condition: (LinkBench) -> Bool = { _ in false }) -> Bool {
        let end = time + duration
        while !condition(self) {
            let timers = (0..<2).compactMap { core in
                cores[core].nextDeadline.map { (at: max($0, time, restEnd(of: core) ?? time), core: core) }
            }
            let timer = timers.min { ($0.at, $0.core) < ($1.at, $1.core) }
            let next = min(queue.nextInstant ?? end, timer?.at ?? end)
            guard next < end || queue.nextInstant == end else {
                time = end
                return false
            }
            if let (at, event) = queue.pop(until: min(timer?.at ?? end, end)) {
                time = at
                happen(event)
            } else if let timer {
                time = timer.at
                if restEnd(of: timer.core) == nil { give(.timer, to: timer.core) }
            }
        }
        return true
    }

    private func times(_ rate: Bandwidth, _ factor: Double) -> Bandwidth {
        Bandwidth(bytesPerSecond: rate.bytesPerSecond * factor)
    }

    private func inflated(_ message: ProbingMessage, _ core: Int) -> ProbingMessage {
        guard inflation[core] != 1, case .report(var report) = message else { return message }
        report.tail = times(report.tail, inflation[core])
        report.head = times(report.head, inflation[core])
        return .report(report)
    }

    private mutating func send(_ message: ProbingMessage, from core: Int) {
        let size = message.wireBytes.count + Limits.transportOverheadBytes
        bytes[core] += size
        let start = max(states[core].cardFree, time)
        states[core].cardFree = start + .nanoseconds(Int64(Double(size) / cardRate.bytesPerSecond * 1e9))
        queue.push(.entry(to: 1 - core, message, bytes: size), at: states[core].cardFree)
    }

    private mutating func happen(_ event: Event) {
        switch event {
        case .entry(let receiver, let message, let size):
            let way = 1 - receiver
            admitOthers(way)
            guard let through = pass(way, Double(size), at: time) else { return }
            guard ways[way].loss == 0 || generator.unit() >= ways[way].loss else { return }
            var arrival = through + ways[way].delay + ways[way].jitter * generator.unit()
            arrival = max(released(arrival, way), states[way].lastArrival)
            states[way].lastArrival = arrival
            if ways[way].coalescing > .zero {
                if arrival > states[way].interruptAt { states[way].interruptAt = arrival + ways[way].coalescing }
                arrival = states[way].interruptAt
            }
            queue.push(.delivery(to: receiver, message, stamp: arrival), at: arrival)
        case .delivery(let receiver, let message, let stamp):
            if let later = restEnd(of: receiver) {
                queue.push(event, at: later)
            } else {
                give(.receive(message, from: peers[1 - receiver]), to: receiver, stamp: stamp)
            }
        }
    }

    /// When something leaves that comes to a place that stands still now and then.
    private mutating func released(_ arrival: Instant, _ way: Int) -> Instant {
        guard let stalls = ways[way].stalls else { return arrival }
        while states[way].machine.restEnds <= arrival {
            states[way].machine.restBegins = states[way].machine.restEnds + stalls.run * generator.exponential()
            states[way].machine.restEnds = states[way].machine.restBegins + stalls.rest * generator.exponential()
        }
        guard arrival >= states[way].machine.restBegins else { return arrival }
        // Behind what the same stall has held up before.
        return max(states[way].machine.restEnds, states[way].lastArrival + Self.releaseInterval)
    }

    /// Packets that were held up leave at 3.2 Gbit/s.
    private static let releaseInterval = Duration.microseconds(3)

    /// When a core's machine has time again; `nil` if it has now.
    private mutating func restEnd(of core: Int) -> Instant? {
        guard let busyness else { return nil }
        while machines[core].restEnds <= time {
            machines[core].restBegins = machines[core].restEnds + busyness.run * generator.exponential()
            machines[core].restEnds = machines[core].restBegins + busyness.rest * generator.exponential()
        }
        return time >= machines[core].restBegins ? machines[core].restEnds : nil
    }

    /// When something has passed the link; `nil` if its queue is full.
    private mutating func pass(_ way: Int, _ size: Double, at now: Instant) -> Instant? {
        let start = max(states[way].free, now)
        guard start - now <= ways[way].queue else { return nil }
        states[way].free = start + .nanoseconds(Int64(size / ways[way].rate.bytesPerSecond * 1e9))
        return states[way].free
    }

    /// Lets other traffic in that has come by now.
    private mutating func admitOthers(_ way: Int) {
        guard ways[way].load > 0 else { return }
        // What came long ago is through.
        let horizon = time + (.zero - .milliseconds(50))
        if states[way].nextOther < horizon { states[way].nextOther = horizon }
        while states[way].nextOther <= time {
            let draw = generator.unit()
            let size: Double = draw < 0.4 ? 60 : draw < 0.6 ? 576 : 1500
            _ = pass(way, size, at: states[way].nextOther)
            // Mean size 739 bytes.
            let mean = (0.4 * 60 + 0.2 * 576 + 0.4 * 1500) / (ways[way].load * ways[way].rate.bytesPerSecond)
            states[way].nextOther =
                states[way].nextOther + .nanoseconds(max(1, Int64(generator.exponential() * mean * 1e9)))
        }
    }
}
