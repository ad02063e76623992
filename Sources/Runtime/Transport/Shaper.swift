package import Primitives
internal import Synchronization

/// Emulates a network under one process: demo and tests only.
///
/// All processes of the emulation share a machine and its monotonic clock. The sender computes when a packet would arrive
/// (its uplink is a FIFO shared by datagrams and streams, then the pair's own rate, then delay and jitter), writes that
/// time behind the packet and sends it at once; the receiver holds it until then, takes it through its downlink FIFO, and
/// hands it over with the exact time of its delivery. So nothing comes early, and a late timer or a busy processor does
/// not blur what a packet train measures.
package final class Shaper: Sendable {
    /// What a stamp adds to a datagram.
    package static let stampByteCount = 16
    private static let magic: [UInt8] = Array("shaped".utf8)
    /// What a router's buffer holds; a datagram that would wait longer is lost.
    private static let queueBound: Duration = .milliseconds(200)
    /// How far ahead of its uplink a stream may write, so that datagrams do not wait long behind it.
    private static let streamAhead: Duration = .milliseconds(4)

    private struct PathState {
        var secondsPerByte: Double
        var delay: Duration
        var jitter: Duration
        var loss: Double
        var free = Instant(nanoseconds: 0)
        var lastArrival = Instant(nanoseconds: 0)

        init(_ path: TopologyFile.Path) {
            secondsPerByte = 8e-6 / path.megabits
            delay = .nanoseconds(Int64(path.delayMilliseconds * 1e6))
            jitter = .nanoseconds(Int64((path.jitterMilliseconds ?? 0) * 1e6))
            loss = (path.lossPercent ?? 0) / 100
        }
    }

    private struct State {
        var uplinkFree = Instant(nanoseconds: 0)
        var downlinkFree = Instant(nanoseconds: 0)
        var paths: [PathState]
        var unknownPath: PathState
        var peerOfAddress: [NetworkAddress: Int] = [:]
        var generator: SeededGenerator
    }

    /// This process's place in the topology.
    package let index: Int
    private let uplinkSecondsPerByte: Double
    private let downlinkSecondsPerByte: Double
    private let state: Mutex<State>

    /// The emulated network as the peer `name` sees it.
    package init(topology: TopologyFile, name: String) throws(TopologyError) {
        try topology.check()
        guard let index = topology.peers.firstIndex(where: { $0.name == name }) else {
            let names = topology.peers.map(\.name).joined(separator: ", ")
            throw TopologyError("the topology has no peer named \(name); it has \(names)")
        }
        let own = topology.peers[index]
        self.index = index
        uplinkSecondsPerByte = 8e-6 / own.upMegabits
        downlinkSecondsPerByte = 8e-6 / own.downMegabits
        var state = State(
            paths: topology.peers.map { PathState(topology.path(from: own, to: $0)) },
            unknownPath: PathState(topology.elsewhere), generator: SeededGenerator(seed: UInt64(index)))
        for (other, peer) in topology.peers.enumerated() {
            if let text = peer.address, let address = NetworkAddress(text) { state.peerOfAddress[address] = other }
        }
        self.state = Mutex(state)
    }

    // MARK: Datagrams

    /// The datagram with its arrival time behind it, or `nil` if the emulated network loses it.
    package func wrap(_ bytes: [UInt8], to address: NetworkAddress, at now: Instant) -> [UInt8]? {
        let arrival: Instant? = state.withLock { state in
            let peer = state.peerOfAddress[address]
            let loss = peer.map { state.paths[$0].loss } ?? state.unknownPath.loss
            if loss > 0, state.generator.unit() < loss { return nil }
            guard state.uplinkFree - now < Self.queueBound else { return nil }
            return pass(bytes.count, to: peer, at: now, &state)
        }
        guard let arrival else { return nil }
        return bytes + Self.stamp(arrival, index) + Self.magic
    }

    /// Takes the stamp off; `nil` for a datagram that did not come through an emulated network.
    package func unwrap(_ datagram: [UInt8], from source: NetworkAddress) -> HeldDatagram? {
        let length = datagram.count - Self.stampByteCount
        guard length >= 0, datagram.suffix(Self.magic.count).elementsEqual(Self.magic),
            let (arrival, sender) = Self.readStamp(datagram[length...])
        else { return nil }
        learn(source, is: sender)
        return HeldDatagram(bytes: Array(datagram[..<length]), source: source, arrivesAt: arrival)
    }

    /// Tells which peer is behind an address.
    package func learn(_ address: NetworkAddress, is peer: Int) {
        state.withLock { state in
            if state.paths.indices.contains(peer) { state.peerOfAddress[address] = peer }
        }
    }

    /// The peer behind an address, if known.
    package func peer(at address: NetworkAddress) -> Int? { state.withLock { $0.peerOfAddress[address] } }

    /// When something that arrived is through the downlink; `nil` if its buffer is full and the thing may be lost.
    package func throughDownlink(_ byteCount: Int, arrived: Instant, mayBeLost: Bool) -> Instant? {
        state.withLock { state in
            if mayBeLost, state.downlinkFree - arrived >= Self.queueBound { return nil }
            let time = Duration.nanoseconds(Int64(Double(byteCount) * downlinkSecondsPerByte * 1e9))
            state.downlinkFree = max(state.downlinkFree, arrived) + time
            return state.downlinkFree
        }
    }

    // MARK: Streams

    /// When the next chunk of a stream may be written; in the past if at once.
    package func streamGate() -> Instant { state.withLock { $0.uplinkFree } + (.zero - Self.streamAhead) }

    /// Sends a chunk of a stream into the emulated network; returns when it arrives at the other side's access link.
    package func sendStream(_ byteCount: Int, to peer: Int?, at now: Instant) -> Instant {
        state.withLock { pass(byteCount, to: peer, at: now, &$0) }
    }

    private func pass(_ byteCount: Int, to peer: Int?, at now: Instant, _ state: inout State) -> Instant {
        func time(_ secondsPerByte: Double) -> Duration {
            .nanoseconds(Int64(Double(byteCount) * secondsPerByte * 1e9))
        }
        state.uplinkFree = max(state.uplinkFree, now) + time(uplinkSecondsPerByte)
        var path = peer.map { state.paths[$0] } ?? state.unknownPath
        path.free = max(path.free, state.uplinkFree) + time(path.secondsPerByte)
        let jitter = Int64(Double(path.jitter.nanoseconds) * state.generator.unit())
        path.lastArrival = max(path.lastArrival, path.free + path.delay + .nanoseconds(jitter))
        if let peer { state.paths[peer] = path } else { state.unknownPath = path }
        return path.lastArrival
    }

    // MARK: Stamps

    /// Ten bytes: arrival in nanoseconds of the monotonic clock, then the sender's place in the topology.
    static func stamp(_ arrival: Instant, _ sender: Int) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: arrival.nanoseconds >> Int64($0 * 8)) }
            + [UInt8(sender & 0xFF), UInt8(sender >> 8)]
    }

    static func readStamp(_ bytes: ArraySlice<UInt8>) -> (Instant, Int)? {
        guard bytes.count >= 10 else { return nil }
        let start = bytes.startIndex
        let arrival = (0..<8).reduce(Int64(0)) { $0 | Int64(bytes[start + $1]) << Int64($1 * 8) }
        return (Instant(nanoseconds: arrival), Int(bytes[start + 8]) | Int(bytes[start + 9]) << 8)
    }
}

