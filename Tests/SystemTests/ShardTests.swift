import Foundation
import Primitives
import Testing

extension SystemTests {
    /// A file goes from one peer to the others, and from those on when the first is gone.
    @Suite struct ShardTests {
        private struct Shard: Decodable {
            let event: String?
            let shard: String?
        }

        @Test(.timeLimit(.minutes(2)))
        func aFileIsFetchedFromWhoeverHasIt() async throws {
            try await Swarm.with { swarm in
                try await swarm.start(count: 3)
                try await Waiting.until("everyone knows everyone", seconds: 60) { await swarm.allSee(swarm.nodes) }
                var generator = SeededGenerator(seed: 21)
                let content = Data((0..<(5 << 19)).map { _ in UInt8(truncatingIfNeeded: generator.next()) })
                let source = swarm.folder.appending(path: "weights.bin")
                try content.write(to: source)
                let added = try await swarm.run([
                    "shard", "add", source.path, "--state", swarm.nodes[0].state, "--json",
                ])
                try #require(added.status == 0, "\(added.errors)")
                let lines = added.output.split(separator: "\n")
                let id = try #require(
                    lines.compactMap { try? JSONDecoder().decode(Shard.self, from: Data($0.utf8)).shard }.last
                        ?? (try? JSONDecoder().decode(Shard.self, from: Data(added.output.utf8)))?.shard,
                    "\(added.output)")
                for (index, name) in [(1, "first"), (2, "second")] {
                    let copy = swarm.folder.appending(path: name)
                    let start = ContinuousClock.now
                    let fetched = try await swarm.run([
                        "shard", "get", id, "--output", copy.path, "--state", swarm.nodes[index].state,
                    ])
                    #expect(fetched.status == 0, "\(fetched.errors)")
                    Waiting.report("2.5 MiB fetched", seconds: (ContinuousClock.now - start).inSeconds)
                    #expect(try Data(contentsOf: copy) == content, "the copy differs")
                    // The second node has only the first copy to go by.
                    if index == 1 {
                        swarm.nodes[0].process?.send(SIGTERM)
                        _ = try await swarm.nodes[0].process?.wait(seconds: 20)
                    }
                }
                let listing = try await swarm.run(["shard", "ls", "--state", swarm.nodes[2].state])
                #expect(listing.status == 0 && listing.output.contains("weights.bin"), "\(listing.output)")
            }
        }
    }
}
