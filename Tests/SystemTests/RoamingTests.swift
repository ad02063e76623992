import Foundation
import Testing

extension SystemTests {
    /// A peer behind a router that gives it another port in the middle of its sessions.
    @Suite struct RoamingTests {
        @Test(.timeLimit(.minutes(2)))
        func anotherPortAtTheRouterIsNoReasonForAHandshakeOrASuspicion() async throws {
            try await Swarm.with { swarm in
                let first = swarm.nodes[0]
                try swarm.start(first)
                try await swarm.answers([first])
                let relay = try DatagramRelay(target: first.port)
                defer { relay.stop() }
                let second = swarm.addNode()
                try swarm.start(second, ticket: try SystemTickets.replacingPort(in: swarm.ticket, with: relay.port))
                try await swarm.answers([second])
                try await Waiting.until("the two meet through the relay", seconds: 30) {
                    await swarm.allSee([first, second])
                }
                // The first sees the second at the router's port, and is the only one to ask.
                let mapped = "127.0.0.1:\(relay.mappedPort)"
                try await Waiting.until("the second knows its address at the router", seconds: 30) {
                    try await second.status().addresses == ["127.0.0.1:\(second.port)", mapped]
                }
                let status = try await second.status()
                #expect(status.natKind == "endpoint-independent" && status.observedAddresses == [mapped])
                // Whoever began last, it is over.
                try await Task.sleep(for: .seconds(2))
                var quietMoves = 0
                for _ in 0..<3 {
                    let before = relay.recorded.count
                    let incarnation = try await incarnation(of: second, at: first)
                    let old = relay.mappedPort
                    try relay.rebind()
                    let port = relay.mappedPort
                    try #require(port != old)
                    let seconds = try await Waiting.until("the first answers to the new port", seconds: 60, every: 0.1)
                    {
                        let ping = try await swarm.run(["ping", second.name, "--count", "1", "--state", first.state])
                        return ping.status == 0 && ping.output.contains(":\(port)")
                    }
                    Waiting.report("the session moves to the router's new port", seconds: seconds)
                    // Types 1 and 2 are initiation and response.
                    let handshakes = relay.recorded.dropFirst(before).count { (1...2).contains($0.bytes[0]) }
                    let isQuiet = try await self.incarnation(of: second, at: first) == incarnation
                    if handshakes == 0, isQuiet { quietMoves += 1 }
                }
                // On a machine that is busy with other tests an answer may come too late for reasons of its own.
                #expect(quietMoves > 0, "each move took a handshake, or somebody had to refute a suspicion")
                #expect(await swarm.allSee([first, second]))
            }
        }

        private func incarnation(of node: Swarm.Node, at observer: Swarm.Node) async throws -> UInt64? {
            try await observer.peers().first { $0.name == node.name }?.incarnation
        }
    }
}
