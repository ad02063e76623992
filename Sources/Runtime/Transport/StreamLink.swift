internal import NIOCore
internal import Primitives
internal import Synchronization

/// A message on its way out.
final class OutgoingMessage: Sendable {
    let id: UInt64
    let body: ByteBuffer
    private let continuation: Mutex<CheckedContinuation<Void, any Error>?>

    init(id: UInt64, body: ByteBuffer, continuation: CheckedContinuation<Void, any Error>) {
        self.id = id
        self.body = body
        self.continuation = Mutex(continuation)
    }

    /// Lets the sender go on; only the first call counts.
    func finish(_ result: Result<Void, any Error>) { continuation.withLock { $0.take() }?.resume(with: result) }
}

/// A live connection, as its link knows it.
final class StreamConnection: Sendable {
    let channel: any Channel
    let isDialledByPeer: Bool
    private let handler: NIOLoopBound<StreamHandler>
    private let discarded = Mutex(false)

    /// Made on the channel's event loop.
    init(channel: any Channel, handler: StreamHandler, isDialledByPeer: Bool) {
        self.channel = channel
        self.isDialledByPeer = isDialledByPeer
        self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
    }

    /// There is something to send.
    func pump() { channel.eventLoop.execute { self.handler.value.pump() } }

    /// There is room in the inbox again.
    func resumeReading() { channel.eventLoop.execute { self.handler.value.resumeReading() } }

    func close() { channel.close(promise: nil) }

    /// Closes; the message that it has begun is given up rather than sent again.
    func discard() {
        discarded.withLock { $0 = true }
        close()
    }

    var isDiscarded: Bool { discarded.withLock { $0 } }
}

/// Everything between this process and one peer in one traffic class: what waits to be sent, the connections, and what
/// waits to be handled. Outlives its connections.
final class StreamLink: Sendable {
    let peer: PeerID
    let trafficClass: TrafficClass
    private let inboxLimit: Int
    private let onMessage: @Sendable (PeerID, TrafficClass, ByteBuffer) async -> Void
    private let state: Mutex<State>

    private struct State {
        var outbox: [OutgoingMessage] = []
        var nextID: UInt64 = 0
        /// The first is the one used for sending.
        var connections: [StreamConnection] = []
        var isDialling = false
        /// Our own connection while its hello is not answered yet.
        var unanswered: (any Channel)?
        var inbox: [ByteBuffer] = []
        var inboxBytes = 0
        var isDraining = false
        var counters: StreamCounters
        /// Since when there has always been something to send; `nil` while there is not.
        var saturatedSince: Instant?
    }

    init(
        peer: PeerID, trafficClass: TrafficClass, inboxLimit: Int,
        onMessage: @escaping @Sendable (PeerID, TrafficClass, ByteBuffer) async -> Void
    ) {
        self.peer = peer
        self.trafficClass = trafficClass
        self.inboxLimit = inboxLimit
        self.onMessage = onMessage
        state = Mutex(State(counters: StreamCounters(peer: peer, trafficClass: trafficClass)))
    }

    var counters: StreamCounters { state.withLock { $0.counters } }

    /// Bytes sent so far, and since when there has always been something to send.
    var progress: (bytes: UInt64, saturatedSince: Instant?) {
        state.withLock { ($0.counters.bytesSent, $0.connections.isEmpty ? nil : $0.saturatedSince) }
    }

    // MARK: Sending

    func reserveID() -> UInt64 {
        state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
    }

    /// Queues a message; returns whether somebody must dial.
    func enqueue(_ message: OutgoingMessage) -> Bool {
        let (connection, mustDial) = state.withLock { state in
            state.outbox.append(message)
            if state.saturatedSince == nil { state.saturatedSince = MonotonicClock.now }
            guard state.connections.isEmpty else { return (state.connections.first, false) }
            defer { state.isDialling = true }
            return (nil, !state.isDialling)
        }
        connection?.pump()
        return mustDial
    }

    /// Takes a message that has not been begun out of the queue.
    func cancel(_ id: UInt64) {
        let message = state.withLock { state -> OutgoingMessage? in
            guard let index = state.outbox.firstIndex(where: { $0.id == id }) else { return nil }
            return state.outbox.remove(at: index)
        }
        message?.finish(.failure(CancellationError()))
    }

    /// The next message for this connection; `nil` if there is none or another connection does the sending.
    func nextMessage(for connection: StreamConnection) -> OutgoingMessage? {
        state.withLock { state in
            guard state.connections.first === connection else { return nil }
            guard !state.outbox.isEmpty else {
                state.saturatedSince = nil
                return nil
            }
            return state.outbox.removeFirst()
        }
    }