/// A datagram on its way through the emulated network.
package struct HeldDatagram: Sendable {
    package let bytes: [UInt8]
    package let source: NetworkAddress
    /// When it reaches the receiver's access link.
    package let arrivesAt: Instant
    /// When it has passed the access link; set by `HeldDatagrams`.
    package var deliveredAt = Instant(nanoseconds: 0)

    package init(bytes: [UInt8], source: NetworkAddress, arrivesAt: Instant) {
        self.bytes = bytes
        self.source = source
        self.arrivesAt = arrivesAt
    }
}

/// The receiver's side of the emulated network: datagrams that have not arrived yet, then those in the downlink.
package struct HeldDatagrams: Sendable {
    private var coming: [HeldDatagram] = []
    private var inDownlink: [HeldDatagram] = []
    private var downlinkHead = 0

    package init() {}

    /// Deliveries are handed over in batches this long at the least, with their exact times; never early.
    private static let slack: Duration = .microseconds(200)

    package mutating func insert(_ datagram: HeldDatagram) {
        var position = coming.count
        while position > 0, coming[position - 1].arrivesAt > datagram.arrivesAt { position -= 1 }
        coming.insert(datagram, at: position)
    }

    /// Moves what has arrived by now into the downlink, in the order of arrival.
    package mutating func advance(to now: Instant, through shaper: Shaper) {
        let count = coming.prefix { $0.arrivesAt <= now }.count
        for var datagram in coming.prefix(count) {
            guard
                let delivered = shaper.throughDownlink(
                    datagram.bytes.count, arrived: datagram.arrivesAt, mayBeLost: true)
            else { continue }
            datagram.deliveredAt = delivered
            inDownlink.append(datagram)
        }
        coming.removeFirst(count)
    }

    /// The next datagram that has been delivered by now.
    package mutating func takeDelivered(by now: Instant) -> HeldDatagram? {
        guard downlinkHead < inDownlink.count, inDownlink[downlinkHead].deliveredAt <= now else {
            if downlinkHead == inDownlink.count || downlinkHead > 1024 {
                inDownlink.removeFirst(downlinkHead)
                downlinkHead = 0
            }
            return nil
        }
        downlinkHead += 1
        return inDownlink[downlinkHead - 1]
    }

    /// When to look again.
    package var nextDeadline: Instant? {
        let delivery = downlinkHead < inDownlink.count ? inDownlink[downlinkHead].deliveredAt : nil
        return [coming.first?.arrivesAt, delivery].compactMap { $0 }.min().map { $0 + Self.slack }
    }
}
