#if canImport(Darwin)
    internal import Darwin
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Glibc
#endif
internal import NIOCore
package import Primitives

/// Gives an endpoint and a hub the same port number.
package enum TransportBinding {
    /// Listens for datagrams and streams at one address; with port 0 the system chooses a port that is free for both.
    package static func bind(
        _ endpoint: UDPEndpoint, _ hub: StreamHub, to address: NetworkAddress
    ) async throws -> NetworkAddress {
        if address.port != 0 {
            do {
                _ = try await hub.listen(on: address)
                return try await endpoint.bind(to: address)
            } catch let error as IOError { throw ListenError(address: address, code: error.errnoCode) }
        }
        // The system gives a TCP port of which the UDP twin may be taken: then another.
        var attempt = 0
        while true {
            let bound = try await hub.listen(on: address)
            do { return try await endpoint.bind(to: bound) } catch {
                attempt += 1
                if attempt == 8 { throw error }
                await hub.stopListening()
            }
        }
    }
}

/// Why the system refuses an address to listen on, in a sentence that says what to do.
package struct ListenError: Error, Hashable, Sendable, CustomStringConvertible {
    package let address: NetworkAddress
    /// The system's `errno`.
    package let code: Int32

    package var description: String {
        switch code {
        case EADDRINUSE:
            "another process listens on \(address) already: stop it, or give another port with --listen HOST:PORT"
        case EADDRNOTAVAIL:
            "\(address) is not an address of this machine: give one that is with --listen, or 0.0.0.0 for all of them"
        case EACCES:
            "this user may not listen on \(address): give a port above 1023 with --listen HOST:PORT"
        default: "cannot listen on \(address) (errno \(code))"
        }
    }
}
