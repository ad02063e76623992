internal import HTTPTypes
internal import Hummingbird
package import Logging
internal import NIOCore
package import Runtime
internal import ServiceLifecycle

/// Serves a node's local API: HTTP and JSON on a Unix domain socket in its state directory, with streams of events as
/// newline-delimited JSON and `/metrics` as Prometheus text.
///
/// Only the owner of the state directory can reach it, so there is no authentication beyond the file system's.
package struct ControlServer: Service {
    private let socket: ControlSocket
    private let node: any NodeControl
    private let metrics: PrometheusRegistry?
    private let logger: Logger

    /// Throws if the socket's path is too long for the system.
    package init(
        socket: ControlSocket, node: any NodeControl, metrics: PrometheusRegistry? = nil, logger: Logger
    ) {
        self.socket = socket
        self.node = node
        self.metrics = metrics
        self.logger = logger
    }

    /// Serves until it is cancelled or shut down gracefully; throws at once if another process answers on the socket.
    package func run() async throws {
        try await socket.claim()
        defer { socket.remove() }
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .notice)  // a line a request is of no use on one's own machine
        let server = try LocalHTTPServer(
            routes(), path: socket.path, logger: quiet,
            onServerRunning: { [socket, logger] in
                do throws(FileError) { try socket.closeToOthers() } catch {
                    logger.error("The control socket stays open to others", metadata: ["reason": "\(error)"])
                }
                logger.info("Local API ready", metadata: ["socket": "\(socket.path)"])
            })
        try await server.run()
    }

    private func routes() -> Router<BasicRequestContext> {
        let router = Router()
        router.addMiddleware { FailureMiddleware() }
        let node = node
        router.get(ControlPath.status) { try await node.status() }
        router.get(ControlPath.peers) { try await node.peers() }
        router.get(ControlPath.admissions) { try await node.admissions() }
        router.post(ControlPath.admit) { (request: AdmissionRequest) in try await node.admit(request) }
        router.post(ControlPath.revoke) { (request: AdmissionRequest) in try await node.revoke(request) }
        router.get(ControlPath.graph) { try await node.graph() }
        router.get(ControlPath.shards) { try await node.shards() }
        router.post(ControlPath.probe) { (request: ProbeRequest) in try await node.probe(request) }
        router.post(ControlPath.plan) { (request: PlanRequest) in try await node.plan(request) }
        router.post(ControlPath.leave) { (_: Empty) in
            try await node.leave()
            return Empty()
        }
        router.post(ControlPath.shutdown) { (_: Empty) in
            try await node.shutdown()
            return Empty()
        }
        router.stream(ControlPath.ping) { (request: PingRequest) in try await node.ping(request) }
        router.stream(ControlPath.train) { (request: TrainRequest) in try await node.train(request) }
        router.stream(ControlPath.addShard) { (request: ShardAddRequest) in try await node.addShard(request) }
        router.stream(ControlPath.fetchShard) { (request: ShardFetchRequest) in try await node.fetchShard(request) }
        if let metrics {
            router.get(RouterPath(ControlPath.metrics.rawValue)) { _, _ in
                await node.refreshMetrics()
                return Response(
                    status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                    body: .init(byteBuffer: ByteBuffer(string: metrics.text())))
            }
        }
        return router
    }
}

/// Answers failures as JSON with the status of their kind.
private struct FailureMiddleware<Context: RequestContext>: RouterMiddleware {
    func handle(
        _ request: Request, context: Context, next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        do { return try await next(request, context) } catch let error as HTTPError {
            let kind = NodeControlError.kind(httpStatus: error.status.code)
            let message = error.body ?? "\(request.method) \(request.uri.path): \(error.status.reasonPhrase)"
            return try .json(ControlFailure(NodeControlError(kind, message)), status: error.status)
        } catch is DecodingError {
            let message = "the request's body is not what \(request.uri.path) takes"
            return try .json(ControlFailure(NodeControlError(.invalidRequest, message)), status: .badRequest)
        } catch {
            let status = (error as? NodeControlError)?.httpStatus ?? 500
            return try .json(ControlFailure(error), status: .init(code: status))
        }
    }
}

/// Bytes of a request's body that are read; a job document is a few hundred.
private let maximumRequestBytes = 1 << 20

extension Router {
    fileprivate func get(
        _ path: ControlPath, _ answer: @escaping @Sendable () async throws -> some Encodable & SendableMetatype
    ) {
        get(RouterPath(path.rawValue)) { _, _ in try Response.json(try await answer()) }
    }

    fileprivate func post<Body: Decodable & SendableMetatype>(
        _ path: ControlPath, _ answer: @escaping @Sendable (Body) async throws -> some Encodable & SendableMetatype
    ) {
        post(RouterPath(path.rawValue)) { request, _ in
            let body = try await request.body.collect(upTo: maximumRequestBytes)
            return try Response.json(try await answer(try ControlJSON.decode(Body.self, from: body)))
        }
    }

    /// An answer of one JSON value a line, until the stream ends. When the caller hangs up, the stream is cancelled and
    /// with it the work behind it.
    fileprivate func stream<Body: Decodable & SendableMetatype, Event: Encodable & Sendable>(
        _ path: ControlPath, _ answer: @escaping @Sendable (Body) async throws -> AsyncThrowingStream<Event, any Error>
    ) {
        post(RouterPath(path.rawValue)) { request, _ in
            var request = request
            let body = try await request.collectBody(upTo: maximumRequestBytes)
            let events = try await answer(try ControlJSON.decode(Body.self, from: body))
            let requestBody = request.body
            return Response(
                status: .ok, headers: [.contentType: "application/x-ndjson"],
                body: ResponseBody { writer in
                    try await requestBody.consumeWithCancellationOnInboundClose { _ in
                        do {
                            for try await event in events { try await writer.write(try Self.line(event)) }
                        } catch is CancellationError {
                            throw CancellationError()
                        } catch {
                            try await writer.write(try Self.line(ControlFailure(error)))
                        }
                    }
                    try await writer.finish(nil)
                })
        }
    }

    private static func line(_ value: some Encodable) throws -> ByteBuffer {
        var line = try ControlJSON.encode(value)
        line.writeString("\n")
        return line
    }
}

extension Response {
    fileprivate static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: .init(byteBuffer: try ControlJSON.encode(value)))
    }
}
