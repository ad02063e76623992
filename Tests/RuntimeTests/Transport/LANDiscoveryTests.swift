import NIOCore
import NIOPosix
import Noise
import Primitives
import Runtime
import Testing
import Wire

@Suite(.serialized) struct LANDiscoveryTests {
    private func discovery(
        _ number: UInt8, secret: UInt8, port: UInt16, found: Collector<PeerID>, contacts: Collector<Contact>? = nil
    )
        throws -> LANDiscovery
    {
        let identity = try transportIdentity(number)
        return LANDiscovery(
            secret: try transportSecret(secret),
            contact: Contact(
                peer: identity.peer, agreementKey: identity.agreementPublicKey,
                addresses: [NetworkAddress(ipv4: (127, 0, 0, 1), port: 7600 + UInt16(number))]),
            port: port, eventLoop: MultiThreadedEventLoopGroup.singleton.next()
        ) {
            contacts?.append($0)
            found.append($0.peer)
        }
    }

    @Test func peersOfOneSwarmHearEachOtherAndNobodyElse() async throws {
        let (one, two, other) = (Collector<PeerID>(), Collector<PeerID>(), Collector<PeerID>())
        let contacts = Collector<Contact>()
        // A port of its own, so that a running node does not disturb the test.
        let port: UInt16 = 47_601
        let first = try discovery(1, secret: 0x55, port: port, found: one, contacts: contacts)
        let second = try discovery(2, secret: 0x55, port: port, found: two)
        let stranger = try discovery(3, secret: 0x66, port: port, found: other)
        do {
            try await first.start()
            try await second.start()
            try await stranger.start()
        } catch {
            // A machine without multicast: the node runs without discovery, and so does the test.
            #expect(error is DiscoveryError || error is IOError, "\(error)")
            return
        }
        let heardByFirst = try await one.wait(for: 1, seconds: 3)
        // Where multicast is filtered nothing comes at all; what does come must be right.
        let secondPeer = try transportIdentity(2).peer
        let firstPeer = try transportIdentity(1).peer
        #expect(heardByFirst.allSatisfy { $0 == secondPeer })
        #expect(two.values.allSatisfy { $0 == firstPeer })
        #expect(other.values.isEmpty)
        if !heardByFirst.isEmpty {
            #expect(try await two.wait(for: 1, seconds: 3).isEmpty == false, "the newcomer's question was answered")
        }
        // Another network: the announcement follows, and the other peer hears of it at once.
        if !heardByFirst.isEmpty {
            let moved = Contact(
                peer: secondPeer, agreementKey: try transportIdentity(2).agreementPublicKey,
                addresses: [NetworkAddress(ipv4: (10, 9, 8, 7), port: 7602)])
            let before = one.values.count
            second.update(moved)
            await second.refresh()
            _ = try await one.wait(for: before + 1, seconds: 3)
            #expect(contacts.values.last?.addresses == moved.addresses, "the old addresses are announced still")
        }
        await first.close()
        await second.close()
        await stranger.close()
    }
}
