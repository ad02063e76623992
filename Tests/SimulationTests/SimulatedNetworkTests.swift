import Primitives
import Testing

@testable import Simulation

@Suite struct SimulatedNetworkTests {
    private let start = Instant(nanoseconds: 0)

    private func network(_ change: (inout NetworkProfile) -> Void = { _ in }) -> SimulatedNetwork {
        var profile = NetworkProfile.world
        profile.loss = 0
        profile.jitterShare = 0
        profile.uplinks = [Bandwidth(bytesPerSecond: 1e6)]
        profile.downlinks = [Bandwidth(bytesPerSecond: 2e6)]
        change(&profile)
        return SimulatedNetwork(profile: profile, peers: 4, generator: SeededGenerator(seed: 1))
    }

    @Test("Packets leave at the uplink's pace and arrive after the delay")
    func pace() throws {
        var network = network()
        let delay = network.delay(0, 1)
        for number in 1...10 {
            let first = network.send(from: 0, to: 1, bytes: 1000, at: start).first
            let arrival = try #require(first)
            #expect(arrival - start == delay + .milliseconds(number))
        }
        let passed = network.receive(at: 1, bytes: 1000, now: start)
        #expect(passed == start + .microseconds(500))
    }

    @Test("A full queue drops, and partitions cut in their direction")
    func drops() {
        var network = network { $0.queueTime = .zero }
        let arrived = (0..<300).count { _ in network.send(from: 0, to: 1, bytes: 1000, at: start).first != nil }
        #expect(arrived == 132, "\(arrived) of 300 packets passed a queue of 131,072 bytes")
        network.partitions = [Partition(isInside: [true, true, false, false], direction: .outward)]
        let later = Instant(nanoseconds: 10_000_000_000)
        let passes = [(1, 2), (2, 1), (2, 3)].map {
            network.send(from: $0.0, to: $0.1, bytes: 10, at: later).first != nil
        }
        #expect(passes == [false, true, true])
    }

    @Test("Loss, duplication and reordering come as often as the profile says")
    func shares() {
        var network = network {
            $0.loss = 0.2
            $0.duplication = 0.1
            $0.uplinks = [Bandwidth(bytesPerSecond: 1e12)]
        }
        var arrived = 0
        var doubled = 0
        for _ in 0..<5000 {
            let copies = network.send(from: 0, to: 1, bytes: 100, at: start)
            if copies.first != nil { arrived += 1 }
            if copies.second != nil { doubled += 1 }
        }
        #expect(
            (3900...4100).contains(arrived) && (330...470).contains(doubled), "\(arrived) arrived, \(doubled) twice")
    }

    @Test("Losses of a bad time come together, and are as many as the chain says")
    func bursts() {
        var network = network {
            $0.uplinks = [Bandwidth(bytesPerSecond: 1e12)]
            $0.bursts = BurstLoss(good: .milliseconds(900), bad: .milliseconds(100), lossWhenBad: 0.8)
        }
        let lost = (0..<20_000).map {
            network.send(from: 0, to: 1, bytes: 100, at: start + .milliseconds(10 * $0)).first == nil
        }
        let share = Double(lost.count { $0 }) / Double(lost.count)
        #expect((0.065...0.095).contains(share), "\(share) lost, 0.08 expected")
        // After a lost packet the next one, 10 ms later, meets the same bad time in nine cases of ten.
        let pairs = zip(lost, lost.dropFirst())
        let after = Double(pairs.count { $0 && $1 }) / Double(lost.count { $0 })
        #expect((0.64...0.80).contains(after), "\(after) lost after a loss, 0.72 expected")
    }

    @Test("Damaged packets arrive, and are marked")
    func corruption() {
        var network = network {
            $0.corruption = 0.1
            $0.uplinks = [Bandwidth(bytesPerSecond: 1e12)]
        }
        let passages = (0..<2000).map { _ in network.send(from: 0, to: 1, bytes: 100, at: start) }
        let damaged = passages.count { $0.isCorrupted && $0.first != nil }
        #expect((150...250).contains(damaged) && network.counters.corrupted == damaged)
    }
}
