import Overlay
import Primitives
import Testing
import Wire

@Suite("Gossip: what is stored, what is refused, what is repaired")
struct GossipTests {
    private let key = EntryKey(kind: 0x80)

    @Test("Forged, stale, repeated and strangers' entries are refused and counted, each under its reason")
    func refusals() {
        var harness = GossipHarness(0, live: [0, 1, 2])
        harness.receive(.entry(Fixtures.entry(1, key, version: 5, [1])), from: 2)
        #expect(harness.value(1, key) == [1])
        #expect(harness.events == [.entryUpdated(owner: Fixtures.peer(1), key)])

        harness.receive(.entry(tampered(Fixtures.entry(1, key, version: 6, [2]))), from: 2)
        harness.receive(.entry(Fixtures.entry(1, key, version: 4, [9])), from: 2)
        harness.receive(.entry(Fixtures.entry(1, key, version: 5, [1])), from: 2)
        harness.receive(.entry(Fixtures.entry(9, key, version: 1, [1])), from: 2)
        #expect(harness.value(1, key) == [1] && harness.value(9, key) == nil)
        let counters = harness.core.counters
        #expect(counters[.forged] == 1 && counters[.stale] == 1)
        #expect(counters[.duplicate] == 1 && counters[.unknownOwner] == 1)

        harness.receive(.entry(Fixtures.entry(1, key, version: 6, [2])), from: 2)
        #expect(harness.value(1, key) == [2])
    }

    private func tampered(_ entry: SignedEntry) -> SignedEntry {
        var bytes = entry.wireBytes
        bytes[bytes.count - 65] ^= 1  // the last byte of the value
        return (try? SignedEntry(wireBytes: bytes)) ?? entry
    }

    @Test("An owner may not have more entries than the limit")
    func entriesPerOwner() {
        var harness = GossipHarness(0, live: [0, 1])
        for index in 0..<UInt8(Limits.entriesPerOwner + 3) {
            let entry = Fixtures.entry(1, EntryKey(kind: 0x80, index: index), version: 1, [1])
            harness.receive(.entry(entry), from: 1)
        }
        #expect(harness.core.counters[.overLimit] == 3)
        #expect(harness.core.store.snapshot.entries.count == Limits.entriesPerOwner)
        harness.receive(.entry(Fixtures.entry(1, EntryKey(kind: 0x80, index: 0), version: 2, [2])), from: 1)
        #expect(harness.value(1, EntryKey(kind: 0x80, index: 0)) == [2], "what is there may still be renewed")
    }

