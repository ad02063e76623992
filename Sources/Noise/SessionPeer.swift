internal import Primitives
internal import Wire

/// One key pair of a session: the outcome of one handshake.
final class TransportSession {
    let localIndex: UInt32
    let remoteIndex: UInt32
    let isInitiator: Bool
    let createdAt: Instant
    private let sending: CipherState
    private let receiving: CipherState
    private var window = ReplayWindow()

    init(
        localIndex: UInt32, remoteIndex: UInt32, isInitiator: Bool, createdAt: Instant, sending: CipherState,
        receiving: CipherState
    ) {
        self.localIndex = localIndex
        self.remoteIndex = remoteIndex
        self.isInitiator = isInitiator
        self.createdAt = createdAt
        self.sending = sending
        self.receiving = receiving
    }

    var sentCount: UInt64 { sending.counter }

    /// A complete transport datagram; `nil` once the counter is used up.
    func seal(_ payload: [UInt8]) -> [UInt8]? {
        let header = SessionMessage.transportHeader(receiver: remoteIndex, counter: sending.counter)
        guard let sealed = sending.seal(payload, associatedData: header) else { return nil }
        return header + sealed
    }

    enum Opened {
        /// The payload, and whether its counter is the greatest so far.
        case payload([UInt8], isNewest: Bool)
        case replayed
        case notAuthentic
    }

    /// Checks the window, opens, then marks: a forged counter must not move the window.
    func open(_ datagram: [UInt8]) -> Opened {
        let counter: UInt64 = SessionMessage.integer(datagram, at: 8)
        guard window.mayAccept(counter) else { return .replayed }
        let split = SessionMessage.transportHeaderByteCount
        guard
            let payload = receiving.open(
                datagram[split...], counter: counter, associatedData: Array(datagram[..<split]))
        else { return .notAuthentic }
        let isNewest = window.greatest.map { counter > $0 } ?? true
        window.mark(counter)
        return .payload(payload, isNewest: isNewest)
    }
}

/// A handshake that this peer began and that is not answered yet.
final class OutgoingHandshake {
    let index: UInt32
    private var state: HandshakeState?
    let mac1: [UInt8]
    /// The whole initiation.
    let datagram: [UInt8]
    /// Where it goes, one after the other.
    let targets: [NetworkAddress]
    private var triedCount = 0
    /// When it goes to the next address; `nil` after the last.
    private(set) var nextTargetAt: Instant?
    /// What the initiation says of its time, in milliseconds of the wall clock.
    let timestamp: UInt64
    /// Whether it was made because the last one was refused as outdated.
    let isCorrected: Bool
    /// When the first attempt of this series was made.
    let since: Instant
    let attempt: Int
    let retryAt: Instant

    init(
        index: UInt32, state: consuming HandshakeState, mac1: [UInt8], datagram: [UInt8], targets: [NetworkAddress],
        timestamp: UInt64, isCorrected: Bool, since: Instant, attempt: Int, retryAt: Instant
    ) {
        self.index = index
        self.state = consume state
        self.mac1 = mac1
        self.datagram = datagram
        self.targets = targets
        self.timestamp = timestamp
        self.isCorrected = isCorrected
        self.since = since
        self.attempt = attempt
        self.retryAt = retryAt
    }

    /// The next address if its time has come.
    func takeTarget(at now: Instant) -> NetworkAddress? {
        guard triedCount < targets.count, nextTargetAt.map({ $0 <= now }) ?? true else { return nil }
        defer { triedCount += 1 }
        nextTargetAt = triedCount + 1 < targets.count ? now + CandidateAddresses.stagger : nil
        return targets[triedCount]
    }

    /// Reads the answer and returns its payload; throws, unchanged, if it is not authentic.
    func read(_ message: [UInt8]) throws(HandshakeError) -> [UInt8] {
        guard var running = state.take() else { throw .outOfTurn }
        do throws(HandshakeError) {
            let payload = try running.readMessage(message)
            state = consume running
            return payload
        } catch {
            state = consume running
            throw error
        }
    }

    /// The keys, once; throws before the answer was read and the second time.
    func finish() throws(HandshakeError) -> HandshakeResult {
        guard let state = state.take() else { throw .outOfTurn }
        return try state.finish()
    }
}

/// Everything that the table knows about one remote peer.
///
/// The three session slots are WireGuard's (section 6.2): a responder may not send under new keys before the initiator
/// has proven that it has them, so they wait in `next`; datagrams still on their way are opened by `previous`.
final class SessionPeer {
    let peer: PeerID
    var agreementKey: AgreementPublicKey
    /// Whether a handshake has shown the identity's signature over `agreementKey`.
    var isKeyProven = false
    /// Where a contact says that it may be, in order of preference.
    var addresses: [NetworkAddress] = []
    /// Whether somebody asked for this peer, so that it stays without a session.
    var isLearnt = false
    /// Where its datagrams go now.
    var path = PeerPath()
    /// The measurement of its other addresses under way, when the last began, and what was sent since.
    var survey: PathSurvey?
    var lastSurvey: Instant?
    var usesSinceSurvey = 0
    /// Where the initiation came from that made `next`.
    var nextSource: NetworkAddress?

    var previous: TransportSession?
    var current: TransportSession?
    var next: TransportSession?
    var handshake: OutgoingHandshake?

    /// The greatest timestamp of its initiations.
    var greatestTimestamp: UInt64 = 0
    var lastInitiation: Instant?
    /// What the timestamps of our initiations to this peer have to exceed; 0 unless our clock is behind what it has seen.
    var timestampFloor: UInt64 = 0
    var cookie: (value: [UInt8], expires: Instant)?

    private(set) var queue: [[UInt8]] = []
    private(set) var queuedBytes = 0

    init(peer: PeerID, agreementKey: AgreementPublicKey) {
        self.peer = peer
        self.agreementKey = agreementKey
    }

    /// Adds a payload; returns how many old ones had to go.
    func enqueue(_ payload: [UInt8], maximumCount: Int) -> Int {
        var dropped = 0
        while queue.count >= maximumCount, !queue.isEmpty {
            queuedBytes -= queue.removeFirst().count
            dropped += 1
        }
        queue.append(payload)
        queuedBytes += payload.count
        return dropped
    }

    /// Empties the queue.
    func takeQueue() -> [[UInt8]] {
        defer {
            queue = []
            queuedBytes = 0
        }
        return queue
    }

    var sessions: [TransportSession] { [previous, current, next].compactMap { $0 } }

    /// Whether nothing but the memory of an old timestamp is left.
    var isEmpty: Bool { !isLearnt && previous == nil && current == nil && next == nil && handshake == nil }
}
