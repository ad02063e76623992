import Foundation

/// Kills what the tests started if the test process itself ends without doing so, even by SIGKILL.
///
/// A shell reads process numbers from a pipe whose other end only the tests hold; when the pipe closes, it kills all of
/// them that were not taken back.
final class Reaper: Sendable {
    static let shared = Reaper()

    private let input: FileHandle?

    private init() {
        let script = """
            pids=" "
            while read -r verb pid; do
                case $verb in
                    add) pids="$pids$pid " ;;
                    remove)
                        rest=" "
                        for other in $pids; do [ "$other" = "$pid" ] || rest="$rest$other "; done
                        pids=$rest ;;
                esac
            done
            for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
            """
        let shell = Process()
        shell.executableURL = URL(filePath: "/bin/sh")
        shell.arguments = ["-c", script]
        let pipe = Pipe()
        // The nodes must not inherit the end that keeps the pipe open.
        _ = fcntl(pipe.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        shell.standardInput = pipe
        shell.standardOutput = FileHandle.nullDevice
        shell.standardError = FileHandle.nullDevice
        do {
            try shell.run()
            input = pipe.fileHandleForWriting
        } catch { input = nil }
    }

    func add(_ process: Int32) { write("add \(process)\n") }

    func remove(_ process: Int32) { write("remove \(process)\n") }

    private func write(_ line: String) { try? input?.write(contentsOf: Data(line.utf8)) }
}
