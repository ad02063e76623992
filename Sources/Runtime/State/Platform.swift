#if canImport(Darwin)
    internal import Darwin
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Glibc
#endif

/// What differs between systems and is too small for a place of its own.
package enum Platform {
    /// This process's number.
    package static var processID: Int32 { getpid() }

    /// Whether a descriptor is a terminal.
    package static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// Columns of a terminal, or `nil` if it is none or does not say.
    package static func terminalColumns(_ descriptor: Int32) -> Int? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// Bytes of a Unix domain socket's path that fit into its address with the zero byte.
    package static var maximumSocketPathBytes: Int { MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1 }

    /// Whether an error number means a want of rights.
    package static func isPermissionError(_ code: Int32) -> Bool { code == EACCES || code == EPERM }

    /// Lets a write to a closed pipe or socket fail instead of ending the process.
    package static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

    /// Lowers the calling thread's priority; its work is wanted, but not at once.
    package static func yieldToOthers() {
        #if os(Linux)
            // Linux gives every thread its own nice value, and 0 means the caller; elsewhere this is the whole process's.
            _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
        #endif
    }

    /// Hands on what was printed, also where output is a file or a pipe and would be held back.
    package static func flushOutput() { fflush(nil) }

    /// Both ends of a pipe that no child inherits by accident: it must be handed over as a standard descriptor.
    package static func privatePipe() throws(FileError) -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw FileError("make", "a pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// Blocks until standard input ends, which it does when the process at the pipe's other end is gone.
    package static func waitForEndOfInput() {
        var byte: UInt8 = 0
        while true {
            let count = read(0, &byte, 1)
            if count == 0 || (count < 0 && errno != EINTR) { return }
        }
    }

    /// Asks this process to end as a person would (SIGTERM), and ends it if it has not after the patience.
    package static func terminateSelf(patienceSeconds: UInt32) -> Never {
        kill(getpid(), SIGTERM)
        sleep(patienceSeconds)
        _exit(1)
    }

    /// Whether there is a process of this number, anybody's.
    package static func isRunning(_ process: Int32) -> Bool { kill(process, 0) == 0 || errno == EPERM }

    /// Asks another process to end.
    package static func terminate(_ process: Int32) { kill(process, SIGTERM) }

    /// Ends another process that did not listen.
    package static func destroy(_ process: Int32) { kill(process, SIGKILL) }
}
