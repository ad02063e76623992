internal import NIOCore
internal import Primitives

/// Turns addresses of sockets into ours and back without parsing text for every datagram.
///
/// Belongs to one event loop; bounded, and begun afresh when full.
struct SocketAddressCache {
    private static let capacity = 8192

    /// Whether the port is an IPv6 one, which reaches IPv4 addresses in their mapped form; an IPv4 port reaches only
    /// its like.
    var sendsFromIPv6 = false {
        didSet { if sendsFromIPv6 != oldValue { sockets.removeAll() } }
    }

    private var sockets: [NetworkAddress: SocketAddress] = [:]
    private var addresses: [SocketAddress: NetworkAddress] = [:]

    /// The socket address; `nil` for one that the port cannot send to.
    mutating func socket(_ address: NetworkAddress) -> SocketAddress? {
        if let known = sockets[address] { return known }
        guard sendsFromIPv6 || address.isIPv4 else { return nil }
        let made =
            sendsFromIPv6
            ? try? SocketAddress(packedIPAddress: ByteBuffer(bytes: address.addressBytes), port: Int(address.port))
            : address.socketAddress
        guard let socket = made else { return nil }
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
