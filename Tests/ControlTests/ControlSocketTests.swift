import Control
import Foundation
import Logging
import Metrics
import NIOCore
import NIOPosix
import Primitives
import Runtime
import ServiceLifecycle
import Synchronization
import Testing

/// Server and client over a real socket, with a node that answers fixed values.
@Suite struct ControlSocketTests {
    private let node = FakeNode()
    private let directory: String

    init() throws {
        directory = "/tmp/weft-control-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    /// Runs a server while `body` talks to it.
    private func serving(_ body: (ControlClient, String) async throws -> Void) async throws {
        let socket = try ControlSocket(path: directory + "/control.sock")
        let registry = PrometheusRegistry()
        Counter(label: "weft.test", factory: registry).increment(by: 3)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let server = ControlServer(socket: socket, node: node, metrics: registry, logger: logger)
        let group = ServiceGroup(configuration: .init(services: [server], logger: logger))
        let running = Task { try await group.run() }
        let client = ControlClient(socket: socket)
        for _ in 0..<500 {
            if (try? await client.status()) != nil { break }
            try await Task.sleep(for: .milliseconds(10))
        }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body(client, socket.path)) } catch { outcome = .failure(error) }
        await group.triggerGracefulShutdown()
        try await running.value
        #expect(!FileManager.default.fileExists(atPath: socket.path), "the socket outlives its server")
        try outcome.get()
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func valuesArriveAsTheyWereSent() async throws {
        try await serving { client, _ in
            let status = try await client.status()
            #expect(try await node.status() == status)
            let peers = try await client.peers()
            #expect(try await node.peers() == peers)
            let graph = try await client.graph()
            #expect(try await node.graph() == graph)
            let shards = try await client.shards()
            #expect(try await node.shards() == shards)
            #expect(try await client.resolve("loom") == FakeNode.peer)
            let request = PlanRequest(document: "{}", objective: "dtfm", seed: 7)
            let plan = try await client.plan(request)
            #expect(try await node.plan(request) == plan)
            try await client.leave()
            try await client.shutdown()
            #expect(node.calls.withLock { $0.suffix(2) } == ["leave", "shutdown"])
        }
    }

