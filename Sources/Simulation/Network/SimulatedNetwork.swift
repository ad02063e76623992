package import Primitives

/// The network of a simulation: a FIFO queue at each peer's uplink, a delay with jitter, loss, corruption, reordering and
/// duplication on the way, partitions, and a FIFO queue at the receiver's downlink.
package struct SimulatedNetwork: Sendable {
    /// One peer's access link.
    package struct Access: Hashable, Sendable {
        package var up: Bandwidth
        package var down: Bandwidth
    }

    /// What became of packets.
    package struct Counters: Hashable, Sendable {
        package var sent = 0
        package var lost = 0
        package var queueDrops = 0
        package var cut = 0
        package var corrupted = 0
        /// Packets that an address translator did not let in.
        package var filtered = 0
    }

    /// When a packet and, rarely, a copy of it reach the receiver's access link, and whether its bytes are damaged.
    package struct Passage: Hashable, Sendable {
        package var first: Instant?
        package var second: Instant?
        package var isCorrupted = false
    }

    package var profile: NetworkProfile
    package var partitions: [Partition] = []
    package private(set) var access: [Access]
    package private(set) var counters = Counters()

    private let places: [(x: Double, y: Double)]
    private var upFree: [Instant]
    private var downFree: [Instant]
    private var bursts: [BurstLoss.State]
    private var generator: SeededGenerator
    private let jitterSeed: UInt64

    /// Draws access links and places.
    package init(profile: NetworkProfile, peers: Int, generator: SeededGenerator) {
        var generator = generator
        self.profile = profile
        access = (0..<peers).map { _ in
            Access(
                up: profile.uplinks[generator.index(below: profile.uplinks.count)],
                down: profile.downlinks[generator.index(below: profile.downlinks.count)])
        }
        places = (0..<peers).map { _ in (generator.unit(), generator.unit()) }
        upFree = Array(repeating: Instant(nanoseconds: 0), count: peers)
        downFree = upFree
        bursts = Array(repeating: BurstLoss.State(), count: peers)
        jitterSeed = generator.next()
        self.generator = generator
    }

    /// The one-way delay between two peers without queues and jitter.
    package func delay(_ left: Int, _ right: Int) -> Duration {
        let x = places[left].x - places[right].x
        let y = places[left].y - places[right].y
        let share = ((x * x + y * y) / 2).squareRoot()
        let range = (profile.maximumDelay - profile.minimumDelay).nanoseconds
        return .nanoseconds(profile.minimumDelay.nanoseconds + Int64(Double(range) * share))
    }

    /// The rate of the narrowest part between two peers.
    package func bandwidth(from sender: Int, to receiver: Int) -> Bandwidth {
        min(access[sender].up, access[receiver].down)
    }

    /// Counts a packet that an address translator did not let in.
    package mutating func countFiltered() { counters.filtered += 1 }

    /// Sends a packet.
    package mutating func send(from sender: Int, to receiver: Int, bytes: Int, at now: Instant) -> Passage {
        counters.sent += 1
        guard let departure = Self.queue(&upFree[sender], access[sender].up, bytes, now, profile) else {
            counters.queueDrops += 1
            return Passage()
        }
        guard !partitions.contains(where: { $0.stops(from: sender, to: receiver) }) else {
            counters.cut += 1
            return Passage()
        }
        guard !draw(profile.loss), !isLostInBurst(sender, at: departure) else {
            counters.lost += 1
            return Passage()
        }
        let isDoubled = draw(profile.duplication)
        var passage = Passage(first: departure + drawDelay(sender, receiver, at: departure))
        if isDoubled { passage.second = departure + drawDelay(sender, receiver, at: departure) }
        passage.isCorrupted = draw(profile.corruption)
        if passage.isCorrupted { counters.corrupted += 1 }
        return passage
    }

    /// Whether something of this probability happens; draws nothing if it cannot.
    private mutating func draw(_ share: Double) -> Bool { share > 0 && generator.unit() < share }

    private mutating func isLostInBurst(_ sender: Int, at now: Instant) -> Bool {
        guard let loss = profile.bursts else { return false }
        return bursts[sender].advance(to: now, loss, using: &generator) && draw(loss.lossWhenBad)
    }

    /// Passes a packet through the receiver's access link: when it reaches the peer, or `nil` if its queue is full.
    package mutating func receive(at receiver: Int, bytes: Int, now: Instant) -> Instant? {
        guard let passed = Self.queue(&downFree[receiver], access[receiver].down, bytes, now, profile) else {
            counters.queueDrops += 1
            return nil
        }
        return passed
    }

    private mutating func drawDelay(_ sender: Int, _ receiver: Int, at now: Instant) -> Duration {
        var result = delay(sender, receiver)
        if profile.jitterShare > 0 { result += result * (profile.jitterShare * jitter(sender, receiver, now)) }
        if profile.reordering > 0, generator.unit() < profile.reordering {
            result += profile.reorderingDelay * generator.unit()
        }
        return result
    }

    /// 0...1, moving steadily from one random value to the next every tenth of a second: other traffic fills and drains
    /// queues on the way, which delays packets but does not let one overtake another.
    private func jitter(_ sender: Int, _ receiver: Int, _ now: Instant) -> Double {
        let period: Int64 = 100_000_000
        let slot = UInt64(bitPattern: now.nanoseconds / period)
        let pair = UInt64(sender) << 32 | UInt64(receiver)
        func value(_ slot: UInt64) -> Double {
            var generator = SeededGenerator(seed: jitterSeed ^ pair &* 0x9E37_79B9_7F4A_7C15 ^ slot)
            return generator.unit()
        }
        let share = Double(now.nanoseconds % period) / Double(period)
        return value(slot) * (1 - share) + value(slot + 1) * share
    }

    /// When a packet has passed a FIFO queue, or `nil` if the queue is full.
    private static func queue(
        _ free: inout Instant, _ rate: Bandwidth, _ bytes: Int, _ now: Instant, _ profile: NetworkProfile
    ) -> Instant? {
        let start = max(free, now)
        let waiting = (start - now).seconds * rate.bytesPerSecond
        guard waiting <= max(Double(profile.queueBytes), profile.queueTime.seconds * rate.bytesPerSecond) else {
            return nil
        }
        free = start + .nanoseconds(Int64(Double(bytes) / rate.bytesPerSecond * 1e9))
        return free
    }
}
