import ArgumentParser
import Control
import Foundation
import Logging
import Metrics
import NIOCore
import Runtime
import ServiceLifecycle
import UnixSignals
import Wire

/// Runs a node in the foreground.
struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Run this machine's node in the foreground.",
        discussion: """
            With --join a new machine becomes a member of the ticket's swarm; later `weft up` is enough. SIGINT and \
            SIGTERM leave the swarm and end the node.
            """)

    @Option(help: "A ticket to join with, as `weft ticket` prints it.")
    var join: String?

    @Option(help: "HOST:PORT for datagrams and streams (default: 0.0.0.0:\(NodeConfiguration.defaultPort)).")
    var listen: String?

    @Option(help: "HOST:PORT by which others reach this peer, if not an address of its interfaces; repeatable.")
    var advertise: [String] = []

    @Option(help: "This peer's name, as others see it.")
    var name: String?

    @Option(help: "A JSON file with name, listen, advertise, discovery, coordinator, memoryBytes or flopsPerSecond.")
    var config: String?

    @Flag(inversion: .prefixedNo, help: "Look for peers on the local network by multicast (default: yes).")
    var discovery: Bool?

    @Flag(inversion: .prefixedNo, help: "Tell others that it would coordinate jobs (default: yes; not used yet).")
    var coordinator: Bool?

    @Option(help: "Speed to report to the planner, in FLOP/s, instead of the measured one.")
    var flops: Double?

    @Option(help: "Memory to offer, in bytes, instead of what is free.")
    var memory: UInt64?

    @Option(help: "Shape this process's traffic after a weft.topology/1 file (for demonstrations and tests).")
    var topology: String?

    @Option(help: "How much to log.")
    var logLevel: LogLevel = .notice

    @Flag(help: .hidden)
    var exitWithParent = false

    @OptionGroup var state: StateOptions

    func run() async throws {
        Platform.ignoreBrokenPipes()
        ProcessMemory.shareArenas()
        // The local API needs no loop a processor: the node's datagrams and streams have loops of their own.
        NIOSingletons.groupLoopCountSuggestion = 1
        let directory = state.directory
        try directory.create()
        // One node a directory: two would speak with one identity.
        let lock = try directory.lock()
        defer { withExtendedLifetime(lock) {} }
        let configuration = try makeConfiguration(directory)
        let level = logLevel.level
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = level
            return handler
        }
        let metrics = PrometheusRegistry()
        MetricsSystem.bootstrap(metrics)
        let logger = Logger(label: "weft")
        let socket = try ControlSocket(state: directory)
        let node = try await NodeFactory.makeNode(configuration, logger: logger)
        let server = ControlServer(socket: socket, node: node, metrics: metrics, logger: logger)
        if exitWithParent { Self.endWithParent() }
        // The node is last, so it is the first to be shut down: its streams end, and then the server can.
        var group = ServiceGroupConfiguration(
            services: [
                .init(service: server), .init(service: Announcement(socket: socket)),
                .init(service: node, successTerminationBehavior: .gracefullyShutdownGroup),
            ], gracefulShutdownSignals: [.sigint, .sigterm], logger: logger)
        group.maximumGracefulShutdownDuration = .seconds(10)
        try await ServiceGroup(configuration: group).run()
    }

    /// Options win over the file, the file over what `weft init` saved. Synchronous, because of the move-only ticket.
    private func makeConfiguration(_ directory: StateDirectory) throws -> NodeConfiguration {
        if let join { try directory.adopt(try Ticket(join)) }
        let ticket = try directory.ticket()
        var settings = try directory.settings()
        if let config { settings = settings.overridden(by: try NodeSettings(file: config)) }
        settings = settings.overridden(
            by: NodeSettings(
                name: name, listen: listen, advertise: advertise.isEmpty ? nil : advertise, discovery: discovery,
                coordinator: coordinator, memoryBytes: memory, flopsPerSecond: flops))
        let configuration = try NodeConfiguration(
            state: directory, settings: settings, bootstrap: ticket.contacts, topologyFile: topology,
            version: Weft.version)
        if join != nil {
            // The first start decides what later ones use.
            try directory.save(settings.overridden(by: NodeSettings(name: configuration.name)))
        }
        return configuration
    }

    /// Ends this process when standard input does: a demonstration's peers must not outlive it, however it ends.
    private static func endWithParent() {
        let thread = Thread {
            Platform.waitForEndOfInput()
            Platform.terminateSelf(patienceSeconds: 5)
        }
        thread.name = "weft-parent"
        thread.start()
    }
}

/// Says once that the node is up, when its local API answers.
private struct Announcement: Service {
    let socket: ControlSocket

    func run() async throws {
        let client = ControlClient(socket: socket)
        await cancelWhenGracefulShutdown {
            var hasWarned = false
            while !Task.isCancelled {
                if let status = try? await client.status() {
                    let isWaiting = status.admission == .asking || status.admission == .refused
                    if status.admission == .refused, !hasWarned {
                        hasWarned = true
                        printError(
                            "not admitted: the swarm \"\(status.swarm)\" is closed; ask the founder to run: weft admit "
                                + "\(status.peer) (waiting for it)")
                    }
                    guard !isWaiting else {
                        try? await Task.sleep(for: .milliseconds(200))
                        continue
                    }
                    printError(
                        "\(status.name) (\(status.peer.prefix(10))) is up in the swarm \"\(status.swarm)\" on "
                            + "\(status.listenAddress); `weft status` tells more.")
                    break
                }
                try? await Task.sleep(for: .milliseconds(50))
            }
        }
        // A service that returns would end the others.
        try? await gracefulShutdown()
    }
}

/// The log levels as an argument.
enum LogLevel: String, CaseIterable, ExpressibleByArgument {
    case trace, debug, info, notice, warning, error, critical

    var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .notice }
}
