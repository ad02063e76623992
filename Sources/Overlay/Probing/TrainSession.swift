package import Primitives
import Wire

/// One bandwidth measurement between two peers, both directions in turn, as either end runs it.
///
/// The initiator reserves, the responder grants; then the initiator sends train 0, the responder reports on it and sends
/// its own train 0, the initiator reports on that and sends train 1, and so on until the initiator has seen enough and
/// finishes. While a session lasts its two peers grant no other, so no access link carries two trains. The first train of
/// each direction is short and only sizes the next ones by time.
package struct TrainSession: Sendable {
    /// Sizes and times of a session.
    package struct Policy: Hashable, Sendable {
        /// Packets in the first train and least packets in any.
        package var minimumPackets = 16
        /// Most packets in a train: a socket buffer of the usual 208 KiB holds about 90 full-size datagrams.
        package var maximumPackets = 64
        /// How long a sized train should take at the narrowest link.
        package var duration: Duration = .milliseconds(6)
        /// Above this rate user-space time stamps say little, so trains stay at half of the maximum.
        package var fastRate = Bandwidth(bitsPerSecond: 1e9)
        /// Trains each way that count, if they agree.
        package var trains = 3
        /// Most trains each way, the first included.
        package var maximumTrains = 6
        /// Trains agree if they differ by less.
        package var agreement = 0.1

        package init() {}
    }

    /// What the session wants done.
    package enum Action: Hashable, Sendable {
        /// Messages of one datagram.
        case send([ProbingMessage])
        /// The session is over.
        case finished(Result)
    }

    /// What a session found.
    package struct Result: Hashable, Sendable {
        /// From the peer to here, as measured here; `nil` if no train came through.
        package var receive: Bandwidth?
        /// From here to the peer, as the peer reported.
        package var send: Bandwidth?
        package var confidence: LinkReport.Confidence
        /// Trains that count, both directions together.
        package var trains: Int
        /// Whether the peer answered at all.
        package var wasGranted: Bool
    }

    private struct Sample: Sendable {
        var rate: Bandwidth
        var span: Duration
    }

    private struct Reception: Sendable {
        var train: UInt8
        var arrivals: [Instant] = []
        var seen: [Bool]
        var largestGap: Duration = .zero
        var hasLast = false
    }

    /// The other end.
    package let peer: PeerID
    /// Number of the session, chosen by the initiator.
    package let identifier: UInt32
    package let isInitiator: Bool
    package let startedAt: Instant
    /// When `timer` must be called.
    package private(set) var deadline: Instant
    /// Whether the responder has granted; true from the start at the responder.
    package private(set) var isGranted: Bool

    private let policy: Policy
    private let roundTrip: Duration
    private var outgoing: [Sample] = []
    private var incoming: [Sample] = []
    private var sentTrains = 0
    private var completedTrains = 0
    private var reception: Reception?

    /// Begins a session as its initiator; the caller sends `reserve`.
    package init(reserving identifier: UInt32, with peer: PeerID, roundTrip: Duration, policy: Policy, at now: Instant)
    {
        self.init(identifier, peer, isInitiator: true, roundTrip, policy, now)
        deadline = now + .milliseconds(150) + roundTrip * 3
    }

    /// Begins a session as its responder; the caller sends `grant`.
    package init(granting identifier: UInt32, to peer: PeerID, roundTrip: Duration, policy: Policy, at now: Instant) {
        self.init(identifier, peer, isInitiator: false, roundTrip, policy, now)
        deadline = now + patience
    }

    private init(
        _ identifier: UInt32, _ peer: PeerID, isInitiator: Bool, _ roundTrip: Duration, _ policy: Policy, _ now: Instant
    ) {
        self.identifier = identifier
        self.peer = peer
        self.isInitiator = isInitiator
        self.roundTrip = roundTrip
        self.policy = policy
        startedAt = now
        deadline = now
        isGranted = !isInitiator
    }

    /// The responder granted: the first train goes out.
    package mutating func granted(at now: Instant) -> [Action] {
        guard isInitiator, !isGranted else { return [] }
        isGranted = true
        defer { deadline = now + patience }
        return train()
    }

    /// A packet of the peer's train.
    package mutating func receive(_ packet: TrainPacket, at now: Instant) -> [Action] {
        guard isGranted, Int(packet.train) == completedTrains, packet.count <= TrainPacket.maximumCount else {
            return []
        }
        var current =
            reception ?? Reception(train: packet.train, seen: Array(repeating: false, count: Int(packet.count)))
        guard Int(packet.index) < current.seen.count, !current.seen[Int(packet.index)] else { return [] }
        current.seen[Int(packet.index)] = true
        if let last = current.arrivals.last { current.largestGap = max(current.largestGap, now - last) }
        current.arrivals.append(now)
        if packet.index + 1 == packet.count { current.hasLast = true }
        let isComplete = current.arrivals.count == current.seen.count
        // The end of a train may be lost, and its last packet may overtake others.
        let silence: Duration =
            current.hasLast
            ? max(.milliseconds(5), current.largestGap * 2)
            : current.arrivals.count == 1 ? .milliseconds(600) : max(.milliseconds(100), current.largestGap * 6)
        deadline = now + silence
        reception = current
        return isComplete ? completeReception(at: now) : []
    }

    /// The peer's report of a train sent from here.
    package mutating func receive(_ report: TrainReport) {
        guard Int(report.train) == sentTrains - 1, report.received >= TrainEstimator.minimumPackets, report.tail > .zero
        else { return }
        outgoing.append(Sample(rate: min(report.tail, TrainEstimator.ceiling), span: report.span))
    }

    /// The initiator ended the session.
    package mutating func finish() -> [Action] { [.finished(result)] }

    /// The deadline has passed.
    package mutating func timer(at now: Instant) -> [Action] {
        guard now >= deadline else { return [] }
        return reception == nil ? [.finished(result)] : completeReception(at: now)
    }

    /// Ends the peer's train, reports on it and takes the turn.
    private mutating func completeReception(at now: Instant) -> [Action] {
        guard let done = reception else { return [] }
        reception = nil
        completedTrains += 1
        let estimate = TrainEstimator.estimate(arrivals: done.arrivals, packetBytes: Limits.datagramBytes)
        if let estimate { incoming.append(Sample(rate: estimate.tail, span: estimate.span)) }
        let report = ProbingMessage.report(
            TrainReport(
                session: identifier, train: done.train, received: UInt16(done.arrivals.count),
                tail: estimate?.tail ?? .zero, head: estimate?.head ?? .zero, span: estimate?.span ?? .zero))
        if isInitiator, hasEnough {
            return [.send([report, .finish(session: identifier)]), .finished(result)]
        }
        defer { deadline = now + patience }
        return [.send([report])] + train()
    }

    /// The next train from here, all packets at once.
    private mutating func train() -> [Action] {
        let count = UInt16(size(after: outgoing.last?.rate))
        let number = UInt8(sentTrains)
        sentTrains += 1
        return (0..<count).map {
            .send([.train(TrainPacket(session: identifier, train: number, index: $0, count: count))])
        }
    }

    private func size(after rate: Bandwidth?) -> Int {
        guard let rate else { return policy.minimumPackets }
        if rate > policy.fastRate { return max(policy.minimumPackets, policy.maximumPackets / 2) }
        let packets = rate.bytesPerSecond * policy.duration.seconds / Double(Limits.datagramBytes)
        return min(max(policy.minimumPackets, Int(packets)), policy.maximumPackets)
    }

    private var hasEnough: Bool {
        if completedTrains >= policy.maximumTrains { return true }
        let sets = [counted(outgoing), counted(incoming)]
        guard sets.allSatisfy({ $0.count >= policy.trains }) else { return false }
        return sets.allSatisfy { rates in
            TrainEstimator.spread(rates) <= policy.agreement
                || (TrainEstimator.combine(rates) ?? .zero) > policy.fastRate
        }
    }

    /// The rates of the trains that were long enough; the first one is not if it lasted less than half of what it should.
    private func counted(_ samples: [Sample]) -> [Bandwidth] {
        let skipsFirst = samples.count > 1 && samples[0].span < policy.duration / 2
        return (skipsFirst ? samples.dropFirst() : samples[...]).map(\.rate)
    }

    private var result: Result {
        let received = counted(incoming)
        let sent = counted(outgoing)
        let isFine = [received, sent].allSatisfy {
            // A quarter apart is as far as "fine" goes.
            $0.count >= policy.trains && TrainEstimator.spread($0) <= policy.agreement * 2.5
        }
        let receive = TrainEstimator.combine(received)
        let send = TrainEstimator.combine(sent)
        return Result(
            receive: receive, send: send,
            confidence: receive == nil && send == nil ? .roundTripOnly : isFine ? .fine : .coarse,
            trains: received.count + sent.count, wasGranted: isGranted)
    }

    /// How long the other end may be silent: a round trip and a train each way at the known rates, with much room.
    private var patience: Duration {
        guard let out = outgoing.last?.rate, let back = incoming.last?.rate else {
            return .seconds(2) + roundTrip * 4
        }
        let bytes = Double(policy.maximumPackets * Limits.datagramBytes)
        let trains = min(out.seconds(forBytes: bytes) + back.seconds(forBytes: bytes), 20)
        return .milliseconds(600) + roundTrip * 4 + .nanoseconds(Int64(trains * 1e9))
    }
}
