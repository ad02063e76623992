import Overlay
import Primitives
import TestSupport
import Testing
import Wire

@Suite("The worked examples of the network document")
struct NetworkExampleTests {
    /// The peer of the examples: its secret seed is the bytes 0 to 31, so that anybody can check the signatures.
    static let signer: Signer = {
        guard let key = IdentityKey(seed: SecretBytes(copying: (0..<32).map { UInt8($0) })) else {
            preconditionFailure("32 bytes make a seed")
        }
        return Signer(key)
    }()

    static let record: PeerRecord = {
        guard let key = AgreementPublicKey(bytes: [UInt8](repeating: 0xAA, count: 32)) else {
            preconditionFailure("32 bytes make a key")
        }
        let contact = Contact(
            peer: signer.peer, agreementKey: key,
            addresses: [NetworkAddress(ipv4: (192, 0, 2, 1), port: 7600)])
        return PeerRecord(contact: contact, incarnation: 1_000, signer: signer)
    }()

    static func peer(_ byte: UInt8) -> PeerID {
        PeerID(bytes: [UInt8](repeating: byte, count: 32)) ?? signer.peer
    }

    static var examples: [(name: String, bytes: [UInt8])] {
        let accusation = Accusation(peer: signer.peer, incarnation: 1_000, accuser: peer(0xBB))
        let buckets = BucketDigests(buckets: (0..<64).map { $0 == 1 ? 0x1122_3344 : 0 })
        let items = ItemDigests(
            mask: .max, range: 0...UInt64.max,
            items: [ItemDigests.Item(prefix: signer.peer.prefix, hash: 0x1122_3344)])
        let membership: [(String, MembershipMessage)] = [
            ("ping", .ping(sequence: 1, viewDigest: 0x0102_0304_0506_0708)),
            ("ack", .ack(sequence: 1, viewDigest: 0x0102_0304_0506_0708)),
            ("ping-request", .pingRequest(sequence: 1, target: peer(0xBB), timeoutMilliseconds: 400)),
            ("relayed-ack", .relayedAck(sequence: 1)),
            ("nack", .nack(sequence: 1)),
            ("alive", .alive(record)),
            ("suspect", .suspect(accusation)),
            ("dead", .dead(accusation)),
            ("left", .left(Farewell(incarnation: 1_000, signer: signer))),
            ("join", .join(record)),
            ("state-request", .stateRequest(after: peer(0xBB), pages: 16)),
            ("state-page", .statePage([record], through: nil)),
            ("view-buckets", .viewBuckets(buckets)),
            ("view-items", .viewItems(items)),
            ("view-request", .viewRequest(prefixes: [signer.peer.prefix])),
        ]
        let capability = Capability(
            name: "attic", cores: 8, memoryBytes: 8 << 30, flopsPerSecond: 1e11, diskFreeBytes: 100 << 30,
            software: "0.1.0")
        let entry = SignedEntry(key: .capability, version: 1_001, value: [0x77, 0x65, 0x66, 0x74], signer: signer)
        let page = AdmissionPage(statements: [
            AdmissionStatement(peer: peer(0xBB), isAdmitted: true),
            AdmissionStatement(peer: peer(0xCC), isAdmitted: false),
        ])
        let admission: [(String, AdmissionMessage)] = [
            (
                "admission",
                .page(
                    SignedEntry(key: .admission(page: 0), version: 1_001, value: page.wireBytes, signer: signer))
            ),
            ("admission-versions", .versions([1_001, 0])),
        ]
        let gossip: [(String, GossipMessage)] = [
            ("root", .root(0x0102_0304_0506_0708)),
            ("entry", .entry(entry)),
            ("buckets", .buckets(buckets)),
            ("owners", .owners(items)),
            ("versions", .versions(owner: signer.peer, [EntryVersion(key: .capability, version: 1_001)])),
            ("request", .request(owner: signer.peer, [.capability, .links(page: 1)])),
        ]
        return membership.map { ("overlay/" + $0.0, $0.1.datagramBytes) }
            + gossip.map { ("overlay/" + $0.0, $0.1.datagramBytes) }
            + admission.map { ("overlay/" + $0.0, $0.1.datagramBytes) }
            + [
                ("overlay/capability", capability.wireBytes), ("overlay/admission-page", page.wireBytes),
                (
                    "overlay/observed",
                    AddressMessage.observed(NetworkAddress(ipv4: (203, 0, 113, 5), port: 7601)).datagramBytes
                ),
            ]
    }

    @Test("Every message is written as the document shows")
    func documented() {
        for (name, bytes) in Self.examples {
            #expect(NetworkExamples.bytes(name) == bytes, "EXAMPLE \(name) \(bytes.hex)")
        }
    }

    @Test("The signatures in the examples are real")
    func authentic() {
        #expect(Self.record.isAuthentic(Self.signer))
        #expect(Farewell(incarnation: 1_000, signer: Self.signer).isAuthentic(Self.signer))
    }
}