    func countSent(_ bytes: Int, isLast: Bool) {
        state.withLock { state in
            state.counters.bytesSent += UInt64(bytes)
            if isLast { state.counters.messagesSent += 1 }
        }
    }

    /// Fails everything that waits.
    func failOutbox(_ error: StreamError) {
        let messages = state.withLock { state -> [OutgoingMessage] in
            state.isDialling = false
            defer { state.outbox = [] }
            return state.outbox
        }
        for message in messages { message.finish(.failure(error)) }
    }

    // MARK: Connections

    /// Whether dialling is still wanted; ends it if not.
    func wantsConnection() -> Bool {
        state.withLock { state in
            if state.connections.isEmpty, !state.outbox.isEmpty { return true }
            state.isDialling = false
            return false
        }
    }

    /// Remembers our own connection that has sent its hello.
    func beganHandshake(_ channel: any Channel) { state.withLock { $0.unanswered = channel } }

    /// Whether a hello from the peer is to be refused, because our own is on its way and we are the one to dial.
    ///
    /// The other side keeps its own handshake going all the same: we may have answered it already, and what we then sent
    /// would be lost with it. Two connections do no harm.
    func refusesHello(own: PeerID) -> Bool {
        state.withLock { state in
            guard let channel = state.unanswered, state.connections.isEmpty else { return false }
            return own < peer && channel.isActive
        }
    }

    func established(_ connection: StreamConnection) {
        let replaced = state.withLock { state -> StreamConnection? in
            state.counters.connections += 1
            // Our own dialling goes on beside a connection of the peer's: a second one of ours would replace the first.
            if !connection.isDialledByPeer {
                state.isDialling = false
                state.unanswered = nil
            }
            // A second connection from the same side means that it has lost the first. One from the other side stays
            // beside ours: each direction keeps its order by keeping its connection.
            if let index = state.connections.firstIndex(where: {
                $0.isDialledByPeer == connection.isDialledByPeer
            }) {
                defer { state.connections[index] = connection }
                return state.connections[index]
            }
            state.connections.append(connection)
            return nil
        }
        replaced?.close()
        connection.pump()
    }

    /// A connection has gone; `unsent` is the message that it had begun. Returns whether somebody must dial.
    func closed(_ connection: StreamConnection, unsent: OutgoingMessage?) -> Bool {
        let (next, mustDial) = state.withLock { state -> (StreamConnection?, Bool) in
            state.connections.removeAll { $0 === connection }
            if let unsent, !connection.isDiscarded { state.outbox.insert(unsent, at: 0) }
            guard state.connections.isEmpty else { return (state.connections.first, false) }
            guard !state.outbox.isEmpty, !state.isDialling else { return (nil, false) }
            state.isDialling = true
            return (nil, true)
        }
        if connection.isDiscarded { unsent?.finish(.failure(StreamError.closed)) }
        next?.pump()
        return mustDial
    }

    func closeAll() {
        let (connections, unanswered) = state.withLock { state in
            defer { state.unanswered = nil }
            return (state.connections, state.unanswered)
        }
        failOutbox(.closed)
        for connection in connections { connection.discard() }
        unanswered?.close(promise: nil)
    }

    var isIdle: Bool { state.withLock { $0.outbox.isEmpty && $0.inbox.isEmpty } }

    // MARK: Receiving

    /// Hands a message to the handler, after those before it; returns whether more may be read.
    func deliver(_ message: ByteBuffer) -> Bool {
        let (mustDrain, hasRoom) = state.withLock { state in
            state.counters.bytesReceived += UInt64(message.readableBytes)
            state.counters.messagesReceived += 1
            state.inbox.append(message)
            state.inboxBytes += message.readableBytes
            defer { state.isDraining = true }
            return (!state.isDraining, state.inboxBytes < inboxLimit)
        }
        if mustDrain { Task { await drain() } }
        return hasRoom
    }

    var hasRoom: Bool { state.withLock { $0.inboxBytes < inboxLimit } }

    private func drain() async {
        while true {
            let batch = state.withLock { state -> [ByteBuffer] in
                defer { state.inbox = [] }
                if state.inbox.isEmpty { state.isDraining = false }
                return state.inbox
            }
            if batch.isEmpty { return }
            for message in batch {
                await onMessage(peer, trafficClass, message)
                let resumed = state.withLock { state -> [StreamConnection] in
                    let wasFull = state.inboxBytes >= inboxLimit
                    state.inboxBytes -= message.readableBytes
                    return wasFull && state.inboxBytes < inboxLimit ? state.connections : []
                }
                for connection in resumed { connection.resumeReading() }
            }
        }
    }
}
