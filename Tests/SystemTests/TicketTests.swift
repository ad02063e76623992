import Foundation
import Testing

extension SystemTests {
    /// A ticket that was copied wrongly gives one clear line, and never a node that hangs.
    @Suite struct TicketTests {
        @Test(.timeLimit(.minutes(2)))
        func oneChangedCharacterGivesOneClearLine() async throws {
            try await Swarm.with { swarm in
                let newcomer = swarm.addNode()
                let characters = Array(swarm.ticket)
                for position in [5, 6, characters.count / 2, characters.count - 1] {
                    var wrong = characters
                    wrong[position] = wrong[position] == "a" ? "b" : "a"
                    let outcome = try await swarm.run([
                        "up", "--state", newcomer.state, "--listen", "127.0.0.1:\(newcomer.port)", "--join",
                        String(wrong),
                    ])
                    #expect(outcome.status == 1, "position \(position): status \(outcome.status)")
                    #expect(outcome.output.isEmpty)
                    let lines = outcome.errors.split(separator: "\n")
                    #expect(lines.count == 1, "position \(position): \(outcome.errors)")
                    #expect(outcome.errors.contains("ticket"), "\(outcome.errors)")
                }
            }
        }
    }
}
