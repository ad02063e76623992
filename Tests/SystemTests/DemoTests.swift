import Foundation
import Testing

extension SystemTests {
    /// The demonstration from end to end, small, and stopped in the middle: it never leaves a process behind.
    @Suite struct DemoTests {
        private func withFolder(_ body: (URL) async throws -> Void) async throws {
            let folder = URL(filePath: "/tmp/weft-test-\(UUID().uuidString.prefix(8))")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let text = String(repeating: "the shuttle carries the weft through the warp. ", count: 400)
            try Data(text.utf8).write(to: folder.appending(path: "text.txt"))
            try await body(folder)
        }

        /// Processes whose arguments name something below the folder: the demo's peers have their states there.
        private func processes(below folder: URL) throws -> [String] {
            let list = Process()
            list.executableURL = URL(filePath: "/bin/ps")
            list.arguments = ["-axww", "-o", "pid=,args="]
            let pipe = Pipe()
            list.standardOutput = pipe
            try list.run()
            let data = pipe.fileHandleForReading.readDataToEndOfFile()
            list.waitUntilExit()
            return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
                .filter { $0.contains(folder.lastPathComponent) && $0.contains(" up ") }
        }

        @Test(.timeLimit(.minutes(4)))
        func aSmallDemoTellsTheWholeStory() async throws {
            try await withFolder { folder in
                let start = ContinuousClock.now
                let demo = try WeftProcess(
                    ["demo", "--peers", "4", "--steps", "6", "--text", "text.txt", "--output", "out"], folder: folder,
                    label: "demo")
                let outcome = try await demo.wait(seconds: 200)
                Waiting.report("a demo of four peers and six steps", seconds: (ContinuousClock.now - start).inSeconds)
                #expect(outcome.status == 0, "\(outcome.output.suffix(2000))\n\(outcome.errors)")
                let written = try FileManager.default.subpathsOfDirectory(
                    atPath: folder.appending(path: "out").path)
                for suffix in ["loss.csv", ".svg", ".safetensors"] {
                    #expect(written.contains { $0.hasSuffix(suffix) }, "no \(suffix) among \(written)")
                }
                #expect(try processes(below: folder).isEmpty)
            }
        }

        @Test(.timeLimit(.minutes(4)), arguments: [SIGINT, SIGKILL])
        func aDemoThatIsStoppedTakesItsPeersAlong(signal: Int32) async throws {
            try await withFolder { folder in
                let demo = try WeftProcess(
                    ["demo", "--peers", "3", "--steps", "5000", "--text", "text.txt", "--output", "out"],
                    folder: folder,
                    label: "demo")
                try await Waiting.until("its peers run", seconds: 60) {
                    guard demo.isRunning else { throw HarnessError("the demo ended: \(demo.errors)") }
                    return try processes(below: folder).count == 3
                }
                demo.send(signal)
                _ = try await demo.wait(seconds: 30)
                let seconds = try await Waiting.until("no peer is left", seconds: 30, every: 0.2) {
                    try processes(below: folder).isEmpty
                }
                Waiting.report("peers gone after the demo ended by signal \(signal)", seconds: seconds)
            }
        }
    }
}
