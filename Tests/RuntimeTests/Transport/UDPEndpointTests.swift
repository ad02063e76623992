import NIOCore
import NIOPosix
import Noise
import Primitives
import Runtime
import Testing
import Wire

@Suite(.serialized) struct UDPEndpointTests {
    private struct Side {
        let endpoint: UDPEndpoint
        let address: NetworkAddress
        let identity: LocalIdentity
        let events: Collector<UDPEndpoint.Event>

        var contact: Contact {
            Contact(peer: identity.peer, agreementKey: identity.agreementPublicKey, addresses: [address])
        }

        var payloads: [[UInt8]] {
            events.values.compactMap { if case .payload(let bytes, _, _, _) = $0 { bytes } else { nil } }
        }
    }

    private func side(_ number: UInt8, secret: UInt8 = 0x55) async throws -> Side {
        let events = Collector<UDPEndpoint.Event>()
        let identity = try transportIdentity(number)
        let endpoint = try await UDPEndpoint(
            identity: identity, secret: try transportSecret(secret),
            eventLoop: MultiThreadedEventLoopGroup.singleton.next()
        ) { events.append($0) }
        return Side(
            endpoint: endpoint, address: try await endpoint.bind(to: loopback), identity: identity, events: events)
    }

    @Test func twoEndpointsExchangePayloads() async throws {
        let (one, two) = (try await side(1), try await side(2))
        one.endpoint.learn(two.contact)
        let before = MonotonicClock.now
        for number in 0..<50 {
            one.endpoint.send([UInt8](repeating: UInt8(number), count: 20 * (number + 1)), to: two.identity.peer)
        }
        let events = try await two.events.wait(for: 51)
        #expect(two.payloads == (0..<50).map { [UInt8](repeating: UInt8($0), count: 20 * ($0 + 1)) })
        for event in events {
            guard case .payload(_, let from, let address, let receivedAt) = event else { continue }
            #expect(from == one.identity.peer)
            #expect(address == one.address)
            #expect(receivedAt >= before && receivedAt <= MonotonicClock.now)
        }
        two.endpoint.send([9], to: one.identity.peer)
        _ = try await one.events.wait(for: 2)
        #expect(one.payloads == [[9]], "the other side answers without having learnt a contact")
        await one.endpoint.close()
        await two.endpoint.close()
    }

    /// A host with an IPv6 address gives it out; a port of the other family must not stumble over it.
    @Test func anAddressOfAnotherFamilyIsPassedOver() async throws {
        let (one, two) = (try await side(1), try await side(2))
        var contact = two.contact
        contact.addresses = try [#require(NetworkAddress("[fd00::2]:7600"))] + contact.addresses
        one.endpoint.learn(contact)
        one.endpoint.send([1], to: two.identity.peer)
        _ = try await two.events.wait(for: 2)
        #expect(two.payloads == [[1]])
        await one.endpoint.close()
        await two.endpoint.close()
    }

    /// The system refuses a broadcast; NIO then closes the channel, and the endpoint opens its port again.
    @Test func thePortSurvivesASendThatTheSystemRefuses() async throws {
        let (one, two) = (try await side(1), try await side(2))
        let refused = try transportIdentity(3)
        one.endpoint.learn(
            Contact(
                peer: refused.peer, agreementKey: refused.agreementPublicKey,
                addresses: [NetworkAddress(ipv4: (255, 255, 255, 255), port: 9)]))
        one.endpoint.send([1], to: refused.peer)
        try await Task.sleep(for: .milliseconds(300))
        two.endpoint.learn(one.contact)
        two.endpoint.send([2], to: one.identity.peer)
        _ = try await one.events.wait(for: 2)
        #expect(one.payloads == [[2]])
        await one.endpoint.close()
        await two.endpoint.close()
    }

    @Test func aPeerWithoutContactFails() async throws {
        let one = try await side(1)
        one.endpoint.send([1], to: try transportIdentity(2).peer)
        let events = try await one.events.wait(for: 1)
        guard case .failed(_, .unknownPeer) = events.first else {
            Issue.record("expected a failure, found \(events)")
            return
        }
        await one.endpoint.close()
    }

    @Test func strangersGetNoByte() async throws {
        let target = try await side(1)
        let outsider = try await side(3, secret: 0x66)
        outsider.endpoint.learn(target.contact)
        outsider.endpoint.send([1, 2, 3], to: target.identity.peer)
        let received = Collector<Int>()
        let socket = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        StrangerHandler<AddressedEnvelope<ByteBuffer>>(received: received))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let to = try SocketAddress(ipAddress: "127.0.0.1", port: Int(target.address.port))
        for type in UInt8.min...UInt8.max {
            for length in [4, 64, 172, 240, 1200] {
                let bytes = [type, 1, 0, 0] + [UInt8](repeating: type, count: length - 4)
                try await socket.writeAndFlush(AddressedEnvelope(remoteAddress: to, data: ByteBuffer(bytes: bytes)))
            }
        }
        try await Task.sleep(for: .milliseconds(400))
        #expect(received.values.isEmpty)
        let counters = await target.endpoint.counters()
        #expect(counters.datagramsReceived > 500, "the datagrams did arrive")
        #expect(counters.datagramsSent == 0)
        #expect(outsider.events.values.isEmpty)
        try await socket.close()
        await target.endpoint.close()
        await outsider.endpoint.close()
    }
}
