import Foundation
import Testing

extension SystemTests {
    /// A state directory that was copied and started on a second machine.
    @Suite struct IdentityTests {
        @Test(.timeLimit(.minutes(4)))
        func anIdentityUsedTwiceIsReportedToBothOperatorsAndToTheOthers() async throws {
            try await Swarm.with { swarm in
                try await swarm.start(count: 3)
                try await Waiting.until("everyone knows everyone", seconds: 30) { await swarm.allSee(swarm.nodes) }
                let original = swarm.nodes[1]
                let copy = swarm.addNode()
                // What identifies the original, and not its lock and socket.
                let files = FileManager.default
                try files.createDirectory(
                    atPath: copy.state, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
                for file in try files.contentsOfDirectory(atPath: original.state)
                where !file.hasSuffix(".sock") && !file.hasSuffix("lock") && file != "shards" {
                    try files.copyItem(atPath: original.state + "/" + file, toPath: copy.state + "/" + file)
                }
                try swarm.start(copy, joining: false)
                try await swarm.answers([copy])
                let (first, second) = (try await original.status(), try await copy.status())
                try #require(first.peer == second.peer, "the copy should have the original's identity")

                let seconds = try await Waiting.until("both holders know", seconds: 90, every: 0.25) {
                    let views = [try await original.status(), try await copy.status()]
                    return views.allSatisfy { $0.identityConflict != nil }
                }
                Waiting.report("both users of one identity are told", seconds: seconds)
                let conflict = try await original.status().identityConflict
                #expect(conflict?.otherAddresses.contains("127.0.0.1:\(copy.port)") == true)
                let text = try await swarm.run(["status", "--state", copy.state])
                #expect(text.output.contains("uses this identity"), "weft status says: \(text.output)")
                for node in [original, copy] {
                    #expect(node.process?.errors.contains("in use by another process too") == true)
                }
                let others = try await Waiting.until("a third member knows", seconds: 90, every: 0.25) {
                    try await swarm.nodes[2].status().identitiesUsedTwice == [first.peer]
                }
                Waiting.report("another member notices, after that", seconds: others)
            }
        }
    }
}
