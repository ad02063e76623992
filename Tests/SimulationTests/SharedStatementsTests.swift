import Overlay
import Primitives
import Simulation
import Testing
import Wire

@Suite("Statements that a simulation's peers share")
struct SharedStatementsTests {
    private static func contact(_ number: Int) throws -> Contact {
        let bytes = Digest.sha256(Array("peer \(number)".utf8)).bytes
        return Contact(
            peer: try #require(PeerID(bytes: bytes)), agreementKey: try #require(AgreementPublicKey(bytes: bytes)),
            addresses: [])
    }

    private static func record(_ number: Int, incarnation: UInt64) throws -> PeerRecord {
        let contact = try contact(number)
        return PeerRecord(contact: contact, incarnation: incarnation, signer: .simulated(contact.peer))
    }

    private static func entry(_ number: Int, _ key: EntryKey, version: UInt64, _ value: [UInt8]) throws -> SignedEntry {
        SignedEntry(key: key, version: version, value: value, signer: .simulated(try contact(number).peer))
    }

    private func key(_ index: Int) -> EntryKey { EntryKey(kind: 0x80, index: UInt8(index)) }

    /// An entry whose signature belongs to another value.
    private func forged(_ entry: SignedEntry) -> SignedEntry {
        var bytes = entry.wireBytes
        bytes[bytes.count - 65] ^= 1  // the last byte of the value
        return (try? SignedEntry(wireBytes: bytes)) ?? entry
    }

    @Test("No store can tell whether it shares: the same offers get the same verdicts and the same digest")
    func transparency() throws {
        for seed in UInt64(1)...10 {
            let pool = SharedStatements()
            var stores = [
                EntryStore(seed: seed), EntryStore(seed: seed, pool: pool), EntryStore(seed: seed, pool: pool),
            ]
            for store in stores.indices { for owner in 1...4 { stores[store].revive(try Self.contact(owner).peer) } }
            var generator = SeededGenerator(seed: seed)
            for step in 0..<400 {
                let (owner, index) = (1 + generator.index(below: 5), generator.index(below: 5))
                let version = UInt64(1 + generator.index(below: 4))
                let value = [UInt8](repeating: UInt8(generator.index(below: 3)), count: 1 + generator.index(below: 20))
                let honest = try Self.entry(owner, key(index), version: version, value)
                let entry = generator.index(below: 4) == 0 ? forged(honest) : honest
                let signer = Signer.simulated(try Self.contact(0).peer)
                let verdicts = stores.indices.map { stores[$0].offer(entry, signer: signer) }
                #expect(Set(verdicts.map { "\($0)" }).count == 1, "seed \(seed), step \(step): \(verdicts)")
            }
            #expect(Set(stores.map(\.snapshotDigest)).count == 1, "seed \(seed)")
            #expect(stores[0].snapshot.entries.count > 10, "seed \(seed): the test stores something")
            for owner in try (1...4).map({ try Self.contact($0).peer }) {
                for index in 0..<5 {
                    let (left, right) = (stores[1].kept(of: owner, key(index)), stores[2].kept(of: owner, key(index)))
                    #expect(left === right, "seed \(seed): one copy for both")
                }
            }
        }
    }

    @Test("A forgery with the signature of a pooled entry is not taken for it")
    func forgery() throws {
        let pool = SharedStatements()
        let entry = try Self.entry(1, key(0), version: 1, [7, 7, 7])
        pool.add(KeptEntry(entry, withMessage: true))
        #expect(pool.entry(equalTo: entry) != nil)
        #expect(pool.entry(equalTo: forged(entry)) == nil)
        let record = try Self.record(1, incarnation: 5)
        pool.add(KeptRecord(record, withMessage: true))
        #expect(pool.record(equalTo: record) != nil)
        #expect(try pool.record(equalTo: Self.record(1, incarnation: 6)) == nil)
    }

    @Test("What nobody holds any more leaves the pool, and what somebody holds stays")
    func tidying() throws {
        let pool = SharedStatements()
        let held = KeptRecord(try Self.record(1, incarnation: 1), withMessage: false)
        pool.add(held)
        for incarnation in UInt64(2)...5000 {
            pool.add(KeptRecord(try Self.record(1, incarnation: incarnation), withMessage: false))
        }
        #expect(pool.record(equalTo: held.record) === held)
        #expect(try pool.record(equalTo: Self.record(1, incarnation: 2)) == nil, "nobody holds it")
        #expect(try pool.record(equalTo: Self.record(1, incarnation: 5000)) != nil, "there is room")
    }
}
