import Overlay
import Primitives
import Testing
import Wire

@Suite("Queues and tables of the overlay")
struct SupportStructuresTests {
    @Test("A deadline queue gives keys in the order of their instants, equals in the order of insertion")
    func deadlineQueue() {
        for seed in UInt64(1)...20 {
            var generator = SeededGenerator(seed: seed)
            var queue = DeadlineQueue<Int>()
            var expected: [(instant: Int64, key: Int)] = []
            for key in 0..<200 {
                let instant = Int64(generator.index(below: 50))
                queue.insert(key, at: Instant(nanoseconds: instant))
                expected.append((instant, key))
            }
            expected.sort { ($0.instant, $0.key) < ($1.instant, $1.key) }
            let early = queue.popDue(at: Instant(nanoseconds: -1))
            #expect(early == nil, "nothing is due before the first instant")
            let popped = expected.map { _ in queue.popDue(at: Instant(nanoseconds: 50)) }
            #expect(popped == expected.map(\.key), "seed \(seed)")
            #expect(queue.first == nil)
        }
    }

    @Test("A peer table finds, orders and forgets like a sorted array")
    func peerTable() {
        for seed in UInt64(1)...10 {
            var generator = SeededGenerator(seed: seed)
            var table = PeerTable<Owned>()
            var model: [PeerID: Int] = [:]
            for step in 0..<300 {
                let number = generator.index(below: 60)
                let peer = Fixtures.peer(number)
                if model[peer] == nil {
                    let slot = table.insert(Owned(peer: peer, step: step))
                    #expect(table.peer(at: slot) == peer)
                    model[peer] = step
                } else {
                    table.remove(peer)
                    model[peer] = nil
                }
            }
            let sorted = model.keys.sorted()
            #expect(table.order.map { table.peer(at: $0) } == sorted, "seed \(seed)")
            #expect(table.order.map { table[$0].step } == sorted.compactMap { model[$0] }, "seed \(seed)")
            for (position, peer) in sorted.enumerated() {
                #expect(table.position(of: peer) == position)
                #expect(table.slot(withPrefix: peer.prefix) == table.slot(of: peer))
            }
            #expect(table.slot(withPrefix: 1) == nil)
        }
    }

    @Test("Each broadcast is sent exactly as often as the limit says, the least sent first")
    func broadcastLimit() {
        var queue = BroadcastQueue<Int>()
        for subject in 0..<5 { queue.insert([UInt8](repeating: UInt8(subject), count: 10), about: subject) }
        var counts = [Int](repeating: 0, count: 5)
        var rounds = 0
        while !queue.isEmpty, rounds < 100 {
            rounds += 1
            var packer = DatagramPacker(capacity: 20)
            queue.take(into: &packer, limit: 3)
            for payload in packer.finish() {
                for start in stride(from: 0, to: payload.count, by: 10) { counts[Int(payload[start])] += 1 }
            }
            #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1, "round \(rounds): \(counts)")
        }
        #expect(counts == [3, 3, 3, 3, 3])
    }

    @Test("A newer broadcast replaces the older one on its subject, and starts again")
    func broadcastReplacement() {
        var queue = BroadcastQueue<Int>()
        func sendOnce() -> [UInt8] {
            var packer = DatagramPacker(capacity: 100)
            queue.take(into: &packer, limit: 2)
            return packer.finish().first ?? []
        }
        queue.insert([1], about: 7)
        #expect(sendOnce() == [1])
        queue.insert([2], about: 7)
        #expect(queue.count == 1)
        #expect(sendOnce() == [2])
        #expect(sendOnce() == [2])
        #expect(sendOnce() == [])
        queue.insert([3], about: 7)
        queue.remove(7)
        #expect(queue.isEmpty)
        #expect(sendOnce() == [])
    }

    @Test("A broadcast too large for the room left does not stop smaller ones, and is not lost")
    func broadcastMisfit() {
        var queue = BroadcastQueue<Int>()
        queue.insert([UInt8](repeating: 1, count: 50), about: 1)
        queue.insert([2, 2], about: 2)
        var small = DatagramPacker(capacity: 10)
        queue.take(into: &small, limit: 1)
        #expect(small.finish() == [[2, 2]])
        var large = DatagramPacker(capacity: 60)
        queue.take(into: &large, limit: 1)
        #expect(large.finish() == [[UInt8](repeating: 1, count: 50)])
    }

