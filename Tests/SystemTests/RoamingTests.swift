import Foundation
import Testing

extension SystemTests {
    /// A peer behind a router that gives it another port in the middle of its sessions.
    @Suite struct RoamingTests {
        @Test(.timeLimit(.minutes(8)))
        func anotherPortAtTheRouterIsNoReasonForAHandshakeOrASuspicion() async throws {
            var outcomes = [try await moveThreeTimes()]
            while outcomes.last == .direct, outcomes.count < 8 { outcomes.append(try await moveThreeTimes()) }
            #expect(
                outcomes.last == .quiet,
                "each move took a handshake or a refuted suspicion, or went round the router: \(outcomes)")
        }

        private enum Outcome {
            /// A move without a handshake and without a suspicion. Of three it is enough: on a machine that is busy with other
            /// tests an answer may come too late for reasons of its own.
            case quiet
            /// The session lived on, but no move went by without a handshake or a suspicion.
            case noisy
            /// An answer came so late that the first tried all of the second's addresses, of which one is, unlike those
            /// behind a real router, as near to it as the router's: that one answered, and there are no more moves.
            case direct
        }

        private func moveThreeTimes() async throws -> Outcome {
            var outcome = Outcome.noisy
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
                var isDirect = false
                try await Waiting.until("the second knows its address at the router", seconds: 30, every: 0.2) {
                    if try await second.status().addresses == ["127.0.0.1:\(second.port)", mapped] { return true }
                    isDirect = try await ping(second, from: first, in: swarm).answered("127.0.0.1:\(second.port)")
                    return isDirect
                }
                if isDirect { return outcome = .direct }
                let status = try await second.status()
                #expect(status.natKind == "endpoint-independent" && status.observedAddresses == [mapped])
                // Whoever began last, it is over.
                try await Task.sleep(for: .seconds(2))
                for _ in 0..<3 {
                    let before = relay.recorded.count
                    let incarnation = try await incarnation(of: second, at: first)
                    let old = relay.mappedPort
                    try relay.rebind()
                    let port = relay.mappedPort
                    try #require(port != old)
                    let seconds = try await Waiting.until("the first answers to the new port", seconds: 60, every: 0.1)
                    {
                        let ping = try await ping(second, from: first, in: swarm)
                        isDirect = ping.answered("127.0.0.1:\(second.port)")
                        return isDirect || ping.answered("127.0.0.1:\(port)")
                    }
                    if isDirect { return outcome = outcome == .quiet ? .quiet : .direct }
                    Waiting.report("the session moves to the router's new port", seconds: seconds)
                    // Types 1 and 2 are initiation and response.
                    let handshakes = relay.recorded.dropFirst(before).count { (1...2).contains($0.bytes[0]) }
                    let isQuiet = try await self.incarnation(of: second, at: first) == incarnation
                    if handshakes == 0, isQuiet { outcome = .quiet }
                }
                #expect(await swarm.allSee([first, second]))
            }
            return outcome
        }

        private func ping(
            _ node: Swarm.Node, from other: Swarm.Node, in swarm: Swarm
        ) async throws -> WeftProcess.Outcome {
            try await swarm.run(["ping", node.name, "--count", "1", "--state", other.state])
        }

        private func incarnation(of node: Swarm.Node, at observer: Swarm.Node) async throws -> UInt64? {
            try await observer.peers().first { $0.name == node.name }?.incarnation
        }
    }
}

extension WeftProcess.Outcome {
    /// Whether this is a ping that was answered from the address.
    fileprivate func answered(_ address: String) -> Bool { status == 0 && output.contains("(\(address))") }
}
