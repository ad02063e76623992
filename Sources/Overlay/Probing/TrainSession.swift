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
        /// An attested train lasts so long, so that delays of some milliseconds are no excuse, and fills the link for sure.
        package var attestedDuration: Duration = .milliseconds(100)
        package var attestedExcess = 1.1
        /// ... and so long at most at what is already borne out, because a lie of ten times would take a second to send.
        package var attestedMaximum: Duration = .milliseconds(400)
        /// Long trains leave in small clumps, which costs far less and does not matter to them.
        package var clump: Duration = .milliseconds(2)
        /// A near link that reads faster than this keeps its short trains, and a coarse figure, unless somebody asks for more: no
        /// stream of a training job needs to know, and it might be a loopback device that costs only processor time.
        package var routineRate = Bandwidth(bitsPerSecond: 2e9)
        /// Links with a shorter least round trip are near.
        package var nearest: Duration = .milliseconds(1)
        /// Packets that a far link's trains may have if it reads faster than `routineRate`, whatever the budget: a short train that
        /// something on the way has held up looks like that, too, and one of so many at 100 Mbit/s is seldom held up as a whole.
        package var leastFastPackets = 256
        /// How long a sized train should take at the narrowest link.
        package var duration: Duration = .milliseconds(10)
        /// Trains that disagree are followed by so many times longer ones, if these take no longer than this.
        package var stretch = 3
        package var longest: Duration = .milliseconds(50)
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
        /// A figure from trains that differ by more is not fine.
        package var fineSpread = 0.25

        package init() {}

        /// Packets that a train at this rate should have.
        func packets(at rate: Bandwidth) -> Int {
            let wanted = rate.bytesPerSecond * duration.seconds / Double(Limits.datagramBytes)
            return max(Int(min(wanted, Double(maximumPackets))), minimumPackets)
        }

        /// Whether a link is so near that short trains will do if it is fast.
        func isNear(_ roundTrip: Duration?) -> Bool { roundTrip.map { $0 < nearest } ?? false }

        /// Bytes that a routine session at this rate takes each way, the short trains at its beginning included.
        func typicalBytes(at rate: Bandwidth, isNear: Bool) -> Double {
            let packets = isNear && rate > routineRate ? minimumPackets : packets(at: rate)
            return max(Double(packets * Limits.datagramBytes) * 4, TrainSession.leastBytes)
        }
    }

    /// What a session is for.
    package enum Purpose: UInt8, Sendable, CaseIterable {
        /// The schedule of one end wants it; the budgets of both limit it.
        case routine = 0
        /// Somebody waits for the figures.
        case requested = 1
        /// One long train each way at a little more than the known rate, so long that the sender's clock bounds what the
        /// receiver may claim.
        case attested = 2
        /// Trains at several rates below the capacity: what does other traffic leave free?
        case available = 3

        /// Whether its trains leave back to back, several of them, to be compared.
        var isForCapacity: Bool { self == .routine || self == .requested }
    }

    /// What a session needs to know of its link.
    package struct Background: Sendable {
        /// The least round trip.
        package var roundTrip: Duration
        /// Known rates in both directions; zero if unknown.
        package var send: Bandwidth
        package var receive: Bandwidth
        /// What the sender's clock bears out of the rate from here; zero if nobody doubts it.
        package var sendBorneOut: Bandwidth

        package init(
            roundTrip: Duration, send: Bandwidth = .zero, receive: Bandwidth = .zero, sendBorneOut: Bandwidth = .zero
        ) {
            self.roundTrip = roundTrip
            self.send = send
            self.receive = receive
            self.sendBorneOut = sendBorneOut
        }
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
        /// The most that the peer can have received, by its proofs and this end's clock: the best of the trains that count.
        package var sendBound: Bandwidth?
        /// By how much the peer's reports came later than its figures explain: the least of the trains that count.
        package var sendLateness: Duration?
        /// How long the train behind `sendBound` took from here and back, less the round trip.
        package var sendBoundTime: Duration?
        /// The most that a packet of a paced train left later than its pace has it, because this machine was busy.
        package var sendSlip: Duration
        /// What other traffic leaves free in each direction; only after a session for that.
        package var sendAvailable: Bandwidth?
        package var receiveAvailable: Bandwidth?
        package var confidence: LinkReport.Confidence
        /// Trains that count, both directions together.
        package var trains: Int
        /// Whether a direction's trains were much shorter than its rate asks for, for the sake of a budget.
        package var isShort: Bool
        /// Whether a direction's trains were many and still far apart.
        package var isUnsettled: Bool
        /// Whether the peer answered at all.
        package var wasGranted: Bool
    }

    struct Sample: Sendable {
        /// From the train's begin to its report, less the round trip.
        var seconds = 0.0
        var estimate: TrainEstimate
        /// Packets sent.
        var count: Int
        /// The rate at which they were sent; zero for back to back.
        var paced: Bandwidth
        /// What the sender's clock and the receiver's proof allow.
        var bound = Bandwidth.zero
        /// Time from the train's begin to its report beyond the round trip and what the reported rate explains.
        var lateness: Duration = .zero
    }

    /// The train that is being sent, or was sent last.
    private struct Dispatch: Sendable {
        var train: UInt8
        var count: UInt16
        /// Nanoseconds between packets.
        var pace: UInt32
        var tokens: [UInt64]
        var startedAt: Instant
        /// Index of the next packet.
        var next: UInt16 = 0

        var isOver: Bool { next == count }
        /// How long it takes at its pace.
        var nominal: Duration { .nanoseconds(Int64(count) * Int64(pace)) }
        var rate: Bandwidth {
            pace == 0 ? .zero : Bandwidth(bytesPerSecond: Double(Limits.datagramBytes) * 1e9 / Double(pace))
        }
    }

    private struct Reception: Sendable {
        var train: UInt8
        var pace: UInt32
        var proof: UInt64 = 0
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

    let policy: Policy
    let purpose: Purpose
    let background: Background
    private let tokens: TrainTokens
    /// Bytes that either end may send in trains longer than the shortest.
    private var allowance: Int
    var outgoing: [Sample] = []
    var incoming: [Sample] = []
    private var sentTrains = 0
    private(set) var completedTrains = 0
    private var dispatch: Dispatch?
    private var reception: Reception?
    private(set) var slip = Duration.zero
    /// Bytes that may still be spent on longer trains.
    var affordableBytes: Int { max(allowance - sentBytes, 0) }

    /// Begins a session as its initiator; the caller sends `reserve`.
    package init(
        reserving identifier: UInt32, with peer: PeerID, purpose: Purpose, allowance: Int, background: Background,
        policy: Policy, tokens: TrainTokens, at now: Instant
    ) {
        self.init(identifier, peer, isInitiator: true, purpose, allowance, background, policy, tokens, now)
        deadline = now + .milliseconds(150) + background.roundTrip * 3
    }

    /// Begins a session as its responder; the caller sends `grant`.
    package init(
        granting identifier: UInt32, to peer: PeerID, purpose: Purpose, allowance: Int, background: Background,
        policy: Policy, tokens: TrainTokens, at now: Instant
    ) {
        self.init(identifier, peer, isInitiator: false, purpose, allowance, background, policy, tokens, now)
        deadline = now + patience
    }

    private init(
        _ identifier: UInt32, _ peer: PeerID, isInitiator: Bool, _ purpose: Purpose, _ allowance: Int,
        _ background: Background, _ policy: Policy, _ tokens: TrainTokens, _ now: Instant
    ) {
        self.tokens = tokens
        self.purpose = purpose
        self.allowance = allowance
        self.identifier = identifier
        self.peer = peer
        self.isInitiator = isInitiator
        self.background = background
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
        return train(at: now)
    }

    /// A packet of the peer's train.
    package mutating func receive(_ packet: TrainPacket, at now: Instant) -> [Action] {
        guard isGranted, Int(packet.train) == completedTrains, packet.count <= TrainPacket.maximumCount else {
            return []
        }
        var current =
            reception
            ?? Reception(
                train: packet.train, pace: packet.pace, seen: Array(repeating: false, count: Int(packet.count)))
        guard Int(packet.index) < current.seen.count, !current.seen[Int(packet.index)] else { return [] }
        current.seen[Int(packet.index)] = true
        if let last = current.arrivals.last { current.largestGap = max(current.largestGap, now - last) }
        current.arrivals.append(now)
        current.proof ^= packet.token
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

    /// The peer's report of a train sent from here. One whose proof does not fit is nothing but a claim and is dropped.
    package mutating func receive(_ report: TrainReport, at now: Instant) {
        guard let sent = dispatch, sent.isOver, report.train == sent.train,
            report.received >= TrainEstimator.minimumPackets, report.received <= sent.count, report.tail > .zero,
            report.arrived.count(of: Int(sent.count)) == Int(report.received),
            TrainTokens.proof(sent.tokens, report.arrived) == report.proof
        else { return }
        dispatch = nil
        // Bytes cannot have come faster than in the time that passed here, less the way there and back.
        let bytes = Double(report.received) * Double(Limits.datagramBytes)
        let seconds = (now - sent.startedAt - background.roundTrip).seconds
        let bound = seconds > 0 ? Bandwidth(bytesPerSecond: bytes / seconds) : TrainEstimator.ceiling
        guard purpose == .attested || Int(report.received) * 2 >= Int(sent.count) else { return }
        let estimate = TrainEstimate(
            tail: min(report.tail, TrainEstimator.ceiling), head: min(report.head, TrainEstimator.ceiling),
            received: Int(report.received), span: report.span)
        let explained = max(estimate.tail.seconds(forBytes: bytes), sent.nominal.seconds)
        outgoing.append(
            Sample(
                seconds: seconds, estimate: estimate, count: Int(sent.count), paced: sent.rate,
                bound: min(bound, TrainEstimator.ceiling),
                lateness: .nanoseconds(Int64(max(seconds - explained, 0) * 1e9))))
    }

    /// The initiator ended the session.
    package mutating func finish() -> [Action] { [.finished(result)] }

    /// The deadline has passed.
    package mutating func timer(at now: Instant) -> [Action] {
        guard now >= deadline else { return [] }
        if let dispatch, !dispatch.isOver { return proceed(at: now) }
        return reception == nil ? [.finished(result)] : completeReception(at: now)
    }

    /// Ends the peer's train, reports on it and takes the turn.
    private mutating func completeReception(at now: Instant) -> [Action] {
        guard let done = reception else { return [] }
        reception = nil
        completedTrains += 1
        let estimate = TrainEstimator.estimate(
            arrivals: done.arrivals, packetBytes: Limits.datagramBytes,
            // All of a train counts that was sent at a rate of its own, unless it was to fill the link.
            droppedShare: done.pace > 0 && purpose == .available ? 0 : TrainEstimator.droppedShare)
        // More than half lost: whatever did that, the rest is no measurement.
        if let estimate, estimate.received * 2 >= done.seen.count {
            let paced = done.pace == 0 ? 0 : Double(Limits.datagramBytes) * 1e9 / Double(done.pace)
            incoming.append(
                Sample(estimate: estimate, count: done.seen.count, paced: Bandwidth(bytesPerSecond: paced)))
        }
        let report = ProbingMessage.report(
            TrainReport(
                session: identifier, train: done.train, received: UInt16(done.arrivals.count),
                arrived: ArrivedPackets(done.seen), proof: done.proof, tail: estimate?.tail ?? .zero,
                head: estimate?.head ?? .zero, span: estimate?.span ?? .zero))
        if isInitiator, hasEnough {
            return [.send([report, .finish(session: identifier)]), .finished(result)]
        }
        return [.send([report])] + train(at: now)
    }

    /// Begins the next train from here.
    private mutating func train(at now: Instant) -> [Action] {
        let form = nextForm(train: sentTrains)
        dispatch = Dispatch(
            train: UInt8(truncatingIfNeeded: sentTrains), count: UInt16(form.count), pace: form.pace,
            tokens: tokens.tokens(ofTrain: sentTrains, count: form.count), startedAt: now)
        sentTrains += 1
        sentBytes += form.count * Limits.datagramBytes
        return proceed(at: now)
    }

    /// Sends the packets of the train that are due: all of them at once if it is not paced.
    private mutating func proceed(at now: Instant) -> [Action] {
        guard var current = dispatch else { return [] }
        dispatch = nil  // so that its array is not copied
        var actions: [Action] = []
        if current.pace > 0 {
            slip = max(slip, now - current.startedAt - .nanoseconds(Int64(current.next) * Int64(current.pace)))
        }
        while !current.isOver, now >= current.startedAt + .nanoseconds(Int64(current.next) * Int64(current.pace)) {
            let packet = TrainPacket(
                session: identifier, train: current.train, index: current.next, count: current.count,
                pace: current.pace, token: current.tokens[Int(current.next)])
            actions.append(.send([.train(packet)]))
            current.next += 1
        }
        if current.isOver {
            deadline = now + patience
        } else {
            let next = current.startedAt + .nanoseconds(Int64(current.next) * Int64(current.pace))
            deadline = purpose == .attested ? max(next, now + policy.clump) : next
        }
        dispatch = current
        return actions
    }
}
