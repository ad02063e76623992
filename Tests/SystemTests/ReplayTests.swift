import Foundation
import Testing

extension SystemTests {
    /// Somebody on the path records everything and sends it again.
    @Suite struct ReplayTests {
        @Test(.timeLimit(.minutes(3)))
        func aReplayedConversationChangesNothing() async throws {
            try await Swarm.with { swarm in
                let first = swarm.nodes[0]
                try swarm.start(first)
                try await swarm.answers([first])
                // The second node knows the first only by the relay's address.
                let relay = try DatagramRelay(target: first.port)
                defer { relay.stop() }
                let second = swarm.addNode()
                let ticket = try await ticket(swarm, through: relay.port)
                try swarm.start(second, ticket: ticket)
                try await swarm.answers([second])
                try await Waiting.until("the two meet through the relay", seconds: 30) {
                    await swarm.allSee([first, second])
                }
                try await Waiting.until("the relay saw a conversation", seconds: 30) { relay.recorded.count >= 20 }
                let captured = relay.recorded
                let peersBefore = try await names(first)
                let replayer = try PlainSocket(.datagram)
                replayer.setReceiveTimeout(seconds: 1)
                let droppedBefore = try await first.status().traffic.datagramsDropped
                for _ in 0..<3 {
                    for datagram in captured {
                        relay.send(datagram.bytes, toServer: datagram.toServer)
                        replayer.send(datagram.bytes, toPort: first.port)
                    }
                    try await Task.sleep(for: .milliseconds(200))
                }
                #expect(replayer.receive() == nil, "a replayed datagram got an answer at the replayer's address")
                let droppedAfter = try await first.status().traffic.datagramsDropped
                print("measured: \(captured.count) datagrams replayed 6 times, \(droppedAfter - droppedBefore) dropped")
                #expect(droppedAfter >= droppedBefore + UInt64(captured.count), "replays were not dropped")
                #expect(try await names(first) == peersBefore)
                // The session still works, over the path it had.
                let reply = try await swarm.run(["ping", second.name, "--count", "2", "--state", first.state])
                #expect(reply.status == 0, "\(reply.errors)")
                #expect(await swarm.allSee([first, second]))
            }
        }

        private func names(_ node: Swarm.Node) async throws -> [String] {
            try await node.peers().map { "\($0.name) \($0.state) \($0.address ?? "")" }.sorted()
        }

        /// A ticket in which the first node's address is the relay's.
        private func ticket(_ swarm: Swarm, through port: UInt16) async throws -> String {
            try SystemTickets.replacingPort(in: swarm.ticket, with: port)
        }
    }
}
