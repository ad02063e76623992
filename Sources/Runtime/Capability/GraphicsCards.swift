internal import Foundation

/// GPUs, where the vendor's tool is installed and reports them.
enum GraphicsCards {
    static func names() -> [String] {
        let places = ["/usr/bin/nvidia-smi", "/usr/local/bin/nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi"]
        guard let tool = places.first(where: { FileManager.default.isExecutableFile(atPath: $0) }),
            let text = CommandText.run(tool, ["--query-gpu=name,memory.total", "--format=csv,noheader"])
        else { return [] }
        return parse(text)
    }

    /// "NVIDIA L4, 23034 MiB" a line.
    static func parse(_ text: String) -> [String] {
        text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }
}

/// The output of a short command.
enum CommandText {
    /// `nil` if it cannot be started, fails, or takes longer than the patience.
    static func run(_ path: String, _ arguments: [String], patienceSeconds: Double = 3) -> String? {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return nil }
        let watchdog = DispatchWorkItem { process.terminate() }
        DispatchQueue.global().asyncAfter(deadline: .now() + patienceSeconds, execute: watchdog)
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        watchdog.cancel()
        return process.terminationStatus == 0 ? String(decoding: data, as: UTF8.self) : nil
    }
}
