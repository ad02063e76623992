import Noise
import Primitives
import Testing

/// Handshakes of a closed swarm.
@Suite struct AdmissionTests {
    @Test func peerThatIsNotAdmittedLearnsOnlyThat() throws {
        let net = try SessionNetwork()
        net.handle(1, .restrict(.closed([net.identities[1].peer])))
        net.send("hello", from: 0, to: 1)
        net.settle()
        #expect(net.delivered[1].isEmpty)
        #expect(net.established[0].isEmpty && net.established[1].isEmpty)
        #expect(net.failed[0].map(\.1) == [.notAdmitted])
        #expect(net.recorded.map(\.bytes.count) == [240, 173], "a refusal is smaller than what it answers")
        #expect(net.tables[1].counters[.notAdmitted] == 1)
    }

    @Test func revocationEndsTheSession() throws {
        let net = try SessionNetwork()
        net.send("hello", from: 0, to: 1)
        net.settle()
        #expect(net.texts(1) == ["hello"])
        net.handle(1, .restrict(.closed([net.identities[1].peer])))
        net.send("secret?", from: 0, to: 1)
        net.settle()
        #expect(net.texts(1) == ["hello"], "a revoked peer was heard")
        net.send("answer", from: 1, to: 0)
        net.run(for: .seconds(30))
        #expect(net.texts(0).isEmpty, "a revoked peer was told something")
    }

    @Test func refusalsAreRateLimited() throws {
        let net = try SessionNetwork()
        net.handle(1, .restrict(.closed([net.identities[1].peer])))
        for _ in 0..<50 {
            net.send("hello", from: 0, to: 1)
            net.settle()
            net.handle(0, .forget(net.identities[1].peer))
            net.handle(0, .learn(net.contact(1)))
        }
        let refusals = net.recorded.count { $0.bytes.count == 173 }
        #expect(refusals == SessionConfiguration().refusalBurst)
    }

    @Test func peerWithoutListAnswersItsFounderOnlyAndSaysNothingToOthers() throws {
        let net = try SessionNetwork(count: 3)
        net.handle(1, .restrict(.asking(founder: net.identities[2].peer)))
        net.send("hello", from: 0, to: 1)
        net.send("hello", from: 2, to: 1)
        net.settle()
        #expect(net.delivered[1].map(\.from) == [net.identities[2].peer])
        #expect(net.failed[0].isEmpty, "a peer without a list claimed that another is not admitted")
    }

    /// A node binds its port before it has read its list: whoever knocked in between had a session that the list then ended
    /// on one side only.
    @Test func closedSwarmIsNeverOpen() throws {
        let net = try SessionNetwork(count: 3, founder: 2)
        net.send("hello", from: 0, to: 1)
        net.send("hello", from: 2, to: 1)
        net.settle()
        #expect(
            net.delivered[1].map(\.from) == [net.identities[2].peer], "one was answered before the list was read")
    }

    @Test func founderCannotBeStrippedOffATicket() throws {
        let founder = try identity(1).peer
        func key(_ founder: PeerID?) throws -> [UInt8] {
            let secret = try requireValue(
                SwarmSecret(SecretBytes(copying: [UInt8](repeating: 0x55, count: 32)), founder: founder))
            return secret.discoveryMAC(of: [1])
        }
        let (open, closed, other) = (try key(nil), try key(founder), try key(try identity(2).peer))
        #expect(open != closed && closed != other && open != other)
    }
}
