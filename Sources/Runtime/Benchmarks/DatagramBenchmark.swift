internal import NIOCore
internal import NIOPosix
internal import Noise
internal import Primitives
internal import Synchronization
internal import Wire

/// Sealed datagrams between two endpoints of this process, over loopback.
enum DatagramBenchmark {
    /// Echoes on their way at a time, and bytes of one's payload.
    private static let window = 32
    private static let payloadBytes = 100

    /// What the endpoints' handlers share.
    private final class Exchange: Sendable {
        let endpoints = Mutex<[UDPEndpoint]>([])
        let answers = Atomic<Int>(0)

        func send(_ bytes: [UInt8], to peer: PeerID, by place: Int) {
            let endpoint = endpoints.withLock { $0.count > place ? $0[place] : nil }
            endpoint?.send(bytes, to: peer)
        }
    }

    /// Echoes a second: a datagram there and one back, each sealed, sent, received, opened and handed over.
    static func echoesPerSecond(seconds: Double) async throws -> Double {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let result: Result<Double, any Error>
        do { result = .success(try await run(seconds, group)) } catch { result = .failure(error) }
        try await group.shutdownGracefully()
        return try result.get()
    }

    private static func run(_ seconds: Double, _ group: MultiThreadedEventLoopGroup) async throws -> Double {
        let (first, second) = (try Benchmarks.identity(), try Benchmarks.identity())
        let secret = try Benchmarks.secret()
        let exchange = Exchange()
        let asking = try await UDPEndpoint(identity: first, secret: secret, eventLoop: group.next()) { event in
            guard case .payload(let bytes, let peer, _, _) = event else { return }
            exchange.answers.add(1, ordering: .relaxed)
            exchange.send(bytes, to: peer, by: 0)
        }
        let answering = try await UDPEndpoint(identity: second, secret: secret, eventLoop: group.next()) { event in
            if case .payload(let bytes, let peer, _, _) = event { exchange.send(bytes, to: peer, by: 1) }
        }
        exchange.endpoints.withLock { $0 = [asking, answering] }
        let loopback = NetworkAddress(ipv4: (127, 0, 0, 1), port: 0)
        _ = try await asking.bind(to: loopback)
        let address = try await answering.bind(to: loopback)
        asking.learn(Contact(peer: second.peer, agreementKey: second.agreementPublicKey, addresses: [address]))
        for _ in 0..<window { asking.send([UInt8](repeating: 7, count: payloadBytes), to: second.peer) }
        try await Task.sleep(for: .milliseconds(200))
        let start = MonotonicClock.now
        let before = exchange.answers.load(ordering: .relaxed)
        try await Task.sleep(for: .seconds(seconds))
        let echoes = exchange.answers.load(ordering: .relaxed) - before
        let elapsed = (MonotonicClock.now - start).seconds
        exchange.endpoints.withLock { $0 = [] }
        await asking.close()
        await answering.close()
        guard echoes > 0 else { throw BenchmarkError.failed("no datagram came back over loopback") }
        return Double(echoes) / elapsed
    }
}
