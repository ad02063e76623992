import Overlay
import Primitives
import Wire

/// Peers for tests: identities from numbers and signatures that cost one hash. Whoever has not got the number's "key" can
/// still not sign for it by accident, which is all that these tests need.
enum Fixtures {
    static func peer(_ number: Int) -> PeerID {
        guard let peer = PeerID(bytes: Digest.sha256(Array("peer \(number)".utf8)).bytes) else {
            preconditionFailure("a digest has as many bytes as an identity")
        }
        return peer
    }

    static func contact(_ number: Int) -> Contact {
        guard let key = AgreementPublicKey(bytes: Digest.sha256(Array("agreement \(number)".utf8)).bytes) else {
            preconditionFailure("a digest has as many bytes as an agreement key")
        }
        let address = NetworkAddress(ipv4: (10, 0, UInt8(number >> 8 & 255), UInt8(number & 255)), port: 7600)
        return Contact(peer: peer(number), agreementKey: key, addresses: [address])
    }

    static func signer(_ number: Int) -> Signer {
        let own = peer(number)
        return Signer(
            peer: own, sign: { signature(of: own, $0, $1) },
            verify: { peer, signature, message, context in signature == Fixtures.signature(of: peer, message, context) }
        )
    }

    static func record(_ number: Int, incarnation: UInt64) -> PeerRecord {
        PeerRecord(contact: contact(number), incarnation: incarnation, signer: signer(number))
    }

    /// A record that claims to be of one peer, but was signed by another.
    static func forgedRecord(_ number: Int, incarnation: UInt64) -> PeerRecord {
        PeerRecord(contact: contact(number), incarnation: incarnation, signer: signer(number + 1_000_000))
    }

    static func entry(_ number: Int, _ key: EntryKey, version: UInt64, _ value: [UInt8]) -> SignedEntry {
        SignedEntry(key: key, version: version, value: value, signer: signer(number))
    }

    private static func signature(of peer: PeerID, _ message: [UInt8], _ context: String) -> [UInt8] {
        let first = Digest.sha256(peer.bytes + Array(context.utf8) + [0] + message).bytes
        return first + Digest.sha256(first).bytes
    }
}

extension Instant {
    static func seconds(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }
}
