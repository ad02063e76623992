import Primitives
import Testing
import Wire

/// The peer of NETWORK.md's examples.
enum Fixture {
    static func signer() throws -> Signer {
        // `#require` cannot hold a move-only key.
        guard let key = IdentityKey(seed: SecretBytes(copying: Array(0..<32))) else { throw UnusableKey() }
        return Signer(key)
    }

    static func contact() throws -> Contact {
        guard let agreement = AgreementKey(secret: SecretBytes(copying: Array(32..<64))) else { throw UnusableKey() }
        return Contact(
            peer: try signer().peer, agreementKey: agreement.publicKey,
            addresses: [
                try #require(NetworkAddress("192.0.2.1:7600")), try #require(NetworkAddress("[2001:db8::1]:7601")),
            ])
    }

    static func ticket() throws -> Ticket {
        try Ticket(swarmName: "weavers", secret: SecretBytes(copying: Array(64..<96)), contacts: [contact()])
    }

    struct UnusableKey: Error {}
}
