import Logging
import Runtime
import ServiceLifecycle

/// Makes the node that `weft up` runs.
enum NodeFactory {
    static func makeNode(
        _ configuration: NodeConfiguration, logger: Logger
    ) async throws -> any NodeControl & Service {
        try await Node(configuration: configuration, log: logger)
    }
}
