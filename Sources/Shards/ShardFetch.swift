package import Primitives
import Wire

/// Fetches one shard from several peers at once: rarest piece first, a window of requests to each source, every piece
/// verified before it counts.
///
/// A source that answers wrongly is dropped at once; one that goes silent loses its requests to others and is dropped
/// when it does so again. When nothing is left to request, pieces that are late elsewhere are requested a second time
/// (BitTorrent's endgame). Sources that hold only a part are asked again now and then for what they have gained, so that
/// peers fetching the same shard feed each other.
package struct ShardFetch: ProtocolCore {
    package struct Configuration: Sendable {
        /// Requests in flight to a new source.
        package var initialWindow = 2
        /// Most requests in flight to one source: 16 MiB covers 1 Gbit/s at 130 ms.
        package var maximumWindow = 16
        /// A piece that took less time than this lets the window grow, one that took four times as long shrinks it.
        package var targetDelay = Duration.seconds(1)
        /// Silence after which a source with requests in flight has failed them.
        package var stallTimeout = Duration.seconds(30)
        /// Silence after a query before it is asked again.
        package var queryTimeout = Duration.seconds(5)
        /// Failures in a row after which a source is dropped.
        package var failuresAllowed = 2
        /// First wait before a partial source is asked again; doubles up to sixteen times this while it gains nothing.
        package var requeryInterval = Duration.milliseconds(500)
        /// Age at which the last outstanding pieces are requested from a second source.
        package var endgameDelay = Duration.seconds(1)
        /// Time without any progress or anything to wait for before the fetch calls itself starved.
        package var patience = Duration.seconds(60)
        /// Breaks ties between equally rare pieces, so that peers fetching together choose differently.
        package var seed: UInt64 = 0

        package init() {}
    }

    package enum Input: Sendable {
        /// A peer that may hold the shard.
        case addSource(PeerID)
        /// A peer that cannot be reached any more.
        case removeSource(PeerID)
        case message(ShardMessage, from: PeerID)
        case timer
    }

    package enum Effect: Hashable, Sendable {
        case send(ShardMessage, to: PeerID)
        /// The manifest, verified; comes before any piece, and not at all if the fetch was given one.
        case manifest(ShardManifest)
        /// A verified piece to be stored.
        case accepted(piece: Int, bytes: [UInt8])
        /// The source is of no use any more and why.
        case dropped(PeerID, SourceFailure)
        /// Every piece has been accepted.
        case completed
        /// No source can bring anything more; `missing` is `nil` while even the manifest is unknown. A new source
        /// sets the fetch going again.
        case starved(missing: [Int]?)
    }

    /// Why a source was dropped.
    package enum SourceFailure: Hashable, Sendable {
        case left
        case corruptPiece(Int)
        case wrongManifest
        case wrongBitmap
        case hasNothing
        case silent
    }

    private struct Request {
        var piece: Int
        var sentAt: Instant
        /// Whether the piece has been given back for others to fetch; it is still taken if it comes after all.
        var isReleased = false
    }

    private struct Source {
        let peer: PeerID
        var held: PieceBitmap?
        var requests: [Request] = []
        var window: Int
        var failures = 0
        var queriedAt: Instant
        var awaitsAnswer = true
        var requeryInterval: Duration
        var lastDelivery: Instant

        var openRequests: Int { requests.count { !$0.isReleased } }
        /// Whether to request more; a source that has failed gets one request to prove itself.
        var hasRoom: Bool { held != nil && (failures == 0 ? requests.count < window : requests.isEmpty) }
    }

    package let shard: ShardID
    package private(set) var manifest: ShardManifest?
    /// Accepted pieces; empty while the manifest is unknown.
    package private(set) var held: PieceBitmap
    private let configuration: Configuration
    private var sources: [Source] = []  // sorted by peer
    private var copies: [UInt8] = []  // a piece: requests in flight that have not been released
    private var availability: [UInt32] = []  // a piece: sources that hold it
    private var tieBreak: [UInt32] = []  // a piece: its place in this peer's own order
    private var candidates: [Int] = []  // missing and in flight nowhere; the best last
    private var candidatesAreSorted = true
    private var lastProgress: Instant?
    private var isStarved = false
    private var isFinished = false

    /// A new fetch, or one resumed from what a store holds already.
    package init(
        shard: ShardID, manifest: ShardManifest? = nil, held: PieceBitmap? = nil,
        configuration: Configuration = Configuration()
    ) {
        self.shard = shard
        self.configuration = configuration
        self.held = PieceBitmap(pieceCount: 0)
        if let manifest, manifest.id == shard { adopt(manifest, held: held) }
    }

    /// Peers still in use, sorted.
    package var activeSources: [PeerID] { sources.map(\.peer) }

    /// The pieces still to come; `nil` while the manifest is unknown.
    package var missingPieces: [Int]? { manifest == nil ? nil : held.missing }

    /// Whether every piece has been accepted.
    package var isComplete: Bool { manifest != nil && held.isComplete }

    // MARK: Inputs

    package mutating func handle(_ input: Input, at now: Instant, into effects: inout [Effect]) {
        if lastProgress == nil { lastProgress = now }
        guard !isFinished else { return }
        switch input {
        case .addSource(let peer): addSource(peer, at: now, into: &effects)
        case .removeSource(let peer): drop(peer, .left, into: &effects)
        case .message(let message, let peer): receive(message, from: peer, at: now, into: &effects)
        case .timer: checkTimeouts(at: now, into: &effects)
        }
        if isComplete {
            isFinished = true
            sources = []
            effects.append(.completed)
            return
        }
        requestPieces(at: now, into: &effects)
        checkStarvation(at: now, into: &effects)
    }

    private func index(of peer: PeerID) -> Int? { sources.firstIndex { $0.peer == peer } }

    private mutating func addSource(_ peer: PeerID, at now: Instant, into effects: inout [Effect]) {
        guard index(of: peer) == nil else { return }
        let source = Source(
            peer: peer, window: configuration.initialWindow, queriedAt: now,
            requeryInterval: configuration.requeryInterval, lastDelivery: now)
        sources.insert(source, at: sources.firstIndex { peer < $0.peer } ?? sources.endIndex)
        isStarved = false
        lastProgress = now
        effects.append(.send(.query(shard, wantsManifest: manifest == nil), to: peer))
    }

    private mutating func receive(
        _ message: ShardMessage, from peer: PeerID, at now: Instant, into effects: inout [Effect]
    ) {
        guard let source = index(of: peer) else { return }
        if case .manifest(let received) = message, received.id != shard {
            return drop(peer, .wrongManifest, into: &effects)
        }
        guard message.shard == shard else { return }
        switch message {
        case .manifest(let received):
            guard manifest == nil else { return }
            adopt(received, held: nil)
            effects.append(.manifest(received))
        case .have(_, let bitmap):
            updateBitmap(of: source, bitmap, at: now, into: &effects)
        case .piece(_, let piece, let bytes):
            receivePiece(piece, bytes, from: source, at: now, into: &effects)
        case .notFound(_, nil):
            drop(peer, .hasNothing, into: &effects)
        case .notFound(_, let piece?):
            if sources[source].held?.contains(piece) == true {
                sources[source].held?.remove(piece)
                availability[piece] -= 1
                candidatesAreSorted = false
            }
            endRequest(for: piece, from: source)
        case .query, .request:
            return  // for the server beside this fetch
        }
    }

    private mutating func adopt(_ received: ShardManifest, held known: PieceBitmap?) {
        manifest = received
        let count = received.pieceCount
        held = known.flatMap { $0.pieceCount == count ? $0 : nil } ?? PieceBitmap(pieceCount: count)
        copies = Array(repeating: 0, count: count)
        availability = Array(repeating: 0, count: count)
        var order = (0..<count).map(UInt32.init)
        var generator = SeededGenerator(seed: configuration.seed)
        generator.shuffle(&order)
        tieBreak = order
        candidates = held.missing
        candidatesAreSorted = false
    }

    private mutating func updateBitmap(
        of source: Int, _ bitmap: PieceBitmap, at now: Instant, into effects: inout [Effect]
    ) {
        guard let manifest, bitmap.pieceCount == manifest.pieceCount else {
            return drop(sources[source].peer, .wrongBitmap, into: &effects)
        }
        sources[source].awaitsAnswer = false
        // Streams are ordered: what was requested before the query that this answers will not come any more.
        if sources[source].requests.contains(where: \.isReleased) {
            sources[source].requests.removeAll(where: \.isReleased)
        } else {
            sources[source].failures = 0
        }
        let before = sources[source].held
        guard before != bitmap else { return }
        for piece in 0..<bitmap.pieceCount {
            let (had, has) = (before?.contains(piece) ?? false, bitmap.contains(piece))
            if has, !had { availability[piece] += 1 }
            if had, !has { availability[piece] -= 1 }
        }
        sources[source].held = bitmap
        sources[source].requeryInterval = configuration.requeryInterval
        candidatesAreSorted = false
    }

    private mutating func receivePiece(
        _ piece: Int, _ bytes: [UInt8], from source: Int, at now: Instant, into effects: inout [Effect]
    ) {
        guard let request = sources[source].requests.first(where: { $0.piece == piece }), let manifest else { return }
        let delay = now - request.sentAt
        if !held.contains(piece) {
            guard manifest.verifies(bytes, asPiece: piece) else {
                return drop(sources[source].peer, .corruptPiece(piece), into: &effects)
            }
            held.insert(piece)
            if request.isReleased { candidates.removeAll { $0 == piece } }
            lastProgress = now
            isStarved = false
            effects.append(.accepted(piece: piece, bytes: bytes))
        }
        endRequest(for: piece, from: source)
        sources[source].failures = 0
        sources[source].lastDelivery = now
        if delay < configuration.targetDelay {
            sources[source].window = min(sources[source].window + 1, configuration.maximumWindow)
        } else if delay > configuration.targetDelay * 4 {
            sources[source].window = max(sources[source].window - 1, 1)
        }
    }

    // MARK: Requests

    /// Forgets a request; the piece becomes a candidate again if nobody else brings it.
    private mutating func endRequest(for piece: Int, from source: Int) {
        guard let position = sources[source].requests.firstIndex(where: { $0.piece == piece }) else { return }
        let request = sources[source].requests.remove(at: position)
        if !request.isReleased { release(piece) }
    }

    private mutating func release(_ piece: Int) {
        copies[piece] -= 1
        guard copies[piece] == 0, !held.contains(piece) else { return }
        candidates.append(piece)
        candidatesAreSorted = false
    }

    private mutating func drop(_ peer: PeerID, _ failure: SourceFailure, into effects: inout [Effect]) {
        guard let position = index(of: peer) else { return }
        let source = sources.remove(at: position)
        for request in source.requests where !request.isReleased { release(request.piece) }
        if let pieces = source.held {
            for piece in 0..<pieces.pieceCount where pieces.contains(piece) { availability[piece] -= 1 }
            candidatesAreSorted = false
        }
        effects.append(.dropped(peer, failure))
    }

    /// Gives every source with room one request in turn until none can take more.
    private mutating func requestPieces(at now: Instant, into effects: inout [Effect]) {
        guard manifest != nil else { return }
        if !candidatesAreSorted {
            candidates.sort { (availability[$0], tieBreak[$0]) > (availability[$1], tieBreak[$1]) }
            candidatesAreSorted = true
        }
        var anyone = true
        while anyone {
            anyone = false
            for source in sources.indices where sources[source].hasRoom {
                guard let piece = nextPiece(for: source, at: now) else { continue }
                sources[source].requests.append(Request(piece: piece, sentAt: now))
                if sources[source].openRequests == 1 { sources[source].lastDelivery = now }
                copies[piece] += 1
                effects.append(.send(.request(shard, piece: piece), to: sources[source].peer))
                anyone = true
            }
        }
    }

    private mutating func nextPiece(for source: Int, at now: Instant) -> Int? {
        guard let pieces = sources[source].held else { return nil }
        let fits = candidates.lastIndex { piece in
            pieces.contains(piece) && !sources[source].requests.contains { $0.piece == piece }
        }
        if let fits { return candidates.remove(at: fits) }
        guard candidates.isEmpty else { return nil }
        return latePieces(besides: source).first { $0.sentAt + configuration.endgameDelay <= now }?.piece
    }

    /// Requests in flight at exactly one other source that this one could answer too, oldest first.
    private func latePieces(besides source: Int) -> [Request] {
        guard let pieces = sources[source].held else { return [] }
        var late: [Request] = []
        for other in sources.indices where other != source {
            late += sources[other].requests.filter { request in
                copies[request.piece] == 1 && !request.isReleased && !held.contains(request.piece)
                    && pieces.contains(request.piece)
                    && !sources[source].requests.contains { $0.piece == request.piece }
            }
        }
        return late.sorted { ($0.sentAt, $0.piece) < ($1.sentAt, $1.piece) }
    }

    // MARK: Time

    private mutating func checkTimeouts(at now: Instant, into effects: inout [Effect]) {
        for peer in sources.map(\.peer) {
            guard let source = index(of: peer), let due = deadline(of: sources[source]), due <= now else { continue }
            if sources[source].awaitsAnswer || sources[source].openRequests > 0 {
                fail(source, at: now, into: &effects)
            } else {
                sources[source].requeryInterval = min(
                    sources[source].requeryInterval * 2, configuration.requeryInterval * 16)
                query(source, at: now, into: &effects)
            }
        }
    }

    private mutating func fail(_ source: Int, at now: Instant, into effects: inout [Effect]) {
        sources[source].failures += 1
        guard sources[source].failures < configuration.failuresAllowed else {
            return drop(sources[source].peer, .silent, into: &effects)
        }
        for position in sources[source].requests.indices where !sources[source].requests[position].isReleased {
            sources[source].requests[position].isReleased = true
            release(sources[source].requests[position].piece)
        }
        sources[source].window = 1
        query(source, at: now, into: &effects)
    }

    private mutating func query(_ source: Int, at now: Instant, into effects: inout [Effect]) {
        sources[source].queriedAt = now
        sources[source].awaitsAnswer = true
        effects.append(.send(.query(shard, wantsManifest: manifest == nil), to: sources[source].peer))
    }

    /// When the source has failed what it was asked, or is to be asked again.
    private func deadline(of source: Source) -> Instant? {
        if source.openRequests > 0 { return source.lastDelivery + configuration.stallTimeout }
        if source.awaitsAnswer { return source.queriedAt + configuration.queryTimeout }
        guard let pieces = source.held, !pieces.isComplete else { return nil }
        return source.queriedAt + source.requeryInterval
    }

    private mutating func checkStarvation(at now: Instant, into effects: inout [Effect]) {
        guard !isStarved, let lastProgress else { return }
        let waits = sources.contains { $0.openRequests > 0 }
        guard sources.isEmpty || (!waits && lastProgress + configuration.patience <= now) else { return }
        isStarved = true
        effects.append(.starved(missing: missingPieces))
    }

    package var nextDeadline: Instant? {
        guard !isFinished else { return nil }
        var earliest: Instant?
        func consider(_ instant: Instant?) {
            guard let instant else { return }
            earliest = earliest.map { min($0, instant) } ?? instant
        }
        for (position, source) in sources.enumerated() {
            consider(deadline(of: source))
            if candidates.isEmpty, source.hasRoom {
                consider(latePieces(besides: position).first.map { $0.sentAt + configuration.endgameDelay })
            }
        }
        if !isStarved, !sources.isEmpty, !sources.contains(where: { $0.openRequests > 0 }), let lastProgress {
            consider(lastProgress + configuration.patience)
        }
        return earliest
    }
}
