import Foundation
import Testing

extension SystemTests {
    /// What can be said of `weft demo`, `train --local` and `generate` without a network.
    @Suite struct DemoCommandTests {
        private func run(_ arguments: [String], in folder: URL) async throws -> WeftProcess.Outcome {
            try await WeftProcess(arguments, folder: folder, label: "command").wait(seconds: 60)
        }

        private func withFolder(_ body: (URL) async throws -> Void) async throws {
            let folder = URL(filePath: "/tmp/weft-test-\(UUID().uuidString.prefix(8))")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            try await body(folder)
        }

        @Test func theBuiltInNetworkIsTheExample() async throws {
            try await withFolder { folder in
                let printed = try await run(["demo", "--print-topology"], in: folder)
                let root = (0..<3).reduce(URL(filePath: #filePath)) { url, _ in url.deletingLastPathComponent() }
                let example = try String(
                    contentsOf: root.appending(path: "Examples/demo-topology.json"), encoding: .utf8)
                #expect(printed.output == example)
            }
        }

        @Test func impossibleDemosAreRefusedAtOnce() async throws {
            try await withFolder { folder in
                #expect(try await run(["demo", "--peers", "1"], in: folder).status == 64)
                let tooMany = try await run(["demo", "--peers", "99"], in: folder)
                #expect(tooMany.status == 1 && tooMany.errors.contains("--topology"), "\(tooMany.errors)")
                let noText = try await run(["demo", "--text", "missing"], in: folder)
                #expect(noText.status == 1 && noText.errors.contains("missing"), "\(noText.errors)")
            }
        }

        /// Twice the same bits, a checkpoint that goes on with them, and text from it.
        @Test func localTrainingRepeatsAndResumes() async throws {
            try await withFolder { folder in
                let text = String(repeating: "the shuttle carries the weft through the warp. ", count: 60)
                try Data(text.utf8).write(to: folder.appending(path: "text.txt"))
                let job = """
                    {"format": "weft.job/1", "name": "small", "data": "text.txt", "steps": 8, "checkpointEvery": 4,
                     "model": {"layers": 2, "width": 32, "heads": 2, "context": 16},
                     "batch": {"sequences": 4, "microBatchSequences": 2}, "validation": {"every": 4, "batches": 2}}
                    """
                try Data(job.utf8).write(to: folder.appending(path: "job.json"))
                func losses(_ arguments: [String]) async throws -> [String] {
                    let outcome = try await run(["train", "job.json", "--local", "--json"] + arguments, in: folder)
                    #expect(outcome.status == 0, "\(outcome.errors)")
                    return outcome.output.split(separator: "\n").compactMap { line in
                        guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)),
                            let event = object as? [String: Any], event["event"] as? String == "step"
                        else { return nil }
                        return event["lossBits"] as? String
                    }
                }
                let first = try await losses(["--output", "one"])
                #expect(first.count == 8 && Set(first).count > 4, "\(first)")
                #expect(try await losses(["--output", "two"]) == first)
                let names = try FileManager.default.contentsOfDirectory(atPath: folder.appending(path: "one").path)
                #expect(
                    Set(names).isSuperset(of: ["loss.csv", "loss.svg", "step-00000004", "step-00000008"]), "\(names)")
                let rest = try await losses(["--output", "three", "--resume", "one/step-00000004"])
                #expect(rest == Array(first.suffix(4)))
                let arguments = ["generate", "--checkpoint", "one", "--prompt", "the ", "--length", "40", "--json"]
                let written = try await run(arguments, in: folder)
                #expect(written.status == 0, "\(written.errors)")
                #expect(try await run(arguments, in: folder).output == written.output)
            }
        }
    }
}
