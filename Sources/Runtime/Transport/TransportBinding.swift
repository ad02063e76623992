package import Primitives

/// Gives an endpoint and a hub the same port number.
package enum TransportBinding {
    /// Listens for datagrams and streams at one address; with port 0 the system chooses a port that is free for both.
    package static func bind(
        _ endpoint: UDPEndpoint, _ hub: StreamHub, to address: NetworkAddress
    ) async throws -> NetworkAddress {
        if address.port != 0 {
            _ = try await hub.listen(on: address)
            return try await endpoint.bind(to: address)
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
