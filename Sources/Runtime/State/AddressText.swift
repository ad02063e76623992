package import NIOCore
package import Primitives

/// Addresses as people write them.
package enum AddressText {
    /// Reads HOST:PORT, [IPv6]:PORT, HOST or :PORT, where HOST may be a name that the system resolves.
    ///
    /// Blocks while a name is looked up.
    package static func resolve(_ text: String, defaultPort: UInt16) throws(AddressError) -> NetworkAddress {
        if let literal = NetworkAddress(text) { return literal }
        if let withPort = NetworkAddress("\(text):\(defaultPort)") { return withPort }
        if let bare = NetworkAddress("[\(text)]:\(defaultPort)") { return bare }
        var host = text[...]
        var port = defaultPort
        if let colon = text.lastIndex(of: ":") {
            guard let given = UInt16(text[text.index(after: colon)...]) else { throw AddressError(text: text) }
            host = text[..<colon]
            port = given
        }
        if host.isEmpty { return NetworkAddress(ipv4: (0, 0, 0, 0), port: port) }
        guard let found = try? SocketAddress.makeAddressResolvingHost(String(host), port: Int(port)),
            let address = NetworkAddress(found)
        else { throw AddressError(text: text) }
        return address
    }
}

/// Text that is no address.
package struct AddressError: Error, Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package var description: String {
        "\"\(text)\" is no address: write HOST:PORT, such as 192.0.2.1:7600, [2001:db8::1]:7600 or example.org:7600"
    }
}

extension NetworkAddress {
    /// The address of a socket; `nil` for a Unix domain socket.
    package init?(_ address: SocketAddress) {
        guard let host = address.ipAddress, let port = address.port else { return nil }
        let plain = host.prefix { $0 != "%" }  // an interface index means nothing to others
        self.init(plain.contains(":") ? "[\(plain)]:\(port)" : "\(plain):\(port)")
    }
}

/// Addresses of this machine's interfaces.
package enum InterfaceAddresses {
    /// Those by which others may reach this machine: IPv4 first, no link-local ones; loopback only if there is no other.
    package static func reachable(port: UInt16) -> [NetworkAddress] {
        let devices = (try? System.enumerateDevices()) ?? []
        var found: [NetworkAddress] = []
        for device in devices {
            guard let socket = device.address, let address = NetworkAddress(socket)?.withPort(port),
                !address.isLoopback, !address.isUnspecified, !address.isLinkLocal, !found.contains(address)
            else { continue }
            found.append(address)
        }
        let loopback = NetworkAddress(ipv4: (127, 0, 0, 1), port: port)
        return found.isEmpty ? [loopback] : found.filter(\.isIPv4).sorted() + found.filter { !$0.isIPv4 }.sorted()
    }
}

extension NetworkAddress {
    /// 169.254.0.0/16 and fe80::/10: meaningless without an interface.
    fileprivate var isLinkLocal: Bool {
        let bytes = addressBytes
        return isIPv4 ? bytes[12] == 169 && bytes[13] == 254 : bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80
    }
}
