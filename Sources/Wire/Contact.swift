package import Primitives

/// What is needed to open a session with a peer: who it is, its X25519 key, and where it may be.
package struct Contact: Hashable, WireCodable {
    package var peer: PeerID
    package var agreementKey: AgreementPublicKey
    /// Addresses in order of preference; at most `Limits.addressesPerRecord`.
    package var addresses: [NetworkAddress]

    package init(peer: PeerID, agreementKey: AgreementPublicKey, addresses: [NetworkAddress]) {
        self.peer = peer
        self.agreementKey = agreementKey
        self.addresses = addresses
    }

    package func encode(to writer: inout WireWriter) {
        writer.write(peer)
        writer.write(agreementKey)
        writer.write(addresses)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        peer = try reader.readPeer()
        agreementKey = try reader.readAgreementKey()
        addresses = try reader.readArray(of: NetworkAddress.self, maximum: Limits.addressesPerRecord)
    }
}

extension NetworkAddress: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.writeRaw(addressBytes)
        writer.write(port)
    }

    package init(from reader: inout WireReader) throws(WireError) { self = try reader.readAddress() }
}
