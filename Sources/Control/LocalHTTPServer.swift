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
    /// How long requests under way may go on after a cancellation.
    private static let grace: Duration = .seconds(1)

    private let group: ServiceGroup

    /// A server that begins to listen when it is run, and then says so.
    init(
        _ router: Router<BasicRequestContext>, path: String, logger: Logger,
        onServerRunning: @escaping @Sendable () async -> Void
    ) throws {
        let responder = router.buildResponder()
        let server = try HTTPServerBuilder.http1().buildServer(
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
        group = ServiceGroup(configuration: ServiceGroupConfiguration(services: [server], logger: logger))
    }

    /// Serves until it is cancelled or shut down gracefully.
    ///
    /// A cancellation first stops listening and is passed on after that: a server that is cancelled between accepting a
    /// connection and taking it up drops the connection's channel unfinished, which is fatal to the process.
    func run() async throws {
        let group = group
        let serving = Task { try await group.run() }
        try await withTaskCancellationHandler {
            try await serving.value
        } onCancel: {
            Task {
                await group.triggerGracefulShutdown()
                try? await Task.sleep(for: Self.grace)
                serving.cancel()
            }
        }
    }
}
