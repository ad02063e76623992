internal import NIOCore
internal import NIOPosix
internal import Noise
internal import Primitives
internal import Synchronization
internal import Wire

/// Bytes over loopback: plain TCP and sealed streams, in turn, with the same chunk size, socket options and event loops.
enum StreamBenchmark {
    private static let rounds = 5
    private static let messageBytes = 1 << 20
    /// Messages on their way at once, so that the wire need not wait for the task that sends the next.
    private static let concurrentSends = 4

    static func run(seconds: Double) async throws -> BenchmarkReport.Streams {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        do {
            let streams = try await measure(seconds: seconds, group: group)
            try await group.shutdownGracefully()
            return streams
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private static func measure(
        seconds: Double, group: MultiThreadedEventLoopGroup
    ) async throws -> BenchmarkReport.Streams {
        let configuration = StreamConfiguration()
        let (first, second) = (try Benchmarks.identity(), try Benchmarks.identity())
        let secret = try Benchmarks.secret()
        let loopback = NetworkAddress(ipv4: (127, 0, 0, 1), port: 0)
        let progress = ByteGoal()
        let sender = StreamHub(identity: first, secret: secret, group: group, configuration: configuration) { _, _, _ in
        }
        let receiver = StreamHub(identity: second, secret: secret, group: group, configuration: configuration) {
            progress.add($2.readableBytes)
        }
        let address = try await receiver.listen(on: loopback)
        sender.learn(Contact(peer: second.peer, agreementKey: second.agreementPublicKey, addresses: [address]))
        let message = ByteBuffer(repeating: 7, count: messageBytes)
        func sealedRound(_ bytes: Int) async throws {
            let target = progress.begin(bytes)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for index in 0..<concurrentSends {
                    tasks.addTask {
                        for _ in stride(from: index, to: bytes / messageBytes, by: concurrentSends) {
                            try await sender.send(message, to: second.peer, class: .gradients)
                        }
                    }
                }
                try await tasks.waitForAll()
            }
            await target.wait()
        }
        let plain = try await PlainStream.open(group: group)

        // A first round of each warms up and tells how many bytes make a round of the wanted length.
        let warmUp = max(16, Int(seconds * 256)) << 20
        try await sealedRound(warmUp)
        try await plain.send(warmUp)
        let probe = try await time(warmUp) { try await sealedRound(warmUp) }
        let bytes = max(16, Int(probe.gibibytesPerSecond * seconds * 1024)) << 20
        var plainRounds: [BenchmarkReport.Stream] = []
        var sealedRounds: [BenchmarkReport.Stream] = []
        for _ in 0..<rounds {
            plainRounds.append(try await time(bytes) { try await plain.send(bytes) })
            sealedRounds.append(try await time(bytes) { try await sealedRound(bytes) })
        }
        await plain.close()
        await sender.close()
        await receiver.close()
        let (plainMedian, sealedMedian) = (median(plainRounds), median(sealedRounds))
        return BenchmarkReport.Streams(
            bytesPerRound: bytes, chunkBytes: Limits.recordBytes, rounds: rounds, plain: plainMedian,
            sealed: sealedMedian,
            suite: configuration.suites.first == .aes256GCM ? "AES-256-GCM" : "ChaCha20-Poly1305",
            ratio: sealedMedian.gibibytesPerSecond / plainMedian.gibibytesPerSecond)
    }

    private static func time(
        _ bytes: Int, _ body: () async throws -> Void
    ) async throws -> BenchmarkReport.Stream {
        let (start, cpu) = (MonotonicClock.now, ProcessTime.seconds)
        try await body()
        let gibibytes = Double(bytes) / Double(1 << 30)
        return BenchmarkReport.Stream(
            gibibytesPerSecond: gibibytes / (MonotonicClock.now - start).seconds,
            cpuSecondsPerGibibyte: (ProcessTime.seconds - cpu) / gibibytes)
    }

    private static func median(_ rounds: [BenchmarkReport.Stream]) -> BenchmarkReport.Stream {
        BenchmarkReport.Stream(
            gibibytesPerSecond: rounds.map(\.gibibytesPerSecond).sorted()[rounds.count / 2],
            cpuSecondsPerGibibyte: rounds.map(\.cpuSecondsPerGibibyte).sorted()[rounds.count / 2])
    }
}

/// Counts received bytes and wakes whoever waits for all of them.
final class ByteGoal: Sendable {
    private struct State {
        var missing = 0
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// Sets the goal.
    func begin(_ bytes: Int) -> ByteGoal {
        state.withLock { $0.missing += bytes }
        return self
    }

    func add(_ bytes: Int) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.missing -= bytes
            return state.missing <= 0 ? state.waiter.take() : nil
        }
        waiter?.resume()
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.missing > 0 { state.waiter = continuation }
                return state.missing <= 0
            }
            if isThere { continuation.resume() }
        }
    }
}

/// A plain TCP connection over loopback with the options of a stream: what the kernel and NIO alone can do.
private final class PlainStream: Sendable {
    private let server: any Channel
    private let client: any Channel
    private let source: NIOLoopBound<SourceHandler>
    private let goal: ByteGoal

    private init(server: any Channel, client: any Channel, source: NIOLoopBound<SourceHandler>, goal: ByteGoal) {
        self.server = server
        self.client = client
        self.source = source
        self.goal = goal
    }

    static func open(group: any EventLoopGroup) async throws -> PlainStream {
        let goal = ByteGoal()
        let near = NetworkAddress(ipv4: (127, 0, 0, 1), port: 0)
        let server = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try SocketTuning.apply(to: channel, remote: near, isShaped: false)
                    try channel.pipeline.syncOperations.addHandler(SinkHandler(goal: goal))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        guard let address = server.localAddress else { throw BenchmarkError.failed("no port") }
        let client = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try SocketTuning.apply(to: channel, remote: near, isShaped: false)
                    try channel.pipeline.syncOperations.addHandler(SourceHandler())
                }
            }
            .connect(to: address).get()
        let source = try await client.eventLoop.submit {
            NIOLoopBound(
                try client.pipeline.syncOperations.handler(type: SourceHandler.self), eventLoop: client.eventLoop)
        }.get()
        return PlainStream(server: server, client: client, source: source, goal: goal)
    }

    func send(_ bytes: Int) async throws {
        let goal = goal.begin(bytes)
        client.eventLoop.execute { self.source.value.send(bytes) }
        await goal.wait()
    }

    func close() async {
        try? await client.close().get()
        try? await server.close().get()
    }

    private final class SourceHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let chunk = ByteBuffer(repeating: 7, count: Limits.recordBytes)
        private var left = 0
        private var context: ChannelHandlerContext?

        func handlerAdded(context: ChannelHandlerContext) { self.context = context }

        func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

        func send(_ bytes: Int) {
            left += bytes
            pump()
        }

        func channelWritabilityChanged(context: ChannelHandlerContext) { pump() }

        private func pump() {
            guard let context else { return }
            var unflushed = 0
            while left > 0, context.channel.isWritable {
                context.write(wrapOutboundOut(chunk), promise: nil)
                left -= chunk.readableBytes
                unflushed += 1
                if unflushed == 4 {
                    context.flush()
                    unflushed = 0
                }
            }
            if unflushed > 0 { context.flush() }
        }
    }

    private final class SinkHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let goal: ByteGoal

        init(goal: ByteGoal) { self.goal = goal }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { goal.add(unwrapInboundIn(data).readableBytes) }
    }
}