    @Test("A burst to one peer never repeats a broadcast, however often that may still be sent")
    func broadcastBurst() {
        var queue = BroadcastQueue<Int>()
        for subject in 0..<3 { queue.insert([UInt8](repeating: UInt8(subject), count: 10), about: subject) }
        var packer = DatagramPacker(capacity: 20, datagrams: 4)
        queue.take(into: &packer, limit: 8)
        #expect(packer.finish().map(\.count) == [20, 10])
        #expect(queue.count == 3, "others still have to hear it")
    }

    @Test("A packer keeps order, splits at its capacity and makes no empty datagram")
    func packer() {
        var packer = DatagramPacker(capacity: 10)
        #expect(packer.isEmpty)
        packer.append([1, 1, 1, 1, 1, 1])
        packer.append([2, 2, 2, 2])
        packer.append([3])
        let large = packer.appendIfFits([UInt8](repeating: 4, count: 10))
        let small = packer.appendIfFits([4])
        #expect(!large && small)
        #expect(packer.finish() == [[1, 1, 1, 1, 1, 1, 2, 2, 2, 2], [3, 4]])
        #expect(DatagramPacker().finish().isEmpty)
    }

    @Test("Digests do not depend on the order of changes, and differ where the sets differ")
    func digestTable() {
        var left = DigestTable()
        var right = DigestTable()
        for number in 0..<100 { left.replace(Fixtures.peer(number), old: 0, new: UInt64(number) + 1) }
        for number in (0..<100).reversed() { right.replace(Fixtures.peer(number), old: 0, new: UInt64(number) + 1) }
        #expect(left.root == right.root)
        #expect(left.differing(from: right.digests) == 0)
        right.replace(Fixtures.peer(5), old: 6, new: 99)
        #expect(left.root != right.root)
        let bucket = DigestTable.bucket(of: Fixtures.peer(5).prefix)
        #expect(left.differing(from: right.digests) == 1 << UInt64(bucket))
    }

