import Foundation
import Synchronization

/// One running `weft`, with everything that it prints kept.
final class WeftProcess: Sendable {
    /// What a finished run left.
    struct Outcome: Sendable {
        /// Exit status, or 128 plus the signal's number as a shell counts.
        let status: Int32
        let output: String
        let errors: String
    }

    private let process: Mutex<Process>
    private let outputURL: URL
    private let errorsURL: URL
    let arguments: [String]
    let processID: Int32

    /// Starts `weft` with these arguments; output goes to files in `folder`, so that no pipe can fill.
    init(_ arguments: [String], folder: URL, label: String) throws {
        guard let binary = WeftBinary.path else {
            throw HarnessError("there is no weft program beside the tests: run `swift build --build-tests`")
        }
        let unique = UUID().uuidString.prefix(8)
        outputURL = folder.appending(path: "\(label)-\(unique).out")
        errorsURL = folder.appending(path: "\(label)-\(unique).err")
        let process = Process()
        process.executableURL = URL(filePath: binary)
        process.arguments = arguments
        process.environment = WeftBinary.environment(home: folder.path)
        process.currentDirectoryURL = folder
        process.standardInput = FileHandle.nullDevice
        for (url, keyPath) in [(outputURL, \Process.standardOutput), (errorsURL, \Process.standardError)] {
            try Data().write(to: url)
            process[keyPath: keyPath] = try FileHandle(forWritingTo: url)
        }
        try process.run()
        processID = process.processIdentifier
        self.arguments = arguments
        self.process = Mutex(process)
        Reaper.shared.add(processID)
    }

    deinit { stop() }

    var isRunning: Bool { process.withLock { $0.isRunning } }
    var output: String { Self.text(outputURL) }
    var errors: String { Self.text(errorsURL) }

    /// Lines of JSON printed so far, one value a line.
    func jsonLines<Value: Decodable>(_: Value.Type) -> [Value] {
        // The last line may still be in the making.
        output.split(separator: "\n").compactMap { try? JSONDecoder().decode(Value.self, from: Data($0.utf8)) }
    }

    /// Sends a signal, if the process still runs.
    func send(_ signal: Int32) {
        process.withLock { process in
            if process.isRunning { kill(process.processIdentifier, signal) }
        }
    }

    /// Waits for the end; kills and throws after `seconds`.
    func wait(seconds: Double) async throws -> Outcome {
        let deadline = ContinuousClock.now.advanced(by: .seconds(seconds))
        while isRunning {
            guard ContinuousClock.now < deadline else {
                stop()
                throw HarnessError(
                    "weft \(arguments.joined(separator: " ")) did not end within \(seconds) s\n\(output)\n\(errors)")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        Reaper.shared.remove(processID)
        let status = process.withLock { process in
            process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
        }
        return Outcome(status: status, output: output, errors: errors)
    }

    /// Ends the process at once and for certain.
    func stop() {
        process.withLock { process in
            guard process.isRunning else { return }
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        Reaper.shared.remove(processID)
    }

    private static func text(_ url: URL) -> String {
        String(decoding: (try? Data(contentsOf: url)) ?? Data(), as: UTF8.self)
    }
}
