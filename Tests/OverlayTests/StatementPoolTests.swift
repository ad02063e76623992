import Overlay
import Primitives
import Testing
import Wire

@Suite("The pool of statements that nodes of one process share")
struct StatementPoolTests {
    private func key(_ index: Int) -> EntryKey { EntryKey(kind: 0x80, index: UInt8(index)) }

    /// An entry whose signature belongs to another value.
    private func forged(_ entry: SignedEntry) -> SignedEntry {
        var bytes = entry.wireBytes
        bytes[bytes.count - 65] ^= 1  // the last byte of the value
        return (try? SignedEntry(wireBytes: bytes)) ?? entry
    }

    @Test("No store can tell whether it shares: the same offers get the same verdicts and the same digest")
    func transparency() {
        for seed in UInt64(1)...10 {
            let pool = StatementPool()
            var stores = [EntryStore(seed: seed), EntryStore(seed: seed, pool: pool), EntryStore(seed: seed, pool: pool)]
            for store in stores.indices { for owner in 1...4 { stores[store].revive(Fixtures.peer(owner)) } }
            var generator = SeededGenerator(seed: seed)
            for step in 0..<400 {
                let (owner, index) = (1 + generator.index(below: 5), generator.index(below: 5))
                let version = UInt64(1 + generator.index(below: 4))
                let value = [UInt8](repeating: UInt8(generator.index(below: 3)), count: 1 + generator.index(below: 20))
                let honest = Fixtures.entry(owner, key(index), version: version, value)
                let entry = generator.index(below: 4) == 0 ? forged(honest) : honest
                let verdicts = stores.indices.map { stores[$0].offer(entry, signer: Fixtures.signer(0)) }
                #expect(Set(verdicts.map { "\($0)" }).count == 1, "seed \(seed), step \(step): \(verdicts)")
            }
            #expect(Set(stores.map(\.snapshotDigest)).count == 1, "seed \(seed)")
            #expect(stores[0].snapshot.entries.count > 10, "seed \(seed): the test stores something")
            for owner in 1...4 {
                for index in 0..<5 where stores[1].kept(of: Fixtures.peer(owner), key(index)) != nil {
                    let (first, second) = (1, 2)
                    let kept = stores[first].kept(of: Fixtures.peer(owner), key(index))
                    #expect(kept === stores[second].kept(of: Fixtures.peer(owner), key(index)), "one copy for both")
                }
            }
        }
    }

    @Test("A forgery with the signature of a pooled entry is not taken for it")
    func forgery() {
        let pool = StatementPool()
        let entry = Fixtures.entry(1, key(0), version: 1, [7, 7, 7])
        pool.add(KeptEntry(entry, withMessage: true))
        #expect(pool.entry(equalTo: entry) != nil)
        #expect(pool.entry(equalTo: forged(entry)) == nil)
        let record = Fixtures.record(1, incarnation: 5)
        pool.add(KeptRecord(record, withMessage: true))
        #expect(pool.record(equalTo: record) != nil)
        #expect(pool.record(equalTo: Fixtures.record(1, incarnation: 6)) == nil)
    }

    @Test("What nobody holds any more leaves the pool, and what somebody holds stays")
    func tidying() {
        let pool = StatementPool()
        let held = KeptRecord(Fixtures.record(1, incarnation: 1), withMessage: false)
        pool.add(held)
        for incarnation in UInt64(2)...5000 {
            pool.add(KeptRecord(Fixtures.record(1, incarnation: incarnation), withMessage: false))
        }
        #expect(pool.record(equalTo: held.record) === held)
        #expect(pool.record(equalTo: Fixtures.record(1, incarnation: 2)) == nil, "nobody holds it")
        #expect(pool.record(equalTo: Fixtures.record(1, incarnation: 5000)) != nil, "there is room")
    }
}
