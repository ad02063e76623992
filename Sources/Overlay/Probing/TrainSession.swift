package import Primitives
import Wire

/// One bandwidth measurement between two peers, both directions in turn, as either end runs it.
///
/// The initiator reserves, the responder grants; then the initiator sends train 0, the responder reports on it and sends
/// its own train 0, the initiator reports on that and sends train 1, and so on until the initiator has seen enough and
/// finishes. While a session lasts its two peers grant no other, so no access link carries two trains. The first trains of
/// each direction are short and only size the next ones by time; a direction that knows enough sends a train of one packet,
/// which only passes the turn on.
package struct TrainSession: Sendable {
    /// Sizes and times of a session.
    package struct Policy: Hashable, Sendable {
        /// Packets in the first train and least packets in any but a mere turn.
        package var minimumPackets = 16
        /// Most packets in a train: 5 ms at 1 Gbit/s.
        package var maximumPackets = 512
        /// A link that reads faster than this keeps its short trains, and a coarse figure, unless somebody asks for more: no
        /// stream of a training job needs to know, and it might be a loopback device that costs only processor time.
        package var routineRate = Bandwidth(bitsPerSecond: 2e9)
        /// How long a sized train should take at the narrowest link.
        package var duration: Duration = .milliseconds(10)
        /// A train has at most so many times the packets of the one before, since a short train's figure may be wrong.
        package var growth = 4
        /// Trains each way that count, if they agree.
        package var trains = 3
        /// Two trains are enough if they differ by less than this.
        package var closeAgreement = 0.01
        /// Most trains each way, the first ones included.
        package var maximumTrains = 8
        /// Trains agree if they differ by less.
        package var agreement = 0.05

        package init() {}

        /// Packets that a train at this rate should have.
        func packets(at rate: Bandwidth) -> Int {
            let wanted = rate.bytesPerSecond * duration.seconds / Double(Limits.datagramBytes)
            return max(Int(min(wanted, Double(maximumPackets))), minimumPackets)
        }

        /// Bytes that a routine session at this rate takes each way, the short trains at its beginning included.
        func typicalBytes(at rate: Bandwidth) -> Double {
            let packets = rate > routineRate ? minimumPackets : packets(at: rate)
            return max(Double(packets * Limits.datagramBytes) * 4, TrainSession.leastBytes)
        }
    }

    /// What a session is for.
    package enum Purpose: UInt8, Sendable, CaseIterable {
        /// The schedule of one end wants it; the budgets of both limit it.
        case routine = 0
        /// Somebody waits for the figures.
        case requested = 1
    }

    /// Bytes of three trains of the least length.
    package static let leastBytes: Double = 60_000

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
        /// Rates at which a token bucket lets the first packets of a train through; `nil` where there is none.
        package var receiveBurst: Bandwidth?
        package var sendBurst: Bandwidth?
        package var confidence: LinkReport.Confidence
        /// Trains that count, both directions together.
        package var trains: Int
        /// Whether a direction's trains were much shorter than its rate asks for, for the sake of a budget.
        package var isShort: Bool
        /// Whether the peer answered at all.
        package var wasGranted: Bool
    }

    private struct Sample: Sendable {
        var estimate: TrainEstimate
        /// Packets sent.
        var count: Int
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

    /// Bytes of trains so far, session headers included.
    package private(set) var sentBytes = 0
    package private(set) var receivedBytes = 0

    private let policy: Policy
    private let purpose: Purpose
    /// Bytes that either end may send in trains longer than the shortest.
    private var allowance: Int
    private let roundTrip: Duration
    private var outgoing: [Sample] = []
    private var incoming: [Sample] = []
    private var sentTrains = 0
    private var sentPackets = 0
    private var completedTrains = 0
    private var reception: Reception?

    /// Begins a session as its initiator; the caller sends `reserve`.
    package init(
        reserving identifier: UInt32, with peer: PeerID, purpose: Purpose, allowance: Int, roundTrip: Duration,
        policy: Policy, at now: Instant
    ) {
        self.init(identifier, peer, isInitiator: true, purpose, allowance, roundTrip, policy, now)
        deadline = now + .milliseconds(150) + roundTrip * 3
    }

    /// Begins a session as its responder; the caller sends `grant`.
    package init(
        granting identifier: UInt32, to peer: PeerID, purpose: Purpose, allowance: Int, roundTrip: Duration,
        policy: Policy, at now: Instant
    ) {
        self.init(identifier, peer, isInitiator: false, purpose, allowance, roundTrip, policy, now)
        deadline = now + patience
    }

    private init(
        _ identifier: UInt32, _ peer: PeerID, isInitiator: Bool, _ purpose: Purpose, _ allowance: Int,
        _ roundTrip: Duration, _ policy: Policy, _ now: Instant
    ) {
        self.purpose = purpose
        self.allowance = allowance
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
    package mutating func granted(allowance theirs: Int, at now: Instant) -> [Action] {
        guard isInitiator, !isGranted else { return [] }
        isGranted = true
        allowance = min(allowance, theirs)
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
        receivedBytes += Limits.datagramBytes
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
        guard Int(report.train) == sentTrains - 1, report.received >= TrainEstimator.minimumPackets,
            Int(report.received) * 2 >= sentPackets, report.tail > .zero
        else { return }
        let estimate = TrainEstimate(
            tail: min(report.tail, TrainEstimator.ceiling), head: min(report.head, TrainEstimator.ceiling),
            received: Int(report.received), span: report.span)
        outgoing.append(Sample(estimate: estimate, count: sentPackets))
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
        // More than half lost: whatever did that, the rest is no measurement.
        if let estimate, estimate.received * 2 >= done.seen.count {
            incoming.append(Sample(estimate: estimate, count: done.seen.count))
        }
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
        let count = UInt16(isEnough(outgoing) ? 1 : nextSize)
        let number = UInt8(sentTrains)
        sentTrains += 1
        sentPackets = Int(count)
        sentBytes += sentPackets * Limits.datagramBytes
        return (0..<count).map {
            .send([.train(TrainPacket(session: identifier, train: number, index: $0, count: count))])
        }
    }

    /// Packets that take the wanted time at the last figure. Never fewer than before: a token bucket that the last train
    /// emptied would hide a shorter one.
    private var nextSize: Int {
        guard let last = outgoing.last else { return policy.minimumPackets }
        guard purpose != .routine || last.estimate.tail <= policy.routineRate else { return last.count }
        let sized = min(policy.packets(at: last.estimate.tail), last.count * policy.growth)
        let affordable = max(allowance - sentBytes, 0) / (Limits.datagramBytes * policy.trains)
        return min(max(last.count, min(sized, affordable)), policy.maximumPackets)
    }

    private var hasEnough: Bool {
        completedTrains >= policy.maximumTrains || (isEnough(outgoing) && isEnough(incoming))
    }

    private func isEnough(_ samples: [Sample]) -> Bool {
        let rates = counted(samples).map(\.estimate.tail)
        let spread = TrainEstimator.spread(rates)
        return rates.count >= policy.trains
            ? spread <= policy.agreement : rates.count == 2 && spread <= policy.closeAgreement
    }

    /// The trains that count: those with at least half of the largest one's packets.
    private func counted(_ samples: [Sample]) -> [Sample] {
        let largest = samples.map(\.count).max() ?? 0
        return samples.filter { $0.count * 2 >= largest }
    }

    private var result: Result {
        let (received, sent) = (counted(incoming), counted(outgoing))
        let rates = [received, sent].map { $0.map(\.estimate.tail) }
        let isShort = [received, sent].contains { samples in
            guard let rate = TrainEstimator.combine(samples.map(\.estimate.tail)) else { return false }
            return (samples.map(\.count).max() ?? 0) * 2 < policy.packets(at: rate)
        }
        let isFine =
            !isShort
            && rates.allSatisfy {
                // A quarter apart is as far as "fine" goes.
                $0.count >= policy.trains
                    ? TrainEstimator.spread($0) <= 0.25
                    : $0.count == 2 && TrainEstimator.spread($0) <= policy.closeAgreement
            }
        let (receive, send) = (TrainEstimator.combine(rates[0]), TrainEstimator.combine(rates[1]))
        return Result(
            receive: receive, send: send, receiveBurst: burst(received), sendBurst: burst(sent),
            confidence: receive == nil && send == nil ? .roundTripOnly : isFine ? .fine : .coarse,
            trains: received.count + sent.count, isShort: isShort, wasGranted: isGranted)
    }

    /// The rate of the trains' beginnings if most of them are bursts that end at one rate; a busy machine has others.
    private func burst(_ samples: [Sample]) -> Bandwidth? {
        let bursts = samples.map(\.estimate).filter(\.isBurst)
        guard bursts.count >= 2, bursts.count * 2 > samples.count,
            TrainEstimator.spread(bursts.map(\.tail)) <= policy.agreement * 2
        else { return nil }
        return TrainEstimator.combine(bursts.map(\.head))
    }

    /// How long the other end may be silent: a round trip and a train each way at the known rates, with much room.
    private var patience: Duration {
        guard let out = outgoing.last?.estimate.tail, let back = incoming.last?.estimate.tail else {
            return .seconds(2) + roundTrip * 4
        }
        let bytes = Double(policy.maximumPackets * Limits.datagramBytes)
        let trains = min(out.seconds(forBytes: bytes) + back.seconds(forBytes: bytes), 20)
        return .milliseconds(600) + roundTrip * 4 + .nanoseconds(Int64(trains * 1e9))
    }
}
