import Foundation
import Testing

extension SystemTests {
    /// A closed swarm of real processes: a ticket alone is refused, admission lets in, revocation puts out.
    @Suite struct AdmissionTests {
        @Test(.timeLimit(.minutes(3)))
        func ticketAloneDoesNotAdmitAndRevocationCutsOff() async throws {
            try await Swarm.with(closed: true) { swarm in
                while swarm.nodes.count < 4 { swarm.addNode() }
                let founder = swarm.nodes[0]
                for node in swarm.nodes { try swarm.start(node) }
                try await swarm.answers(swarm.nodes)
                var identities: [String] = []
                for node in swarm.nodes { identities.append(try await node.status().peer) }

                try await Waiting.until("the newcomers say that they are not admitted", seconds: 30) {
                    swarm.nodes[1...].allSatisfy { node in
                        node.process?.errors.contains(
                            "ask the founder to run: weft admit \(identities[node.index])") == true
                    }
                }
                for node in swarm.nodes[1...] {
                    #expect(try await node.peers().count == 1, "\(node.name) learnt of others without admission")
                }
                let waiting = try await swarm.run(["members", "--waiting", "--state", founder.state])
                #expect(waiting.output.contains(identities[3]), "\(waiting.output)\(waiting.errors)")
                let elsewhere = try await swarm.run(["admit", identities[2], "--state", swarm.nodes[1].state])
                #expect(elsewhere.status == 1 && elsewhere.errors.contains("only the founder"), "\(elsewhere.errors)")

                for identity in identities[1...] {
                    let short = String(identity.prefix(10))
                    let made = try await swarm.run(["admit", short, "--state", founder.state])
                    try #require(made.status == 0, "\(made.errors)")
                }
                let joined = try await Waiting.until("the admitted peers are in", seconds: 30) {
                    await swarm.allSee(swarm.nodes)
                }
                Waiting.report("three admitted peers are in", seconds: joined)

                let victim = swarm.nodes[3]
                let others = Array(swarm.nodes[0..<3])
                let made = try await swarm.run(["revoke", identities[3], "--state", founder.state])
                try #require(made.status == 0, "\(made.errors)")
                let out = try await Waiting.until("the revoked peer is out everywhere", seconds: 30) {
                    for node in others {
                        let state = try await node.peers().first { $0.name == victim.name || $0.peer == identities[3] }
                        guard state?.state == "revoked" else { return false }
                    }
                    return true
                }
                // The simulator holds this to five seconds; here it depends on what else the machine does.
                Waiting.report("a revoked peer is out everywhere", seconds: out, target: 5)
                let ping = try await swarm.run(["ping", identities[0], "--count", "1", "--state", victim.state])
                #expect(ping.status != 0, "the revoked peer still gets answers: \(ping.output)")
            }
        }
    }
}
