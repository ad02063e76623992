import Foundation
import NIOCore
import NIOPosix
import Noise
import Primitives
import Runtime
import Synchronization
import Testing
import Wire

@Suite(.serialized) struct StreamHubTests {
    typealias Message = (peer: PeerID, trafficClass: TrafficClass, body: ByteBuffer)

    private struct Side {
        let hub: StreamHub
        let address: NetworkAddress
        let identity: LocalIdentity

        var contact: Contact {
            Contact(peer: identity.peer, agreementKey: identity.agreementPublicKey, addresses: [address])
        }
    }

    private func side(
        _ number: UInt8, secret: UInt8 = 0x55, founder: UInt8? = nil,
        configuration: StreamConfiguration = StreamConfiguration(),
        onMessage: @escaping @Sendable (PeerID, TrafficClass, ByteBuffer) async -> Void = { _, _, _ in }
    ) async throws -> Side {
        let identity = try transportIdentity(number)
        let hub = StreamHub(
            identity: identity,
            secret: try transportSecret(secret, founder: founder.map { try transportIdentity($0).peer }),
            group: MultiThreadedEventLoopGroup.singleton, configuration: configuration, onMessage: onMessage)
        return Side(hub: hub, address: try await hub.listen(on: loopback), identity: identity)
    }

