internal import Foundation

/// Memory that a process can still get without pushing others out.
package enum SystemMemory {
    /// Bytes; on Linux what the kernel calls available, within the control group's limit.
    package static var availableBytes: UInt64 {
        #if os(Linux)
            let free = SystemText.read("/proc/meminfo").flatMap { memoryInfo($0, "MemAvailable") }
            return min(free ?? ProcessInfo.processInfo.physicalMemory / 2, containerLimit ?? .max)
        #else
            // macOS gives no such figure; half of the memory is what a busy desktop leaves.
            return ProcessInfo.processInfo.physicalMemory / 2
        #endif
    }

    /// A figure of /proc/meminfo, which counts in KiB.
    static func memoryInfo(_ text: String, _ key: String) -> UInt64? {
        for line in text.split(separator: "\n") where line.hasPrefix(key + ":") {
            return line.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }.map { $0 * 1024 }
        }
        return nil
    }

    #if os(Linux)
        /// What a control group leaves of its limit (cgroup v2, then v1); `nil` without a limit.
        private static var containerLimit: UInt64? {
            let places = [
                ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
                ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
            ]
            for (limitPath, usagePath) in places {
                if let limit = SystemText.number(limitPath), let usage = SystemText.number(usagePath) {
                    return limit > usage ? limit - usage : 0
                }
            }
            return nil
        }
    #endif
}

/// Small text files of the system.
enum SystemText {
    static func read(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }

    static func line(_ path: String) -> String? {
        read(path)?.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    static func number(_ path: String) -> UInt64? { line(path).flatMap { UInt64($0) } }
}
