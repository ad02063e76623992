package import Primitives
package import Shards
internal import Wire

/// Progress of fetching one shard.
package struct ShardProgress: Hashable, Sendable {
    package var shard: ShardID
    /// Verified bytes; pieces held from before count.
    package var doneBytes: UInt64
    /// 0 until the manifest is known.
    package var totalBytes: UInt64
    /// Peers in use.
    package var sources: Int
}

/// Why a shard could not be fetched.
package enum ShardServiceError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nobody has what is missing; `nil` if nobody even has the manifest.
    case unavailable(ShardID, missingPieces: Int?)
    /// The disk refused.
    case store(FileError)
    /// The fetch was cancelled.
    case cancelled

    package var description: String {
        switch self {
        case .unavailable(let shard, nil):
            "no peer that was asked has shard \(shard.short); check the id, or wait for a peer that has it"
        case .unavailable(let shard, let missing?):
            "no reachable peer has the last \(missing) pieces of shard \(shard.short); what came is kept, try again later"
        case .store(let error): error.description
        case .cancelled: "the fetch was cancelled; what came is kept"
        }
    }
}

/// Serves a node's shards to others and fetches theirs, over any transport of ordered messages.
///
/// Answers wait in a queue for each peer and are read from disk when their turn comes, so that receiving never waits for
/// sending: two peers that fetch from each other cannot block each other, and a slow peer costs no memory.
package actor ShardService {
    /// Sends a message to a peer in the traffic class `shards`; suspends while the peer reads slowly.
    package typealias Send = @Sendable ([UInt8], PeerID) async throws -> Void

    package struct Configuration: Sendable {
        package var fetch = ShardFetch.Configuration()
        /// How often timers are looked at while something is fetched.
        package var tick = Duration.milliseconds(50)
        /// Wait before a peer that had nothing is asked again: it may be fetching the same shard.
        package var retryAfter = Duration.seconds(1)
        /// How long a fetch goes on without any source that has something.
        package var patience = Duration.seconds(15)
        /// Questions of one peer that may wait for an answer; further ones are dropped.
        package var questionsPerPeer = 64

        package init() {}
    }

    private struct Fetch {
        var core: ShardFetch
        var waiters: [(id: UInt64, continuation: CheckedContinuation<ShardManifest, any Error>)] = []
        var onProgress: [@Sendable (ShardProgress) -> Void] = []
        /// Peers to be asked again, and when.
        var retries: [(peer: PeerID, at: Instant)] = []
        var lastProgress: Instant
        var isStarved = false
    }

    private struct Outbox {
        var requests: [ShardMessage] = []
        var questions: [ShardMessage] = []
        var isSending = false
    }

    private let store: ShardStore
    private let send: Send
    private let configuration: Configuration
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private var fetches: [ShardID: Fetch] = [:]
    private var outboxes: [PeerID: Outbox] = [:]
    private var ticker: Task<Void, Never>?
    private var nextWaiter: UInt64 = 0

    package init(store: ShardStore, configuration: Configuration = Configuration(), send: @escaping Send) {
        self.store = store
        self.configuration = configuration
        self.send = send
        start = clock.now
    }

    private var now: Instant { Instant(nanoseconds: (clock.now - start).nanoseconds) }

    // MARK: Fetching

    /// Fetches a shard into the store and returns its manifest; returns at once if it is there.
    ///
    /// A second call for the same shard joins the first and adds its sources. What came before a failure is kept.
    package func fetch(
        _ shard: ShardID, from sources: [PeerID], onProgress: @escaping @Sendable (ShardProgress) -> Void = { _ in }
    ) async throws -> ShardManifest {
        if let entry = store.entry(of: shard), entry.isComplete { return entry.manifest }
        let waiter = nextWaiter
        nextWaiter += 1
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                guard !Task.isCancelled else { return continuation.resume(throwing: ShardServiceError.cancelled) }
                begin(shard, sources, waiter, continuation, onProgress)
            }
        } onCancel: {
            Task { await self.cancel(waiter, of: shard) }
        }
    }

    private func begin(
        _ shard: ShardID, _ sources: [PeerID], _ waiter: UInt64,
        _ continuation: CheckedContinuation<ShardManifest, any Error>,
        _ onProgress: @escaping @Sendable (ShardProgress) -> Void
    ) {
        if fetches[shard] == nil {
            let entry = store.entry(of: shard)
            var core = configuration.fetch
            core.seed = UInt64.random(in: .min ... .max)
            fetches[shard] = Fetch(
                core: ShardFetch(shard: shard, manifest: entry?.manifest, held: entry?.held, configuration: core),
                lastProgress: now)
        }
        fetches[shard]?.waiters.append((waiter, continuation))
        fetches[shard]?.onProgress.append(onProgress)
        // Something to starve of, if there is no source at all.
        if sources.isEmpty { advance(shard, .timer) }
        for source in sources { advance(shard, .addSource(source)) }
        startTicker()
    }

    /// Further peers that may have a shard being fetched.
    package func addSources(_ sources: [PeerID], of shard: ShardID) {
        for source in sources { advance(shard, .addSource(source)) }
    }

    /// A peer is gone: nothing will come from it.
    package func peerLost(_ peer: PeerID) {
        outboxes[peer]?.requests = []
        outboxes[peer]?.questions = []
        for shard in fetches.keys.sorted() {
            fetches[shard]?.retries.removeAll { $0.peer == peer }
            advance(shard, .removeSource(peer))
        }
    }

    private func cancel(_ waiter: UInt64, of shard: ShardID) {
        guard let position = fetches[shard]?.waiters.firstIndex(where: { $0.id == waiter }) else { return }
        let removed = fetches[shard]?.waiters.remove(at: position)
        if fetches[shard]?.waiters.isEmpty == true { fetches[shard] = nil }
        removed?.continuation.resume(throwing: ShardServiceError.cancelled)
    }

    private func end(_ shard: ShardID, _ result: Result<ShardManifest, ShardServiceError>) {
        guard let fetch = fetches.removeValue(forKey: shard) else { return }
        for waiter in fetch.waiters { waiter.continuation.resume(with: result.mapError { $0 as any Error }) }
    }

    /// Feeds a fetch's core and performs what it says.
    private func advance(_ shard: ShardID, _ input: ShardFetch.Input) {
        guard fetches[shard] != nil else { return }
        var effects: [ShardFetch.Effect] = []
        fetches[shard]?.core.handle(input, at: now, into: &effects)
        do throws(FileError) {
            for effect in effects { try perform(effect, of: shard) }
        } catch {
            end(shard, .failure(.store(error)))
        }
    }

    private func perform(_ effect: ShardFetch.Effect, of shard: ShardID) throws(FileError) {
        switch effect {
        case .send(let message, let peer):
            outboxes[peer, default: Outbox()].requests.append(message)
            drain(peer)
        case .manifest(let manifest):
            try store.begin(manifest)
            report(shard)
        case .accepted(let piece, let bytes):
            try store.store(bytes, asPiece: piece, of: shard)
            fetches[shard]?.lastProgress = now
            fetches[shard]?.isStarved = false
            report(shard)
        case .dropped(let peer, .hasNothing):
            fetches[shard]?.retries.append((peer, now + configuration.retryAfter))
        case .dropped:
            break
        case .completed:
            guard let manifest = store.manifest(of: shard) else { return }
            report(shard)
            end(shard, .success(manifest))
        case .starved:
            fetches[shard]?.isStarved = true
            endIfHopeless(shard)
        }
    }

    /// A starved fetch waits for peers that had nothing yet, but not for ever.
    private func endIfHopeless(_ shard: ShardID) {
        guard let fetch = fetches[shard], fetch.isStarved else { return }
        if !fetch.retries.isEmpty, now < fetch.lastProgress + configuration.patience { return }
        guard fetch.retries.isEmpty || fetch.core.activeSources.isEmpty else { return }
        end(shard, .failure(.unavailable(shard, missingPieces: fetch.core.missingPieces?.count)))
    }

    private func report(_ shard: ShardID) {
        guard let fetch = fetches[shard] else { return }
        let manifest = fetch.core.manifest
        let progress = ShardProgress(
            shard: shard, doneBytes: manifest.map { Self.heldBytes($0, fetch.core.held) } ?? 0,
            totalBytes: manifest?.byteCount ?? 0, sources: fetch.core.activeSources.count)
        for callback in fetch.onProgress { callback(progress) }
    }

    private static func heldBytes(_ manifest: ShardManifest, _ held: PieceBitmap) -> UInt64 {
        guard let last = manifest.pieceRoots.indices.last else { return 0 }
        let lastRange = manifest.byteRange(ofPiece: last)
        let short = UInt64(Limits.pieceBytes) - (lastRange.upperBound - lastRange.lowerBound)
        return UInt64(held.heldCount) * UInt64(Limits.pieceBytes) - (held.contains(last) ? short : 0)
    }

    private func startTicker() {
        guard ticker == nil, !fetches.isEmpty else { return }
        ticker = Task { [weak self, configuration] in
            while !Task.isCancelled {
                try? await Task.sleep(for: configuration.tick)
                guard let self, await self.tick() else { return }
            }
        }
    }

    /// Runs what is due; false once nothing is being fetched.
    private func tick() -> Bool {
        let now = now
        for shard in fetches.keys.sorted() {
            let due = fetches[shard]?.retries.filter { $0.at <= now } ?? []
            fetches[shard]?.retries.removeAll { $0.at <= now }
            if !due.isEmpty { fetches[shard]?.isStarved = false }
            for retry in due { advance(shard, .addSource(retry.peer)) }
            if let deadline = fetches[shard]?.core.nextDeadline, deadline <= now { advance(shard, .timer) }
            endIfHopeless(shard)
        }
        if fetches.isEmpty { ticker = nil }
        return !fetches.isEmpty
    }

    // MARK: Messages

    /// Takes a message of the traffic class `shards`; messages of one peer in order. Never waits for the network. Bytes
    /// that are no message are dropped.
    package func receive(_ bytes: [UInt8], from peer: PeerID) {
        guard let message = try? ShardMessage(wireBytes: bytes) else { return }
        switch message {
        case .query, .request:
            guard outboxes[peer, default: Outbox()].questions.count < configuration.questionsPerPeer else { return }
            outboxes[peer, default: Outbox()].questions.append(message)
            drain(peer)
        case .manifest, .have, .piece, .notFound:
            advance(message.shard, .message(message, from: peer))
        }
    }

    /// Sends what waits for a peer, one message after another: own requests before answers.
    private func drain(_ peer: PeerID) {
        guard outboxes[peer]?.isSending == false else { return }
        outboxes[peer]?.isSending = true
        Task { await self.sendAll(to: peer) }
    }

    private func sendAll(to peer: PeerID) async {
        while let messages = nextMessages(for: peer) {
            do {
                for message in messages { try await send(message.wireBytes, peer) }
            } catch {
                outboxes[peer] = nil
                for shard in fetches.keys.sorted() { advance(shard, .removeSource(peer)) }
                return
            }
        }
        outboxes[peer] = nil
    }

    private func nextMessages(for peer: PeerID) -> [ShardMessage]? {
        if let requests = outboxes[peer]?.requests, !requests.isEmpty {
            outboxes[peer]?.requests = []
            return requests
        }
        guard let question = outboxes[peer]?.questions.first else { return nil }
        outboxes[peer]?.questions.removeFirst()
        return ShardServer.answers(to: question, from: store)
    }
}
