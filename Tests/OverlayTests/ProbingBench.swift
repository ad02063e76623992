import Primitives
import Wire

@testable import Overlay

/// Probing cores alone on a small network: every peer has an access link of one rate each way with a FIFO queue, and every
/// pair the same delay. Enough to test the core; the Simulation room has the real network.
struct ProbingBench {
    private struct Event {
        var at: Instant
        var sequence: Int
        var from: Int
        var to: Int
        var bytes: Int
        var message: ProbingMessage
        /// Whether the message has reached the receiver's access link but not yet passed it.
        var isArriving: Bool
    }

    let peers: [PeerID]
    var cores: [Probing]
    var events: [(peer: Int, at: Instant, event: Probing.Event)] = []
    var pages: [[UInt8: LinksPage]]
    var publications: [(peer: Int, at: Instant)] = []
    /// Times at which each peer's access link carried its first and last packet of a train to or from a peer.
    var trainPackets: [(from: Int, to: Int, at: Instant)] = []
    var now = Instant(nanoseconds: 0)
    /// Share of datagrams lost.
    var loss = 0.0
    /// Share of packets before which the sender's machine does something else, for up to so long.
    var pauses: (share: Double, longest: Duration)?
    /// Pairs on one local network.
    var isNear: (Int, Int) -> Bool = { _, _ in false }
    /// A pair's messages that never arrive.
    var isCut: (Int, Int) -> Bool = { _, _ in false }

    private let up: [Double]
    private let down: [Double]
    /// From any peer to any other, one way.
    var delay: Duration
    private var queue: [Event] = []
    private var sequence = 0
    private var upFree: [Instant]
    private var downFree: [Instant]
    private var generator: SeededGenerator

    /// - Parameters:
    ///   - up: Rates of the access links, bytes per second; index is the peer in order of identity.
    init(
        up: [Double], down: [Double], delay: Duration, seed: UInt64 = 1, configuration: Probing.Configuration = .init()
    ) {
        peers = up.indices.map { Self.peer($0) }
        var seeds = SeededGenerator(seed: seed)
        cores = peers.map {
            Probing(
                configuration: configuration, local: $0, seed: seeds.next(), tokenSecret: Digest.sha256($0.bytes))
        }
        pages = Array(repeating: [:], count: up.count)
        self.up = up
        self.down = down
        self.delay = delay
        upFree = Array(repeating: now, count: up.count)
        downFree = upFree
        generator = seeds.split()
        for index in cores.indices {
            give(.start, to: index)
            for other in peers where other != peers[index] {
                give(.memberUp(other, others: peers.count - 1), to: index)
            }
        }
    }

    /// Peers sort in the order of their index.
    static func peer(_ index: Int) -> PeerID {
        guard let peer = PeerID(bytes: [UInt8(index >> 8), UInt8(index & 255)] + [UInt8](repeating: 7, count: 30))
        else {
            preconditionFailure("32 bytes make an identity")
        }
        return peer
    }

    /// Hands an input to a core at the present time.
    mutating func give(_ input: Probing.Input, to index: Int) {
        var effects: [Probing.Effect] = []
        cores[index].handle(input, at: now, into: &effects)
        for effect in effects {
            switch effect {
            case .send(let messages, let peer): send(messages, from: index, to: peer)
            case .publishLinks(let page, let value):
                pages[index][page] = try? LinksPage(wireBytes: value)
                publications.append((index, now))
            case .needMembers: give(.members(peers.filter { $0 != peers[index] }), to: index)
            case .find(let prefix):
                for peer in peers where peer.prefix == prefix && peer != peers[index] { give(.found(peer), to: index) }
            case .event(let event): events.append((index, now, event))
            }
        }
    }

    /// Runs for a while.
    mutating func run(seconds: Double) {
        let end = now + .nanoseconds(Int64(seconds * 1e9))
        while true {
            let timer = cores.indices.compactMap { index in cores[index].nextDeadline.map { (at: $0, index: index) } }
                .min { ($0.at, $0.index) < ($1.at, $1.index) }
            if let next = queue.first, next.at <= (timer?.at ?? end), next.at <= end {
                queue.removeFirst()
                now = max(now, next.at)
                deliver(next)
            } else if let timer, timer.at <= end {
                now = max(now, timer.at)
                give(.timer, to: timer.index)
            } else {
                break
            }
        }
        now = end
    }

    private mutating func send(_ messages: [ProbingMessage], from: Int, to peer: PeerID) {
        guard let to = peers.firstIndex(of: peer), !isCut(from, to), generator.unit() >= loss else { return }
        let bytes = messages.reduce(Limits.transportOverheadBytes) { $0 + $1.wireBytes.count }
        if let pauses, generator.unit() < pauses.share {
            upFree[from] = max(upFree[from], now) + pauses.longest * generator.unit()
        }
        upFree[from] = max(upFree[from], now) + .nanoseconds(Int64(Double(bytes) / up[from] * 1e9))
        for message in messages {
            let event = Event(
                at: isNear(from, to) ? now + .microseconds(200) : upFree[from] + delay, sequence: 0, from: from, to: to,
                bytes: bytes, message: message,
                isArriving: true)
            insert(event)
        }
    }

    /// Passes the message through the receiver's access link, or hands it to the core.
    private mutating func deliver(_ event: Event) {
        guard event.isArriving else {
            if case .train = event.message { trainPackets.append((event.from, event.to, now)) }
            give(.receive(event.message, from: peers[event.from]), to: event.to)
            return
        }
        var event = event
        downFree[event.to] =
            max(downFree[event.to], now) + .nanoseconds(Int64(Double(event.bytes) / down[event.to] * 1e9))
        event.at = downFree[event.to]
        event.isArriving = false
        insert(event)
    }

    private mutating func insert(_ event: Event) {
        var event = event
        sequence += 1
        event.sequence = sequence
        let place = queue.lastIndex { ($0.at, $0.sequence) < (event.at, event.sequence) }.map { $0 + 1 } ?? 0
        queue.insert(event, at: place)
    }
}

extension Double {
    /// Bytes per second of a rate in Mbit/s.
    static func megabits(_ value: Double) -> Double { value * 1e6 / 8 }
}
