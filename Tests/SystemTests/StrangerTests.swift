import Foundation
import Primitives
import Testing

extension SystemTests {
    /// Who does not hold the swarm's secret gets nothing: not one byte.
    @Suite struct StrangerTests {
        @Test(.timeLimit(.minutes(2)))
        func everyMessageTypeAndNoiseGetSilence() async throws {
            try await Swarm.with { swarm in
                try await swarm.start(count: 2)
                let port = swarm.nodes[0].port
                let before = try await swarm.nodes[0].status()
                let stranger = try PlainSocket(.datagram)
                stranger.setReceiveTimeout(seconds: 2)
                var generator = SeededGenerator(seed: 16)
                for type in UInt8.min...UInt8.max {
                    for count in [1, 4, 16, 64, 148, 1200] {
                        var bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
                        bytes[0] = type
                        stranger.send(bytes, toPort: port)
                    }
                    stranger.send([type] + [UInt8](repeating: 0, count: 147), toPort: port)
                    // A burst that overruns the receive buffer would test nothing.
                    if type % 16 == 15 { try await Task.sleep(for: .milliseconds(20)) }
                }
                #expect(stranger.receive() == nil, "a stranger got an answer")
                let after = try await swarm.nodes[0].status()
                #expect(
                    after.traffic.datagramsDropped >= before.traffic.datagramsDropped + 1000,
                    "the node did not even see the datagrams: \(after.traffic.datagramsDropped)")
                #expect(after.alivePeers == 2 && after.knownPeers == 2)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func aStreamOfGarbageGetsSilence() async throws {
            try await Swarm.with { swarm in
                try await swarm.start(count: 1)
                var generator = SeededGenerator(seed: 17)
                for count in [0, 1, 64, 2000, 200_000] {
                    let stranger = try PlainSocket(.stream)
                    stranger.setReceiveTimeout(seconds: 2)
                    try #require(stranger.connect(toPort: swarm.nodes[0].port), "the node does not listen on TCP")
                    _ = stranger.write((0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) })
                    #expect(stranger.receive() == nil, "a stranger got an answer to \(count) bytes")
                }
                #expect(try await swarm.nodes[0].status().alivePeers == 1)
            }
        }
    }
}
