internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
package import Runtime

/// Speaks to a running node over its control socket; offers what the node offers.
///
/// One connection a request: the socket is local, and a stream that is abandoned then ends with its connection.
package struct ControlClient: NodeControl {
    private let socket: ControlSocket

    package init(socket: ControlSocket) { self.socket = socket }

    /// The node of a state directory.
    package init(state: StateDirectory) throws(ControlSocketError) { socket = try ControlSocket(state: state) }

    package func status() async throws -> NodeStatus { try await call(.GET, .status) }
    package func peers() async throws -> PeerListing { try await call(.GET, .peers) }
    package func admissions() async throws -> AdmissionListing { try await call(.GET, .admissions) }
    package func admit(_ request: AdmissionRequest) async throws -> AdmissionView {
        try await call(.POST, .admit, request)
    }
    package func revoke(_ request: AdmissionRequest) async throws -> AdmissionView {
        try await call(.POST, .revoke, request)
    }
    package func graph() async throws -> GraphView { try await call(.GET, .graph) }
    package func shards() async throws -> ShardListing { try await call(.GET, .shards) }
    package func probe(_ request: ProbeRequest) async throws -> ProbeReport { try await call(.POST, .probe, request) }
    package func plan(_ request: PlanRequest) async throws -> PlanView { try await call(.POST, .plan, request) }
    package func leave() async throws { let _: Empty = try await call(.POST, .leave, Empty()) }
    package func shutdown() async throws { let _: Empty = try await call(.POST, .shutdown, Empty()) }

    package func ping(_ request: PingRequest) async throws -> AsyncThrowingStream<PingReply, any Error> {
        stream(.ping, request)
    }

    package func train(_ request: TrainRequest) async throws -> AsyncThrowingStream<TrainEvent, any Error> {
        stream(.train, request)
    }

    package func addShard(_ request: ShardAddRequest) async throws -> AsyncThrowingStream<ShardEvent, any Error> {
        stream(.addShard, request)
    }

    package func fetchShard(_ request: ShardFetchRequest) async throws -> AsyncThrowingStream<ShardEvent, any Error> {
        stream(.fetchShard, request)
    }

    /// The node's metrics as Prometheus text.
    package func metrics() async throws -> String {
        var text = ""
        try await exchange(.GET, .metrics, body: nil) { text += String(buffer: $0) }
        return text
    }

    // MARK: Requests

    private func call<Answer: Decodable & Sendable>(_ method: HTTPMethod, _ path: ControlPath) async throws -> Answer {
        try await answer(method, path, body: nil)
    }

    private func call<Answer: Decodable & Sendable>(
        _ method: HTTPMethod, _ path: ControlPath, _ request: some Encodable
    ) async throws -> Answer {
        try await answer(method, path, body: try ControlJSON.encode(request))
    }

    private func answer<Answer: Decodable & Sendable>(
        _ method: HTTPMethod, _ path: ControlPath, body: ByteBuffer?
    ) async throws -> Answer {
        var whole = ByteBuffer()
        try await exchange(method, path, body: body) { part in
            var part = part
            whole.writeBuffer(&part)
        }
        return try ControlJSON.decode(Answer.self, from: whole)
    }

    private func stream<Event: Decodable & Sendable>(
        _ path: ControlPath, _ request: some Encodable & Sendable
    ) -> AsyncThrowingStream<Event, any Error> {
        AsyncThrowingStream { continuation in
            let task = Task {
                do {
                    var lines = LineBuffer()
                    try await exchange(.POST, path, body: try ControlJSON.encode(request)) { part in
                        lines.append(part)
                        while let line = lines.next() {
                            if line.readableBytesView.starts(with: ControlFailure.linePrefix) {
                                throw try ControlJSON.decode(ControlFailure.self, from: line).asError
                            }
                            continuation.yield(try ControlJSON.decode(Event.self, from: line))
                        }
                    }
                    continuation.finish()
                } catch { continuation.finish(throwing: error) }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    /// Sends one request and hands on the parts of the answer's body; throws what the node answers instead of success.
    private func exchange(
        _ method: HTTPMethod, _ path: ControlPath, body: ByteBuffer?, onPart: (ByteBuffer) throws -> Void
    ) async throws {
        let channel = try await connect()
        do {
            try await send(method, path, body: body, over: channel, onPart: onPart)
        } catch is HTTPParserError {
            // The connection ended inside the answer.
            throw ControlSocketError.disconnected(socket.path)
        }
    }

    private func send(
        _ method: HTTPMethod, _ path: ControlPath, body: ByteBuffer?, over channel: Connection,
        onPart: (ByteBuffer) throws -> Void
    ) async throws {
        var isAnswered = false
        do {
            try await channel.executeThenClose { inbound, outbound in
                var headers = HTTPHeaders([("host", "weft"), ("connection", "close")])
                if let body {
                    headers.add(name: "content-type", value: "application/json")
                    headers.add(name: "content-length", value: "\(body.readableBytes)")
                }
                var parts: [HTTPClientRequestPart] = [
                    .head(HTTPRequestHead(version: .http1_1, method: method, uri: path.rawValue, headers: headers))
                ]
                if let body { parts.append(.body(.byteBuffer(body))) }
                // At once: a node that has read all that it needs may have answered and hung up before a later part is written.
                try await outbound.write(contentsOf: parts + [.end(nil)])
                var status: HTTPResponseStatus?
                var refusal = ByteBuffer()
                for try await part in inbound {
                    switch part {
                    case .head(let head): status = head.status
                    case .body(var buffer):
                        if status == .ok { try onPart(buffer) } else { refusal.writeBuffer(&buffer) }
                    case .end:
                        isAnswered = status == .ok
                        if isAnswered { return }
                        throw Self.error(status: status, body: refusal)
                    }
                }
                try Task.checkCancellation()
                throw ControlSocketError.disconnected(socket.path)
            }
        } catch  where isAnswered && error is ChannelError {
            // The node has closed the connection first, and nothing is missing.
        }
    }

    private static func error(status: HTTPResponseStatus?, body: ByteBuffer) -> NodeControlError {
        if let failure = try? ControlJSON.decode(ControlFailure.self, from: body) { return failure.asError }
        let code = Int(status?.code ?? 500)
        return NodeControlError(NodeControlError.kind(httpStatus: code), "the node answered with HTTP status \(code)")
    }

    private typealias Connection = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

    private func connect() async throws -> Connection {
        do {
            let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connect(unixDomainSocketPath: socket.path).get()
            // Wrapped only once connected: the wrapper of a failed connection would be dropped unfinished, which traps.
            return try await channel.eventLoop.submit {
                try channel.pipeline.syncOperations.addHTTPClientHandlers()
                return try Connection(wrappingChannelSynchronously: channel)
            }.get()
        } catch let error as IOError where error.isPermission {
            throw ControlSocketError.notPermitted(socket.path)
        } catch is IOError {
            throw ControlSocketError.notRunning(socket.path)
        }
    }
}

/// Cuts a byte stream into lines.
struct LineBuffer {
    private var buffer = ByteBuffer()

    mutating func append(_ part: ByteBuffer) {
        var part = part
        buffer.writeBuffer(&part)
    }

    /// The next whole line that is not empty, without its end.
    mutating func next() -> ByteBuffer? {
        while let end = buffer.readableBytesView.firstIndex(of: 0x0A) {
            let line = buffer.readSlice(length: end - buffer.readerIndex)
            buffer.moveReaderIndex(forwardBy: 1)
            buffer.discardReadBytes()
            if let line, line.readableBytes > 0 { return line }
        }
        return nil
    }
}
