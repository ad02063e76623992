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
                // Whoever began last, it is over.
                try await Task.sleep(for: .seconds(2))
                let before = relay.recorded.count
                let incarnations = try await first.peers().map(\.incarnation)
                for _ in 0..<3 {
                    let old = relay.mappedPort
                    try relay.rebind()
                    let port = relay.mappedPort
                    try #require(port != old)
                    let seconds = try await Waiting.until("the first answers to the new port", seconds: 20, every: 0.1)
                    {
                        let ping = try await swarm.run(["ping", second.name, "--count", "1", "--state", first.state])
                        return ping.status == 0 && ping.output.contains(":\(port)")
                    }
                    Waiting.report("the session moves to the router's new port", seconds: seconds)
                }
                try await Task.sleep(for: .seconds(3))
                let since = relay.recorded.dropFirst(before)
                // Types 1 and 2 are initiation and response.
                let handshakes = since.count { (1...2).contains($0.bytes[0]) }
                #expect(handshakes == 0, "\(handshakes) handshake datagrams among \(since.count)")
                #expect(
                    try await first.peers().map(\.incarnation) == incarnations, "somebody had to refute a suspicion")
                #expect(await swarm.allSee([first, second]))
            }
        }
    }
}
