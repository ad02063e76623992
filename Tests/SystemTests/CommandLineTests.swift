import Foundation
import Testing

extension SystemTests {
    /// What a script relies on: exit statuses, where output goes, and modes of files.
    @Suite struct CommandLineTests {
        private func run(_ arguments: [String], in folder: URL) async throws -> WeftProcess.Outcome {
            try await WeftProcess(arguments, folder: folder, label: "command").wait(seconds: 60)
        }

        /// Runs the body with an empty folder, which is removed afterwards.
        private func withFolder(_ body: (URL) async throws -> Void) async throws {
            let folder = URL(filePath: "/tmp/weft-test-\(UUID().uuidString.prefix(8))")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            try await body(folder)
        }

        @Test func helpAndVersionGoToStandardOutput() async throws {
            try await withFolder { folder in
                let help = try await run([], in: folder)
                #expect(help.status == 0)
                #expect(help.output.contains("init") && help.output.contains("up"), "\(help.output)")
                let version = try await run(["--version"], in: folder)
                #expect(version.status == 0)
                #expect(version.output.contains("."), "\(version.output)")
            }
        }

        @Test func wrongUsageEndsWith64AndFailureWith1() async throws {
            try await withFolder { folder in
                let usage = try await run(["--nonsense"], in: folder)
                #expect(usage.status == 64)
                #expect(usage.output.isEmpty)
                let failure = try await run(["ticket", "--state", "\(folder.path)/nothing"], in: folder)
                #expect(failure.status == 1, "\(failure.errors)")
                #expect(failure.output.isEmpty)
                #expect(failure.errors.contains("weft init"), "the error must say what to do: \(failure.errors)")
            }
        }

        @Test func aTakenPortIsNamedInOneLine() async throws {
            try await withFolder { folder in
                let taken = try PlainSocket(.datagram)
                let made = try await run(
                    ["init", "--state", "state", "--listen", "127.0.0.1:\(taken.port)"], in: folder)
                #expect(made.status == 0, "\(made.errors)")
                let outcome = try await run(["up", "--state", "state", "--no-discovery"], in: folder)
                #expect(outcome.status == 1)
                let errors = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("Error") }
                #expect(errors.count == 1 && errors[0].contains("--listen"), "\(outcome.errors)")
            }
        }

        @Test func initPrintsATicketAndKeepsItsSecretsToItself() async throws {
            try await withFolder { folder in
                let state = folder.appending(path: "state").path
                let made = try await run(
                    ["init", "--state", state, "--name", "desk", "--listen", "127.0.0.1:7600"], in: folder)
                #expect(made.status == 0, "\(made.errors)")
                let ticket = made.output.trimmingCharacters(in: .whitespacesAndNewlines)
                #expect(ticket.hasPrefix("weft1") && !ticket.contains(" "), "\(made.output)")
                #expect(mode(state) == 0o700)
                for name in try FileManager.default.contentsOfDirectory(atPath: state) {
                    #expect(mode("\(state)/\(name)") & 0o077 == 0, "\(name) can be read by others")
                }
                let again = try await run(["ticket", "--state", state], in: folder)
                #expect(again.output.trimmingCharacters(in: .whitespacesAndNewlines) == ticket)
                let second = try await run(["init", "--state", state], in: folder)
                #expect(second.status == 1, "a second init must not replace the swarm")
                let identity = try await run(["id", "--state", state], in: folder)
                #expect(identity.output.trimmingCharacters(in: .whitespacesAndNewlines).count == 52)
            }
        }

        private func mode(_ path: String) -> Int {
            let attributes = try? FileManager.default.attributesOfItem(atPath: path)
            return (attributes?[.posixPermissions] as? NSNumber)?.intValue ?? -1
        }
    }
}
