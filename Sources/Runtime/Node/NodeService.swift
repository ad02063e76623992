internal import Logging
package import ServiceLifecycle

/// A node as a service: starts it, and on a graceful shutdown says goodbye to the swarm.
package struct NodeService: Service {
    package let node: Node
    private let onStart: @Sendable () async -> Void

    /// `onStart` is called once the node listens.
    package init(_ node: Node, onStart: @escaping @Sendable () async -> Void = {}) {
        self.node = node
        self.onStart = onStart
    }

    package func run() async throws {
        try await node.start()
        await onStart()
        // A cancelled task is a shutdown in a hurry, but the others should still hear a goodbye.
        try? await gracefulShutdown()
        await node.stop(leaving: true)
    }
}
