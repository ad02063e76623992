internal import ServiceLifecycle

extension Node: Service {
    /// Joins the swarm and serves until a graceful shutdown, or until the control socket asks for the end; then says
    /// goodbye to the swarm.
    package func run() async throws {
        try await start()
        await withTaskCancellationOrGracefulShutdownHandler {
            for await _ in shutdownRequests.stream { break }
        } onCancelOrGracefulShutdown: {
            self.requestShutdown()
        }
        await stop(leaving: true)
    }
}
