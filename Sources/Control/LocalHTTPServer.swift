internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import ServiceLifecycle

/// Serves routes as HTTP on a Unix domain socket: what Hummingbird's `Application` does but for the `Date` header, for whose sake
/// that wakes its process every second as long as it lives. An idle node does little else.
struct LocalHTTPServer: Service {
    private let server: any Service

    /// A server that begins to listen when it is run, and then says so.
    init(
        _ router: Router<BasicRequestContext>, path: String, logger: Logger,
        onServerRunning: @escaping @Sendable () async -> Void
    ) throws {
        let responder = router.buildResponder()
        server = try HTTPServerBuilder.http1().buildServer(
            configuration: ServerConfiguration(address: .unixDomainSocket(path: path)),
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger,
            responder: { request, writer, channel in
                let source = ApplicationRequestContextSource(channel: channel, logger: logger)
                var response: Response
                do {
                    response = try await responder.respond(to: request, context: BasicRequestContext(source: source))
                } catch let error as HTTPParserError {
                    throw error  // the connection is answered and closed below this
                } catch {
                    logger.error("A request to the local API failed", metadata: ["reason": "\(error)"])
                    response = Response(status: .internalServerError)
                }
                try await writer.write(response: response.head, body: response.body)
            }, onServerRunning: { _ in await onServerRunning() })
    }

    /// Serves until it is cancelled or shut down gracefully.
    func run() async throws { try await server.run() }
}