    @Test("Pages of item digests cover every prefix exactly once", arguments: [0, 1, 89, 90, 91, 500])
    func itemPages(count: Int) {
        let items = (0..<count).map { Fixtures.peer($0).prefix }.sorted()
            .map { ItemDigests.Item(prefix: $0, hash: UInt32(truncatingIfNeeded: $0)) }
        let pages = ItemDigests.pages(mask: .max, items: items)
        #expect(pages.flatMap(\.items) == items)
        #expect(pages.first?.range.lowerBound == 0 && pages.last?.range.upperBound == .max)
        for (page, next) in zip(pages, pages.dropFirst()) {
            #expect(page.range.upperBound &+ 1 == next.range.lowerBound)
        }
        for item in items { #expect(pages.count { $0.hash(of: item.prefix) == item.hash } == 1) }
        for page in pages {
            #expect(MembershipMessage.viewItems(page).datagramBytes.count <= Limits.datagramPayloadBytes)
        }
    }

    @Test("A probe schedule names everybody once a round, whatever the seed", arguments: UInt64(1)...10)
    func probeSchedule(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var schedule = ProbeSchedule()
        let none = schedule.next(using: &generator) { _ in true }
        #expect(none == nil)
        for number in 0..<30 { schedule.insert(Fixtures.peer(number), using: &generator) }
        let gone = Fixtures.peer(3)
        var orders: [[PeerID]] = []
        for _ in 0..<3 {
            let round = (0..<29).compactMap { _ in schedule.next(using: &generator) { $0 != gone } }
            #expect(Set(round).count == 29 && !round.contains(gone), "a round visits the 29 others once each")
            orders.append(round)
        }
        #expect(orders[1] != orders[2], "rounds are shuffled anew")
        schedule.insert(gone, using: &generator)
        let later = (0..<60).compactMap { _ in schedule.next(using: &generator) { _ in true } }
        #expect(later.contains(gone), "whoever returns is probed again")
    }

    @Test("Local health stays within its bounds")
    func localHealth() {
        var health = LocalHealth()
        health.change(by: -3)
        #expect(health.multiplier == 1)
        health.change(by: 100)
        #expect(health.score == LocalHealth.maximumScore && health.multiplier == 9)
        health.change(by: -1)
        #expect(health.multiplier == 8)
    }

    @Test("Round trips are smoothed as RFC 6298 says")
    func roundTrips() {
        var estimator = RoundTripEstimator()
        #expect(estimator.patience == nil)
        estimator.add(.milliseconds(100))
        #expect(estimator.smoothed == .milliseconds(100) && estimator.patience == .milliseconds(300))
        estimator.add(.milliseconds(200))
        #expect(estimator.smoothed == .microseconds(112_500))
        #expect(estimator.patience == .microseconds(112_500 + 4 * 62_500))
    }

    @Test("Suspicion shortens with independent confirmations only, from maximum to minimum")
    func suspicion() {
        let start = Instant.seconds(10)
        var suspicion = Suspicion(
            accuser: Fixtures.peer(1), others: 10, minimum: .seconds(2), maximum: .seconds(8), at: start)
        #expect(suspicion.timeout == .seconds(8))
        let repeated = suspicion.confirm(by: Fixtures.peer(1))
        #expect(!repeated, "the same accuser does not count twice")
        let second = suspicion.confirm(by: Fixtures.peer(2))
        #expect(second)
        #expect(suspicion.timeout == .seconds(5))
        let third = suspicion.confirm(by: Fixtures.peer(3))
        #expect(third)
        #expect(suspicion.timeout < .seconds(3.3) && suspicion.timeout > .seconds(3.2))
        let fourth = suspicion.confirm(by: Fixtures.peer(4))
        #expect(fourth)
        #expect(suspicion.timeout == .seconds(2))
        let fifth = suspicion.confirm(by: Fixtures.peer(5))
        #expect(!fifth, "no more than needed are kept")
        #expect(!suspicion.isRipe(at: start + .milliseconds(900)) && suspicion.isRipe(at: start + .seconds(1)))
        suspicion.extend(by: .seconds(1))
        #expect(suspicion.deadline == start + .seconds(3))
    }

    @Test("Where nobody else could confirm, suspicion starts at its minimum", arguments: [0, -1])
    func suspicionInAPair(others: Int) {
        let suspicion = Suspicion(
            accuser: Fixtures.peer(1), others: others, minimum: .seconds(2), maximum: .seconds(8), at: .seconds(0))
        #expect(suspicion.timeout == .seconds(2))
    }

    @Test("A full queue of broadcasts lets go of what was sent most often, and keeps its bound")
    func broadcastCapacity() {
        var queue = BroadcastQueue<Int>(capacity: 3)
        queue.insert([0], about: 0)
        queue.insert([1], about: 1)
        var packer = DatagramPacker(capacity: 1)
        queue.take(into: &packer, limit: 5)  // 0 was sent once
        queue.insert([2], about: 2)
        queue.insert([3], about: 3)
        #expect(queue.count == 3)
        queue.insert([3, 3], about: 3)
        #expect(queue.count == 3, "a known subject needs no room")
        packer = DatagramPacker()
        queue.take(into: &packer, limit: 5)
        #expect(packer.finish() == [[1, 2, 3, 3]], "0 had to go")
        for subject in 10..<1000 { queue.insert([9], about: subject) }
        #expect(queue.count == 3)
    }

    @Test("Time-outs and retransmissions grow with the logarithm of the swarm")
    func configuration() {
        let configuration = MembershipConfiguration()
        let suspicions = [1, 16, 1024].map { configuration.minimumSuspicion(count: $0).milliseconds.rounded() }
        #expect(suspicions == [1500, 1630, 2650])
        let usual = [1, 9, 10, 99, 100, 999].map { configuration.retransmits(count: $0, queued: 1) }
        #expect(usual == [4, 4, 8, 8, 12, 12])
        #expect([1, 999].map { configuration.retransmits(count: $0, queued: 500) } == [2, 2], "a flood")
    }
}

/// A value of a peer table.
private struct Owned: PeerOwned {
    let peer: PeerID
    let step: Int
}