    @Test("Two values for one version: everybody keeps the same one, whatever came first, and the owner is named")
    func equivocation() {
        let values: [[UInt8]] = [[1], [2], [3]]
        var results: Set<[UInt8]> = []
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            var harness = GossipHarness(0, live: [0, 1])
            var named = false
            for index in order {
                harness.receive(.entry(Fixtures.entry(1, key, version: 5, values[index])), from: 1)
                named = named || harness.events.contains(.equivocation(owner: Fixtures.peer(1), key))
            }
            #expect(named && harness.core.counters[.equivocation] == 2)
            results.insert(harness.value(1, key) ?? [])
        }
        #expect(results.count == 1, "the outcome must not depend on the order")
    }

    @Test("Equivocation between two peers is found and settled by comparing")
    func equivocationReconciled() {
        var left = GossipHarness(0, live: [0, 1, 2])
        var right = GossipHarness(1, live: [0, 1, 2])
        left.receive(.entry(Fixtures.entry(2, key, version: 5, [1])), from: 2)
        right.receive(.entry(Fixtures.entry(2, key, version: 5, [2])), from: 2)
        settle(&left, &right)
        #expect(left.core.store.snapshotDigest == right.core.store.snapshotDigest)
        #expect(left.core.counters[.equivocation] + right.core.counters[.equivocation] > 0)
    }

    @Test("Own values are versioned upwards, equal ones not signed again, and too large ones refused")
    func publishing() {
        var harness = GossipHarness(0, firstVersion: 100)
        harness.feed(.publish(key, value: [1]))
        #expect(harness.core.store.entry(of: Fixtures.peer(0), key)?.version == 101)
        harness.feed(.publish(key, value: [1]))
        #expect(harness.core.store.entry(of: Fixtures.peer(0), key)?.version == 101)
        harness.feed(.publish(key, value: [2]))
        #expect(harness.core.store.entry(of: Fixtures.peer(0), key)?.version == 102)
        let large = [UInt8](repeating: 0, count: Limits.entryDatagramValueBytes + 1)
        harness.feed(.publish(key, value: large))
        #expect(harness.events == [.publishRefused(key, byteCount: large.count)])
        #expect(harness.value(0, key) == [2])
        let largest = [UInt8](repeating: 0, count: Limits.entryDatagramValueBytes)
        harness.feed(.publish(key, value: largest))
        let entry = harness.core.store.entry(of: Fixtures.peer(0), key)
        let bytes = entry.map { GossipMessage.entry($0).datagramBytes.count } ?? .max
        #expect(bytes <= Limits.datagramPayloadBytes, "the largest value must fit in a datagram")
    }

    @Test("A former life's entries are outbid where published again, and withdrawn where not")
    func formerLife() {
        let other = EntryKey(kind: 0x81)
        var harness = GossipHarness(0, firstVersion: 100, live: [0, 1])
        harness.feed(.publish(key, value: [1]))
        harness.receive(.entry(Fixtures.entry(0, key, version: 500, [7])), from: 1)
        harness.receive(.entry(Fixtures.entry(0, other, version: 400, [8])), from: 1)
        #expect(harness.value(0, key) == [1])
        #expect(harness.core.store.entry(of: Fixtures.peer(0), key)?.version == 501)
        harness.now = harness.now + .seconds(60)
        harness.feed(.timer)
        let withdrawn = harness.core.store.entry(of: Fixtures.peer(0), other)
        #expect(withdrawn?.value == [] && (withdrawn?.version ?? 0) > 400)
        #expect(harness.core.store.snapshot.entries.map(\.key) == [key], "a withdrawn entry is not shown")
        harness.receive(.entry(tampered(Fixtures.entry(0, key, version: 900, [7]))), from: 1)
        #expect(harness.core.counters[.forged] == 1)
    }

    @Test(
        "Entries of the dead leave the snapshot at once, come back with them, and are dropped when they are forgotten")
    func expiry() {
        var harness = GossipHarness(0, live: [0, 1])
        harness.receive(.entry(Fixtures.entry(1, key, version: 5, [1])), from: 1)
        let alive = harness.core.store.snapshotDigest
        harness.feed(.memberDown(Fixtures.peer(1)))
        #expect(harness.core.store.snapshot.owners.map(\.peer) == [Fixtures.peer(0)])
        harness.feed(.memberUp(Fixtures.peer(1)))
        #expect(harness.core.store.snapshotDigest == alive)
        harness.feed(.memberDown(Fixtures.peer(1)))
        harness.feed(.memberForgotten(Fixtures.peer(1)))
        harness.feed(.memberUp(Fixtures.peer(1)))
        #expect(harness.value(1, key) == nil)
    }

    @Test("Any two stores are made equal by comparing them", arguments: [(8, 1), (8, 2), (40, 3), (150, 4)])
    func reconciliation(owners: Int, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let live = Array(0..<owners)
        var left = GossipHarness(0, live: live)
        var right = GossipHarness(1, live: live)
        for owner in 2..<owners {
            for index in 0..<UInt8(generator.index(below: 6)) {
                let key = EntryKey(kind: 0x80, index: index)
                for version in 1...UInt64(3) {
                    let entry = Fixtures.entry(
                        owner, key, version: version, [UInt8](repeating: UInt8(version), count: 100))
                    if generator.unit() < 0.5 { left.receive(.entry(entry), from: owner) }
                    if generator.unit() < 0.5 { right.receive(.entry(entry), from: owner) }
                }
            }
        }
        settle(&left, &right)
        #expect(left.core.store.snapshotDigest == right.core.store.snapshotDigest)
        #expect(left.core.rootMessage == right.core.rootMessage)
        let quiet = GossipHarness.reconcile(&left, &right)
        #expect(quiet == 0, "equal peers have nothing to say, not \(quiet) messages")
    }

    /// Compares as often as it takes; a single comparison is bounded in bytes.
    private func settle(_ left: inout GossipHarness, _ right: inout GossipHarness) {
        for _ in 0..<30 where left.core.rootMessage != right.core.rootMessage {
            left.now = left.now + .seconds(5)
            right.now = left.now
            _ = GossipHarness.reconcile(&left, &right)
        }
    }

    @Test("Snapshots have the same digest exactly if they have the same content")
    func snapshotDigest() {
        var left = GossipHarness(0, live: [0, 1, 2])
        var right = GossipHarness(0, live: [2, 1, 0])
        let entries = (0..<6).map { Fixtures.entry(1 + $0 % 2, EntryKey(kind: UInt8($0)), version: 1, [UInt8($0)]) }
        for entry in entries { left.receive(.entry(entry), from: 1) }
        for entry in entries.reversed() { right.receive(.entry(entry), from: 2) }
        #expect(left.core.store.snapshot == right.core.store.snapshot)
        #expect(left.core.store.snapshot.digest == left.core.store.snapshotDigest)
        right.receive(.entry(Fixtures.entry(1, EntryKey(kind: 0), version: 2, [0])), from: 2)
        #expect(left.core.store.snapshotDigest != right.core.store.snapshotDigest)
    }

    @Test("A capability survives its encoding, and names are cut at whole characters")
    func capability() throws {
        let capability = Capability(
            name: "Küche", cores: 8, memoryBytes: 16 << 30, flopsPerSecond: 1.5e11, diskFreeBytes: 1 << 40,
            gpus: ["A", "B"], onBattery: true, coordinator: false, software: "0.1.0")
        #expect(try Capability(wireBytes: capability.wireBytes) == capability)
        let long = Capability(
            name: String(repeating: "ü", count: 40), cores: -1, memoryBytes: 0, flopsPerSecond: .nan, diskFreeBytes: 0,
            gpus: Array(repeating: "g", count: 20), software: "")
        #expect(long.name == String(repeating: "ü", count: 32) && long.cores == 0 && long.flopsPerSecond == 0)
        #expect(try Capability(wireBytes: long.wireBytes) == long)
        let key = EntryKey.capability
        var harness = GossipHarness(0)
        harness.feed(.publish(key, value: capability.wireBytes))
        #expect(harness.core.store.snapshot.capability(of: Fixtures.peer(0)) == capability)
    }
}
