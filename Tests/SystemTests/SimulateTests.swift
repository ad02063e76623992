import Foundation
import Testing

extension SystemTests {
    /// `weft simulate` as a script uses it.
    @Suite struct SimulateTests {
        private func run(_ arguments: [String]) async throws -> WeftProcess.Outcome {
            let folder = FileManager.default.temporaryDirectory
            return try await WeftProcess(["simulate"] + arguments, folder: folder, label: "simulate").wait(seconds: 60)
        }

        @Test func theSameSeedGivesTheSameDigestInTwoProcesses() async throws {
            let arguments = ["--scenario", "chaos", "--peers", "10", "--seconds", "8", "--seed", "5", "--json"]
            async let first = run(arguments)
            async let second = run(arguments)
            let (one, two) = try await (first, second)
            #expect(one.status == 0, "\(one.errors)")
            #expect(one.output.contains("\"digest\"") && one.output == two.output)
        }

        @Test func theExampleScenarioHoldsItsBarsAndIsDrawn() async throws {
            let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent()
            let plot = FileManager.default.temporaryDirectory.appending(path: "weft-\(UUID().uuidString.prefix(8)).svg")
            defer { try? FileManager.default.removeItem(at: plot) }
            let example = root.appending(path: "Examples/scenario-bad-day.json").path
            let outcome = try await run(["--file", example, "--plot", plot.path])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("a bad day, 24 peers, seed 7"), "\(outcome.output)")
            let drawing = try String(contentsOf: plot, encoding: .utf8)
            #expect(drawing.hasSuffix("</svg>\n") && drawing.contains("Deaths known"))
        }

        @Test(.enabled(if: ProcessInfo.processInfo.physicalMemory < 140 << 30, "the swarm would fit into this machine"))
        func aSwarmThatDoesNotFitTheMachineIsRefusedAtOnce() async throws {
            let outcome = try await run(["--scenario", "join", "--peers", "16384"])
            #expect(
                outcome.status == 1 && outcome.errors.contains("16384 peers would take about 150 GiB"),
                "\(outcome.errors)")
        }

        @Test(arguments: [
            (#"{"format":"weft.scenario/2","peers":3}"#, "weft.scenario/1"),
            (#"{"format":"weft.scenario/1"}"#, "\"peers\" is missing"),
            (#"{"format":"weft.scenario/1","peers":3,"events":[{"atSeconds":1,"do":"crash","peers":"3"}]}"#, "event 1"),
            (#"{"format":"weft.scenario/1","peers":3,"network":{"lossPercent":101}}"#, "lossPercent"),
            ("[", "not JSON"),
        ])
        func aBadFileIsRefusedWithAReason(text: String, reason: String) async throws {
            let file = FileManager.default.temporaryDirectory.appending(
                path: "weft-\(UUID().uuidString.prefix(8)).json")
            defer { try? FileManager.default.removeItem(at: file) }
            try Data(text.utf8).write(to: file)
            let outcome = try await run(["--file", file.path])
            #expect(outcome.status == 1 && outcome.errors.contains(reason), "\(outcome.errors)")
        }
    }
}
