internal import NIOCore
internal import Primitives

/// Turns addresses of sockets into ours and back without parsing text for every datagram.
///
/// Belongs to one event loop; bounded, and begun afresh when full.
struct SocketAddressCache {
    private static let capacity = 8192

    private var sockets: [NetworkAddress: SocketAddress] = [:]
    private var addresses: [SocketAddress: NetworkAddress] = [:]

    /// The socket address; `nil` for one that the system does not take.
    mutating func socket(_ address: NetworkAddress) -> SocketAddress? {
        if let known = sockets[address] { return known }
        guard let socket = address.socketAddress else { return nil }
        if sockets.count >= Self.capacity { sockets.removeAll(keepingCapacity: true) }
        sockets[address] = socket
        return socket
    }

    mutating func address(_ socket: SocketAddress) -> NetworkAddress? {
        if let known = addresses[socket] { return known }
        guard let address = NetworkAddress(socket) else { return nil }
        if addresses.count >= Self.capacity { addresses.removeAll(keepingCapacity: true) }
        addresses[socket] = address
        return address
    }
}

extension NetworkAddress {
    /// The address as sockets take it.
    var socketAddress: SocketAddress? {
        let bytes = addressBytes
        return try? SocketAddress(
            packedIPAddress: ByteBuffer(bytes: isIPv4 ? Array(bytes[12...]) : bytes), port: Int(port))
    }
}