    /// A node that cannot start cancels its server while somebody asks whether it is up.
    @Test(.timeLimit(.minutes(1))) func aCancelledServerFinishesWhoeverCameIn() async throws {
        let socket = try ControlSocket(path: directory + "/control.sock")
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        for _ in 0..<30 {
            let server = ControlServer(socket: socket, node: node, logger: logger)
            let running = Task { try await server.run() }
            await withTaskGroup { group in
                for _ in 0..<8 {
                    group.addTask {
                        let client = ControlClient(socket: socket)
                        while !Task.isCancelled { _ = try? await client.status() }
                    }
                }
                while (try? await ControlClient(socket: socket).status()) == nil {
                    try? await Task.sleep(for: .milliseconds(1))
                }
                running.cancel()
                _ = await running.result
                group.cancelAll()
            }
        }
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func onlyTheOwnerMayConnect() async throws {
        try await serving { client, path in
            _ = try await client.status()
            // The permissions are set right after the socket is bound; its directory guards it in between.
            var permissions = 0
            for _ in 0..<100 {
                let attributes = try FileManager.default.attributesOfItem(atPath: path)
                permissions = (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0
                if permissions == 0o600 { break }
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(permissions == 0o600)
        }
    }

    @Test func failuresKeepKindAndMessage() async throws {
        try await serving { client, _ in
            await #expect(throws: NodeControlError(.notFound, "no peer \(FakeNode.peer.short)")) {
                try await client.probe(ProbeRequest(peer: FakeNode.peer))
            }
            await #expect(throws: NodeControlError(.conflict, "a job runs already")) {
                for try await _ in try await client.train(TrainRequest(document: "busy", workingDirectory: "/")) {}
            }
        }
    }

    @Test func streamsArriveWholeAndEndWithTheirError() async throws {
        try await serving { client, _ in
            var events: [ShardEvent] = []
            for try await event in try await client.addShard(ShardAddRequest(path: "/x")) { events.append(event) }
            #expect(events.count == 101)
            #expect(
                events.last == .finished(ShardView(shard: "s", name: "/x", bytes: 100, pieces: 1, heldPieces: 1)))

            var seen: [TrainEvent] = []
            await #expect(throws: NodeControlError(.failed, "too few peers are left")) {
                for try await event in try await client.train(TrainRequest(document: "", workingDirectory: "/")) {
                    seen.append(event)
                }
            }
            #expect(seen.count == 2)
            if case .step(let step) = seen.first {
                #expect(step.loss == 5.5 && step.lossBits == "40b00000" && step.predictedIterationSeconds == nil)
            } else {
                Issue.record("the first event is not a step but \(String(describing: seen.first))")
            }
        }
    }

    @Test func hangingUpEndsTheWork() async throws {
        try await serving { client, _ in
            var count = 0
            let request = PingRequest(peer: FakeNode.peer, count: nil, intervalSeconds: 0.01)
            for try await _ in try await client.ping(request) {
                count += 1
                if count == 3 { break }
            }
            for _ in 0..<300 where node.cancellations.withLock({ $0 }) == 0 {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(node.cancellations.withLock { $0 } == 1)
        }
    }

    @Test func aSecondServerIsRefusedAndAStaleSocketIsNot() async throws {
        try await serving { _, path in
            let second = ControlServer(
                socket: try ControlSocket(path: path), node: node, logger: Logger(label: "second"))
            await #expect(throws: ControlSocketError.inUse(path)) { try await second.run() }
        }
        // A socket that a killed process left: bound once, closed, still in the file system (NIO removes it on closing).
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let stale = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .bind(unixDomainSocketPath: directory + "/control.sock").get()
        try FileManager.default.moveItem(atPath: directory + "/control.sock", toPath: directory + "/kept")
        try await stale.close()
        try FileManager.default.moveItem(atPath: directory + "/kept", toPath: directory + "/control.sock")
        #expect(FileManager.default.fileExists(atPath: directory + "/control.sock"))
        try await serving { client, _ in _ = try await client.status() }
    }

    @Test func aRequestIsWrittenAtOnceSoThatANodeMayAnswerTheFirstReadAndHangUp() async throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let path = directory + "/control.sock"
        let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(HastyServer()) }
            }
            .bind(unixDomainSocketPath: path).get()
        let client = ControlClient(socket: try ControlSocket(path: path))
        for _ in 0..<100 { try await client.leave() }
        try await server.close()
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func nobodyThereIsOneClearLine() async throws {
        let path = directory + "/control.sock"
        let client = ControlClient(socket: try ControlSocket(path: path))
        await #expect(throws: ControlSocketError.notRunning(path)) { try await client.status() }
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func aLongPathIsRefusedBeforeTheSystemDoes() throws {
        let path = "/tmp/" + String(repeating: "a", count: 120)
        #expect(throws: ControlSocketError.pathTooLong(path)) { try ControlSocket(path: path) }
        #expect(ControlSocketError.pathTooLong(path).description.contains("125 bytes"))
        #expect((100...110).contains(ControlSocket.maximumPathBytes))
    }

    @Test func metricsAreText() async throws {
        try await serving { client, _ in
            let text = try await client.metrics()
            #expect(text == "# TYPE weft_test_total counter\nweft_test_total 3\n")
            #expect(node.calls.withLock { $0 } == ["metrics"], "a scrape did not ask for figures of this moment")
        }
    }
}

/// Answers the first read of a connection and closes it; well only if the whole request was there.
private final class HastyServer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let isWhole = String(buffer: unwrapInboundIn(data)).hasSuffix("\r\n\r\n{}")
        let answer = "HTTP/1.1 \(isWhole ? 200 : 400) -\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
        context.close(promise: nil)
    }
}
