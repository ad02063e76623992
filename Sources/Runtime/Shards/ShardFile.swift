#if canImport(Darwin)
    internal import Darwin
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Glibc
#endif

/// An open file read and written at offsets, as pieces of a shard are; closed when the value goes away.
struct ShardFile: ~Copyable {
    private let descriptor: CInt
    private let path: String

    /// Opens a file to read, or makes it to write as well.
    init(path: String, writing: Bool) throws(FileError) {
        let flags = writing ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDONLY | O_CLOEXEC
        descriptor = open(path, flags, mode_t(0o600))
        self.path = path
        guard descriptor >= 0 else { throw FileError("open", path) }
    }

    deinit { close(descriptor) }

    /// Bytes in the file.
    func byteCount() throws(FileError) -> UInt64 {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { throw FileError("look at", path) }
        return UInt64(max(information.st_size, 0))
    }

    /// The bytes from `offset` on, at most `count`; fewer only at the file's end.
    func read(at offset: UInt64, count: Int) throws(FileError) -> [UInt8] {
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            while initialized < count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: raw[initialized...])
                let done = pread(descriptor, rest.baseAddress, rest.count, off_t(offset) + off_t(initialized))
                if done < 0, errno == EINTR { continue }
                failed = failed || done < 0
                if done <= 0 { break }
                initialized += done
            }
        }
        guard !failed else { throw FileError("read", path) }
        return bytes
    }

    /// Writes all of the bytes from `offset` on.
    func write(_ bytes: [UInt8], at offset: UInt64) throws(FileError) {
        var position = 0
        while position < bytes.count {
            let done = bytes.withUnsafeBytes { raw in
                pwrite(
                    descriptor, raw.baseAddress.map { $0 + position }, raw.count - position,
                    off_t(offset) + off_t(position))
            }
            if done < 0, errno == EINTR { continue }
            guard done > 0 else { throw FileError("write", path) }
            position += done
        }
    }

    /// Forces what was written to disk.
    func synchronize() throws(FileError) {
        guard fsync(descriptor) == 0 else { throw FileError("write", path) }
    }

    /// Renames a file or directory.
    static func rename(_ from: String, to: String) throws(FileError) {
        guard systemRename(from, to) == 0 else { throw FileError("replace", to) }
    }

    /// Removes an empty directory if it is there.
    static func removeDirectory(_ path: String) { rmdir(path) }
}

private func systemRename(_ from: String, _ to: String) -> CInt { rename(from, to) }