    /// Sends what is likely never to be taken, and gives up soon.
    private func tryToSend(_ bytes: [UInt8], from one: Side, to two: Side) async {
        try? await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await one.hub.send(bytes, to: two.identity.peer, class: .control) }
            group.addTask { try await Task.sleep(for: .milliseconds(50)) }
            _ = try await group.next()
            group.cancelAll()
        }
    }

    /// Bytes that depend on their place, so that a swap or a loss changes the digest.
    private func pattern(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            var word = generator.next()
            withUnsafeBytes(of: &word) { bytes.append(contentsOf: $0) }
        }
        return Array(bytes.prefix(count))
    }

    @Test(arguments: BulkCipher.Suite.allCases) func sixtyFourMebibytesComeBackUnchanged(suite: BulkCipher.Suite)
        async throws
    {
        var configuration = StreamConfiguration()
        configuration.suites = [suite]
        let echoes = Collector<Digest>()
        let one = try await side(1, configuration: configuration) { _, _, body in
            echoes.append(Digest.sha256(body.readableBytesView))
        }
        let holder = HubHolder()
        let two = try await side(2, configuration: configuration) { peer, trafficClass, body in
            try? await holder.hub?.send(body, to: peer, class: trafficClass)
        }
        holder.set(two.hub)
        one.hub.learn(two.contact)
        let block = pattern(4 << 20, seed: 4)
        var sent: [Digest] = []
        for number in 0..<16 {
            let message = [UInt8](repeating: UInt8(number), count: 1 + number * 1000) + block
            sent.append(Digest.sha256(message))
            try await one.hub.send(message, to: two.identity.peer, class: .activations)
        }
        #expect(try await echoes.wait(for: 16, seconds: 30) == sent)
        let counters = try #require(one.hub.counters.first)
        #expect(counters.messagesSent == 16)
        #expect(counters.messagesReceived == 16)
        #expect(counters.connections == 1, "the echo uses the same connection")
        await one.hub.close()
        await two.hub.close()
    }

    @Test func smallAndEmptyMessagesKeepTheirOrder() async throws {
        let received = Collector<[UInt8]>()
        let two = try await side(2) { _, _, body in received.append(Array(body.readableBytesView)) }
        let one = try await side(1)
        one.hub.learn(two.contact)
        let messages = (0..<2000).map { [UInt8](repeating: UInt8($0 % 251), count: $0 % 7 * 13) }
        for message in messages { try await one.hub.send(message, to: two.identity.peer, class: .control) }
        #expect(try await received.wait(for: 2000) == messages)
        await one.hub.close()
        await two.hub.close()
    }

    @Test func aSlowReaderHoldsUpItsSenderAndItsClassOnly() async throws {
        let gate = Gate()
        let control = Collector<Int>()
        let bulk = Collector<Int>()
        let two = try await side(2) { _, trafficClass, body in
            if trafficClass == .gradients {
                await gate.wait()
                bulk.append(body.readableBytes)
            } else {
                control.append(body.readableBytes)
            }
        }
        let one = try await side(1)
        one.hub.learn(two.contact)
        let block = [UInt8](repeating: 5, count: 1 << 20)
        let sent = Collector<Int>()
        let sender = Task {
            for number in 0..<64 {
                try await one.hub.send(block, to: two.identity.peer, class: .gradients)
                sent.append(number)
            }
        }
        for number in 1...20 {
            try await one.hub.send([UInt8](repeating: 1, count: number), to: two.identity.peer, class: .control)
        }
        #expect(try await control.wait(for: 20).count == 20, "control passes a blocked class")
        try await Task.sleep(for: .milliseconds(300))
        let held = sent.values.count
        #expect(held < 40, "\(held) MiB were taken although nobody reads")
        #expect(bulk.values.isEmpty)
        #expect(one.hub.progress.first?.saturatedSince != nil, "there was always something to send")
        await gate.open()
        try await sender.value
        #expect(try await bulk.wait(for: 64).count == 64)
        #expect(one.hub.progress.map(\.saturatedSince) == [nil], "everything is sent")
        await one.hub.close()
        await two.hub.close()
    }

    /// A node listens before it has read its list.
    @Test func aClosedSwarmsHubAnswersItsFounderOnlyUntilItKnowsMore() async throws {
        let received = Collector<UInt8>()
        let two = try await side(2, founder: 3) { _, _, body in
            received.append(body.getInteger(at: body.readerIndex) ?? 0)
        }
        let (one, founder) = (try await side(1, founder: 3), try await side(3, founder: 3))
        for sender in [one, founder] { sender.hub.learn(two.contact) }
        for _ in 0..<5 { await tryToSend([1], from: one, to: two) }
        try await founder.hub.send([3], to: two.identity.peer, class: .control)
        #expect(try await received.wait(for: 1) == [3], "somebody was heard before the list was read")
        for side in [one, two, founder] { await side.hub.close() }
    }

    @Test func aRevokedPeerLosesItsStreamAndGetsNoOther() async throws {
        let received = Collector<UInt8>()
        let two = try await side(2) { _, _, body in received.append(body.getInteger(at: body.readerIndex) ?? 0) }
        let (one, three) = (try await side(1), try await side(3))
        for sender in [one, three] { sender.hub.learn(two.contact) }
        two.hub.restrict(to: .closed([two.identity.peer, one.identity.peer, three.identity.peer]))
        try await one.hub.send([1], to: two.identity.peer, class: .control)
        try await three.hub.send([3], to: two.identity.peer, class: .control)
        #expect(try await received.wait(for: 2).sorted() == [1, 3])

        two.hub.restrict(to: .closed([two.identity.peer, three.identity.peer]))
        // What the revoked peer sends from now on goes nowhere, on the old connection or on a new one.
        for _ in 0..<20 { await tryToSend([11], from: one, to: two) }
        // Neither does what the other side might want to send to it.
        two.hub.learn(one.contact)
        await #expect(throws: (any Error).self) {
            try await two.hub.send([2], to: one.identity.peer, class: .control)
        }
        try await three.hub.send([33], to: two.identity.peer, class: .control)
        #expect(try await received.wait(for: 3).sorted() == [1, 3, 33], "a revoked peer was heard")
        for side in [one, two, three] { await side.hub.close() }
    }

    @Test func bothMayDialAtOnce() async throws {
        let received = Collector<UInt8>()
        let one = try await side(1) { _, _, body in received.append(body.getInteger(at: body.readerIndex) ?? 0) }
        let two = try await side(2) { _, _, body in received.append(body.getInteger(at: body.readerIndex) ?? 0) }
        one.hub.learn(two.contact)
        two.hub.learn(one.contact)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for trafficClass in TrafficClass.allCases {
                group.addTask { try await one.hub.send([1], to: two.identity.peer, class: trafficClass) }
                group.addTask { try await two.hub.send([2], to: one.identity.peer, class: trafficClass) }
            }
            try await group.waitForAll()
        }
        let values = try await received.wait(for: 8)
        #expect(values.sorted() == [1, 1, 1, 1, 2, 2, 2, 2])
        await one.hub.close()
        await two.hub.close()
    }

    @Test func aLostConnectionIsMadeAnew() async throws {
        let received = Collector<UInt8>()
        let two = try await side(2) { _, _, body in received.append(body.getInteger(at: body.readerIndex) ?? 0) }
        let one = try await side(1)
        one.hub.learn(two.contact)
        try await one.hub.send([1], to: two.identity.peer, class: .shards)
        _ = try await received.wait(for: 1)
        two.hub.disconnect(one.identity.peer)
        // Until the close is noticed a message may be lost with the connection; the next ones go over a new one.
        for number in 2...20 {
            try await Task.sleep(for: .milliseconds(20))
            try await one.hub.send([UInt8(number)], to: two.identity.peer, class: .shards)
        }
        let values = try await received.wait(for: 20, seconds: 1)
        #expect(values.last == 20)
        #expect(values == values.sorted())
        #expect(values.count >= 18)
        await one.hub.close()
        await two.hub.close()
    }

    @Test func failuresSayWhatToDo() async throws {
        var configuration = StreamConfiguration()
        configuration.giveUpAfter = .milliseconds(300)
        let one = try await side(1, configuration: configuration)
        let other = try transportIdentity(2)
        await #expect(throws: StreamError.unknownPeer(other.peer)) {
            try await one.hub.send([1], to: other.peer, class: .control)
        }
        one.hub.learn(
            Contact(
                peer: other.peer, agreementKey: other.agreementPublicKey,
                addresses: [NetworkAddress(ipv4: (127, 0, 0, 1), port: 1)]))
        do {
            try await one.hub.send([1], to: other.peer, class: .control)
            Issue.record("a message went to a closed port")
        } catch let error as StreamError {
            #expect(error.description.contains("check that it runs"), "\(error)")
        }
        await #expect(throws: StreamError.tooLarge(Limits.streamMessageBytes + 1)) {
            try await one.hub.send(
                ByteBuffer(repeating: 0, count: Limits.streamMessageBytes + 1), to: other.peer, class: .control)
        }
        await one.hub.close()
    }

    @Test func cancellingASendTakesItOutOfTheQueue() async throws {
        let one = try await side(1)
        let other = try transportIdentity(2)
        one.hub.learn(Contact(peer: other.peer, agreementKey: other.agreementPublicKey, addresses: []))
        let task = Task { try await one.hub.send([1], to: other.peer, class: .control) }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        await one.hub.close()
    }

    @Test func strangersGetNoByteAndAreShutOut() async throws {
        var configuration = StreamConfiguration()
        configuration.helloTimeout = .milliseconds(300)
        configuration.pendingHellosPerAddress = 3
        let target = try await side(1, configuration: configuration)
        let received = Collector<Int>()
        let closed = Collector<Bool>()
        func connect() async throws -> any Channel {
            try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            StrangerHandler<ByteBuffer>(received: received, closed: closed))
                    }
                }
                .connect(host: "127.0.0.1", port: Int(target.address.port)).get()
        }
        // A hello under another secret, a hello cut off, noise, and nothing at all.
        let wrong = try StreamDialler(
            identity: transportIdentity(3), secret: transportSecret(0x66), remote: target.identity.peer,
            remoteKey: target.identity.agreementPublicKey, channel: 0, offered: [.chaCha20Poly1305], timestamp: 1,
            ephemeral: requireValue(AgreementKey(secret: SecretBytes(copying: [UInt8](repeating: 9, count: 32)))))
        let hello = wrong.hello
        for bytes in [hello, [UInt8](repeating: 0x10, count: 5000)] {
            let channel = try await connect()
            try? await channel.writeAndFlush(ByteBuffer(bytes: bytes))
        }
        #expect(try await closed.wait(for: 2).count == 2)
        for bytes in [Array(hello.prefix(100)), []] {
            let channel = try await connect()
            try? await channel.writeAndFlush(ByteBuffer(bytes: bytes))
        }
        #expect(closed.values.count == 2, "patience for an unfinished hello")
        #expect(try await closed.wait(for: 4, seconds: 3).count == 4, "but not for ever")
        for _ in 0..<6 { _ = try? await connect() }
        #expect(try await closed.wait(for: 7, seconds: 0.2).count >= 7, "places for strangers are few")
        #expect(received.values.isEmpty)
        await target.hub.close()
    }

    @Test func aClockThatWentBackIsOutbid() async throws {
        let received = Collector<Int>()
        let target = try await side(1) { _, _, body in received.append(body.readableBytes) }
        let late = try await side(2)
        // What this identity said tomorrow.
        let tomorrow = UInt64(Date().timeIntervalSince1970 * 1000) + 86_400_000
        let hello = try StreamDialler(
            identity: late.identity, secret: transportSecret(), remote: target.identity.peer,
            remoteKey: target.identity.agreementPublicKey, channel: TrafficClass.control.rawValue,
            offered: [.chaCha20Poly1305], timestamp: tomorrow,
            ephemeral: requireValue(AgreementKey(secret: SecretBytes(copying: [UInt8](repeating: 9, count: 32))))
        ).hello
        let bytes = Collector<Int>()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        StrangerHandler<ByteBuffer>(received: bytes, closed: Collector<Bool>()))
                }
            }
            .connect(host: "127.0.0.1", port: Int(target.address.port)).get()
        try await channel.writeAndFlush(ByteBuffer(bytes: hello))
        _ = try await bytes.wait(for: 1)
        late.hub.learn(target.contact)
        for count in 1...3 {
            try await late.hub.send([UInt8](repeating: 0, count: count), to: target.identity.peer, class: .control)
        }
        #expect(try await received.wait(for: 3, seconds: 10) == [1, 2, 3])
        try? await channel.close()
        await late.hub.close()
        await target.hub.close()
    }

    @Test func aRecordedHelloOpensNothing() async throws {
        let received = Collector<Int>()
        let target = try await side(1) { _, _, _ in received.append(1) }
        let dialler = try StreamDialler(
            identity: transportIdentity(2), secret: transportSecret(), remote: target.identity.peer,
            remoteKey: target.identity.agreementPublicKey, channel: 0, offered: [.chaCha20Poly1305], timestamp: 1000,
            ephemeral: requireValue(AgreementKey(secret: SecretBytes(copying: [UInt8](repeating: 9, count: 32)))))
        let hello = dialler.hello
        let bytes = Collector<Int>()
        let closed = Collector<Bool>()
        for _ in 0..<2 {
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            StrangerHandler<ByteBuffer>(received: bytes, closed: closed))
                    }
                }
                .connect(host: "127.0.0.1", port: Int(target.address.port)).get()
            try await channel.writeAndFlush(ByteBuffer(bytes: hello))
            try await Task.sleep(for: .milliseconds(100))
        }
        #expect(bytes.values.count == 1, "the first hello is answered, its repetition is not")
        #expect(closed.values.count == 1)
        #expect(received.values.isEmpty)
        await target.hub.close()
    }
}

/// Lets a handler answer through the hub that it belongs to.
final class HubHolder: Sendable {
    private let held = Mutex<StreamHub?>(nil)

    var hub: StreamHub? { held.withLock { $0 } }

    func set(_ hub: StreamHub) { held.withLock { $0 = hub } }
}

/// Shut until opened.
actor Gate {
    private var isOpen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func wait() async {
        if isOpen { return }
        await withCheckedContinuation { waiting.append($0) }
    }

    func open() {
        isOpen = true
        for continuation in waiting { continuation.resume() }
        waiting = []
    }
}
