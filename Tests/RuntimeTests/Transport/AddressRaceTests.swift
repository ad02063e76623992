import NIOCore
import NIOEmbedded
import NIOPosix
import Noise
import Primitives
import Synchronization
import Testing
import Wire

@testable import Runtime

@Suite("Which of several addresses a stream goes to", .serialized)
struct AddressRaceTests {
    private struct Refused: Error {}

    private static func address(_ number: UInt8) -> NetworkAddress {
        NetworkAddress(ipv4: (10, 0, 0, number), port: 7600)
    }

    /// Runs a race in which each address answers after so long, or fails; returns which won, which were tried, and the
    /// channels that came too late.
    private func race(
        _ answers: [(after: Duration, succeeds: Bool)], stagger: Duration
    ) async throws -> (winner: NetworkAddress, tried: [NetworkAddress], late: [NIOAsyncTestingChannel]) {
        let addresses = answers.indices.map { Self.address(UInt8($0)) }
        let tried = Mutex<[NetworkAddress]>([])
        let channels = Mutex<[NIOAsyncTestingChannel]>([])
        let race = AddressRace(stagger: stagger) { address in
            tried.withLock { $0.append(address) }
            let number = addresses.firstIndex(of: address) ?? 0
            let end = ContinuousClock.now + answers[number].after
            // One that answers does so although it was cancelled, as a connection may.
            while ContinuousClock.now < end, !Task.isCancelled || answers[number].succeeds {
                try? await Task.sleep(for: .milliseconds(1))
            }
            guard answers[number].succeeds else { throw Refused() }
            let channel = NIOAsyncTestingChannel()
            channels.withLock { $0.append(channel) }
            return channel
        }
        let (channel, winner) = try await race.run(addresses)
        return (winner, tried.withLock { $0 }, channels.withLock { $0 }.filter { $0 !== channel })
    }

    @Test("A refusal lets the next address begin at once")
    func refused() async throws {
        let outcome = try await race([(.zero, false), (.zero, true)], stagger: .seconds(60))
        #expect(outcome.winner == Self.address(1))
    }

    @Test("An address that says nothing costs the pause, and its attempt is given up")
    func silent() async throws {
        let outcome = try await race([(.seconds(60), false), (.zero, true)], stagger: .milliseconds(50))
        #expect(outcome.winner == Self.address(1) && outcome.tried.count == 2)
    }

    @Test("An address that answers within the pause is the only one that is tried")
    func first() async throws {
        let outcome = try await race([(.zero, true), (.zero, true)], stagger: .seconds(60))
        #expect(outcome.winner == Self.address(0) && outcome.tried == [Self.address(0)])
    }

    @Test("Whoever comes second is closed")
    func second() async throws {
        let outcome = try await race([(.milliseconds(60), true), (.milliseconds(30), true)], stagger: .milliseconds(1))
        #expect(outcome.late.count == 1)
        for channel in outcome.late {
            await channel.testingEventLoop.run()
            try await channel.closeFuture.get()
        }
    }

    @Test("When all have failed the race says what the last one said")
    func none() async throws {
        await #expect(throws: AddressRace.Failure.self) {
            _ = try await self.race([(.zero, false), (.zero, false)], stagger: .milliseconds(1))
        }
    }

    @Test(
        "A stream gets through although the first address is silent, the second closed and the third another machine's")
    func hub() async throws {
        // Accepts and says nothing, as a machine that happens to have the address.
        let stranger = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let strangerPort = UInt16(try #require(stranger.localAddress?.port))
        let received = Mutex<[Int]>([])
        var configuration = StreamConfiguration()
        configuration.attemptTimeout = .milliseconds(700)
        let target = StreamHub(
            identity: try transportIdentity(1), secret: try transportSecret(),
            group: MultiThreadedEventLoopGroup.singleton
        ) { _, _, body in received.withLock { $0.append(body.readableBytes) } }
        let bound = try await target.listen(on: loopback)
        let dialler = StreamHub(
            identity: try transportIdentity(2), secret: try transportSecret(),
            group: MultiThreadedEventLoopGroup.singleton, configuration: configuration
        ) { _, _, _ in }
        let identity = try transportIdentity(1)
        dialler.learn(
            Contact(
                peer: identity.peer, agreementKey: identity.agreementPublicKey,
                addresses: [
                    NetworkAddress(ipv4: (192, 0, 2, 1), port: 9), NetworkAddress(ipv4: (127, 0, 0, 1), port: 9),
                    NetworkAddress(ipv4: (127, 0, 0, 1), port: strangerPort), bound,
                ]))
        try await dialler.send([1, 2, 3], to: identity.peer, class: .control)
        let end = ContinuousClock.now + .seconds(8)
        while received.withLock({ $0.isEmpty }), ContinuousClock.now < end {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(received.withLock { $0 } == [3])
        await dialler.close()
        await target.close()
        try await stranger.close()
    }
}
