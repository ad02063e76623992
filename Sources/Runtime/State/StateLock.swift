#if canImport(Darwin)
    internal import Darwin
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Glibc
#endif

/// An advisory lock (flock) on the state directory: released when the value goes away and also when the process dies,
/// so it never goes stale.
package final class StateLock: Sendable {
    private let file: CInt

    /// `nil` if another process holds it.
    init?(path: String) throws(FileError) {
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw FileError("open", path) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let error = FileError("lock", path)
            let taken = errno == EWOULDBLOCK
            close(file)
            if taken { return nil }
            throw error
        }
        self.file = file
    }

    deinit { close(file) }
}
