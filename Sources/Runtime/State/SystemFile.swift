#if canImport(Darwin)
    internal import Darwin
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Glibc
#endif
package import Primitives

/// Files of the state directory, by the system's own calls: whole files, written so that a crash leaves either the old
/// one or the new one.
package enum SystemFile {
    /// Writes `bytes` to a temporary file beside `path`, forces it to disk and renames it over `path`.
    ///
    /// The permissions hold from the first instant: the temporary file is created with them and with `O_EXCL`.
    package static func replace(_ path: String, with bytes: [UInt8], permissions: UInt16 = 0o600) throws(FileError) {
        var failure: FileError?
        bytes.withUnsafeBytes { buffer in
            do throws(FileError) { try replace(path, with: buffer, permissions: permissions) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// The same for bytes that stay where they are, such as a secret.
    package static func replace(
        _ path: String, with bytes: UnsafeRawBufferPointer, permissions: UInt16 = 0o600
    ) throws(FileError) {
        let temporary = "\(path).\(getpid()).new"
        unlink(temporary)
        let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode_t(permissions))
        guard file >= 0 else { throw FileError("create", temporary) }
        do throws(FileError) {
            defer { close(file) }
            try writeAll(bytes, to: file, path: temporary)
            guard fchmod(file, mode_t(permissions)) == 0 else { throw FileError("set the permissions of", temporary) }
            guard fsync(file) == 0 else { throw FileError("write", temporary) }
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, path) == 0 else {
            let error = FileError("replace", path)
            unlink(temporary)
            throw error
        }
        synchronizeDirectory(of: path)
    }

    /// The whole file, or `nil` if there is none; a file over `maximumBytes` is refused.
    package static func read(_ path: String, maximumBytes: Int) throws(FileError) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw FileError("open", path)
        }
        defer { close(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = chunk.withUnsafeMutableBytes { systemRead(file, $0) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw FileError("read", path) }
            if count == 0 { return bytes }
            guard bytes.count + count <= maximumBytes else {
                throw FileError("read", path, reason: "it has more than \(maximumBytes) bytes")
            }
            bytes.append(contentsOf: chunk[..<count])
        }
    }

    /// Reads a secret of exactly `count` bytes into guarded memory, or `nil` if there is no such file. A file that
    /// others may read is refused, as ssh does: its secret is no longer one.
    package static func readSecret(_ path: String, count: Int) throws(FileError) -> SecretBytes? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw FileError("open", path)
        }
        defer { close(file) }
        var information = stat()
        guard fstat(file, &information) == 0 else { throw FileError("look at", path) }
        guard information.st_mode & 0o077 == 0 else {
            throw FileError("use", path, reason: "other users can read it; `chmod 600` it if nobody did")
        }
        guard information.st_size == count else {
            throw FileError("use", path, reason: "it has \(information.st_size) bytes instead of \(count)")
        }
        var complete = false
        let secret = SecretBytes(count: count) { buffer in
            var position = 0
            while position < count {
                let read = systemRead(file, UnsafeMutableRawBufferPointer(rebasing: buffer[position...]))
                if read < 0, errno == EINTR { continue }
                if read <= 0 { break }
                position += read
            }
            complete = position == count
        }
        guard complete else { throw FileError("read", path) }
        return secret
    }

    /// Makes a directory and those above it; a directory that is made is closed to others.
    package static func makeDirectory(_ path: String) throws(FileError) {
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw FileError("make the directory", path)
        }
        try makeDirectory(String(path[..<slash]))
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw FileError("make the directory", path) }
    }

    /// Whether something is there.
    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Removes a file if it is there.
    package static func remove(_ path: String) { unlink(path) }

    /// Closes a file or directory to everyone but its owner.
    package static func closeToOthers(_ path: String, directory: Bool) throws(FileError) {
        guard chmod(path, directory ? 0o700 : 0o600) == 0 else { throw FileError("set the permissions of", path) }
    }

    private static func writeAll(
        _ bytes: UnsafeRawBufferPointer, to file: CInt, path: String
    ) throws(FileError) {
        var rest = bytes
        while !rest.isEmpty {
            let count = write(file, rest.baseAddress, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw FileError("write", path) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Makes the rename itself durable. A file system that cannot do this still has the file.
    private static func synchronizeDirectory(of path: String) {
        guard let slash = path.lastIndex(of: "/") else { return }
        let directory = open(String(path[..<slash]), O_RDONLY | O_CLOEXEC)
        guard directory >= 0 else { return }
        fsync(directory)
        close(directory)
    }
}

private func systemRead(_ file: CInt, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
    read(file, buffer.baseAddress, buffer.count)
}

/// A file operation that the system refused.
package struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was tried: "create", "read".
    package let operation: String
    package let path: String
    /// What the system said.
    package let reason: String

    package init(_ operation: String, _ path: String, reason: String) {
        self.operation = operation
        self.path = path
        self.reason = reason
    }

    /// Takes the reason from `errno`.
    init(_ operation: String, _ path: String) {
        self.init(operation, path, reason: String(cString: strerror(errno)))
    }

    package var description: String { "cannot \(operation) \(path): \(reason)" }
}
