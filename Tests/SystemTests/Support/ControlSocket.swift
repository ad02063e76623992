import Foundation

/// The smallest client of a node's local API: one GET over its Unix socket. Independent of the product's own client, so
/// that a change which only the two of them understand is noticed.
struct ControlSocket: Sendable {
    let path: String

    /// Fetches and decodes JSON.
    func get<Value: Decodable & Sendable>(_ resource: String, as _: Value.Type = Value.self) async throws -> Value {
        let body = try await text(resource)
        return try JSONDecoder().decode(Value.self, from: Data(body.utf8))
    }

    /// Fetches a resource as text.
    func text(_ resource: String) async throws -> String {
        let path = path
        return try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try Self.fetch(resource, from: path) })
            }
        }
    }

    private static func fetch(_ resource: String, from path: String) throws -> String {
        #if canImport(Glibc)
            let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
        #endif
        guard descriptor >= 0 else { throw HarnessError("no socket: errno \(errno)") }
        defer { close(descriptor) }
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw HarnessError("the path of the socket is too long: \(path)")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else { throw HarnessError("nothing listens on \(path)") }
        let request = Array("GET \(resource) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8)
        guard write(descriptor, request, request.count) == request.count else {
            throw HarnessError("\(path) closed early")
        }
        var response: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count <= 0 { break }
            response += buffer.prefix(count)
        }
        return try body(of: response, resource)
    }

    /// The body of a complete response, with its chunks put together.
    private static func body(of response: [UInt8], _ resource: String) throws -> String {
        let text = String(decoding: response, as: UTF8.self)
        guard let gap = text.range(of: "\r\n\r\n") else { throw HarnessError("\(resource): no whole answer") }
        let head = text[..<gap.lowerBound]
        guard head.hasPrefix("HTTP/1.1 200") else {
            throw HarnessError("\(resource): \(head.prefix(40)) \(text[gap.upperBound...])")
        }
        guard head.lowercased().contains("transfer-encoding: chunked") else { return String(text[gap.upperBound...]) }
        var body: [UInt8] = []
        var rest = Array(text[gap.upperBound...].utf8)[...]
        while let end = rest.firstIndex(of: 0x0A) {
            let line = String(decoding: rest[rest.startIndex..<end], as: UTF8.self)
            let size = Int(line.trimmingCharacters(in: .whitespacesAndNewlines), radix: 16) ?? 0
            guard size > 0, rest.count >= end - rest.startIndex + 1 + size else { break }
            body += rest[(end + 1)..<(end + 1 + size)]
            rest = rest[min(rest.endIndex, end + 1 + size + 2)...]
        }
        return String(decoding: body, as: UTF8.self)
    }
}
