import Foundation

/// A plain IPv4 socket on 127.0.0.1 with a receive timeout; the tests' stand-in for somebody else's program.
final class PlainSocket {
    enum Kind { case datagram, stream }

    let descriptor: Int32

    /// Opens a socket; port 0 lets the system choose.
    init(_ kind: Kind, port: UInt16 = 0) throws {
        #if canImport(Glibc)
            let type = kind == .datagram ? Int32(SOCK_DGRAM.rawValue) : Int32(SOCK_STREAM.rawValue)
        #else
            let type = kind == .datagram ? SOCK_DGRAM : SOCK_STREAM
        #endif
        descriptor = socket(AF_INET, type, 0)
        guard descriptor >= 0 else { throw HarnessError("no socket: errno \(errno)") }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        if kind == .datagram || port != 0 {
            guard Self.withAddress(port, { bind(descriptor, $0, $1) }) == 0 else {
                close(descriptor)
                throw HarnessError("port \(port) is taken")
            }
        }
    }

    deinit { close(descriptor) }

    /// The port to which the socket is bound.
    var port: UInt16 {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        return UInt16(bigEndian: address.sin_port)
    }

    func setReceiveTimeout(seconds: Double) {
        var timeout = timeval(tv_sec: Int(seconds), tv_usec: .init((seconds - seconds.rounded(.down)) * 1e6))
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    }

    func connect(toPort port: UInt16) -> Bool {
        Self.withAddress(port) { address, length in
            #if canImport(Glibc)
                Glibc.connect(descriptor, address, length)
            #else
                Darwin.connect(descriptor, address, length)
            #endif
        } == 0
    }

    /// Sends a datagram to a port of this machine.
    func send(_ bytes: [UInt8], toPort port: UInt16) {
        _ = Self.withAddress(port) { Int32(truncatingIfNeeded: sendto(descriptor, bytes, bytes.count, 0, $0, $1)) }
    }

    /// Writes on a connected socket; false if the other side closed it.
    func write(_ bytes: [UInt8]) -> Bool {
        #if canImport(Glibc)
            let flags = Int32(MSG_NOSIGNAL)
        #else
            let flags: Int32 = 0
        #endif
        return bytes.withUnsafeBytes { Foundation.send(descriptor, $0.baseAddress, $0.count, flags) } == bytes.count
    }

    /// Bytes that arrived before the timeout, and the port they came from; `nil` if none did or the other side closed.
    func receive() -> (bytes: [UInt8], port: UInt16)? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let capacity = buffer.count
        let count = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(descriptor, &buffer, capacity, 0, $0, &length)
            }
        }
        guard count > 0 else { return nil }
        return (Array(buffer.prefix(count)), UInt16(bigEndian: address.sin_port))
    }

    private static func withAddress(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_in()
        #if !canImport(Glibc)
            address.sin_len = UInt8(MemoryLayout<sockaddr_in>.size)
        #endif
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr = in_addr(s_addr: in_addr_t(0x7F00_0001).bigEndian)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

/// Ports that are free for UDP and TCP at the moment of asking.
enum Ports {
    static func free() -> UInt16 {
        for _ in 0..<50 {
            guard let datagram = try? PlainSocket(.datagram) else { continue }
            let port = datagram.port
            if (try? PlainSocket(.stream, port: port)) != nil { return port }
        }
        return 0
    }
}
