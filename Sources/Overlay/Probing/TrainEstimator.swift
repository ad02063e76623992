package import Primitives

/// What the arrival times of one packet train say about the narrowest link on its way.
///
/// Packets sent back to back leave the narrowest link at its pace, so the spacing of their arrivals is the time that link
/// needs for one packet (Dovrolis, Ramanathan and Moore 2004). The first 40 % are dropped because a token bucket or an idle
/// scheduler lets them through faster; lost packets do not matter, since the ones that got through still leave the full
/// queue at the link's pace.
package struct TrainEstimate: Hashable, Sendable {
    /// Rate of UDP payload over the last 60 % of the packets.
    package var tail: Bandwidth
    /// Rate over the first 40 %, or less where the beginning is faster; far above `tail` behind a token bucket that the train has emptied. Zero if unknown.
    package var head: Bandwidth
    /// Packets that arrived.
    package var received: Int
    /// Time from the first arrival to the last.
    package var span: Duration

    package init(tail: Bandwidth, head: Bandwidth, received: Int, span: Duration) {
        self.tail = tail
        self.head = head
        self.received = received
        self.span = span
    }
}

extension TrainEstimate {
    /// Whether the beginning of the train was let through so much faster that only a token bucket explains it. A short
    /// train's beginning is a handful of packets and says nothing.
    package var isBurst: Bool { received >= 32 && head.bytesPerSecond > Self.burstFactor * tail.bytesPerSecond }

    fileprivate static let burstFactor = 1.5
}

/// Turns the arrival times of a train into a `TrainEstimate`.
package enum TrainEstimator {
    /// Fewer arrivals than this say nothing.
    package static let minimumPackets = 8
    /// Share of the arrivals, from the first, that is not used for the tail.
    package static let droppedShare = 0.4
    /// The tail is halved while its second half is slower than this share of the whole, if the head is faster still: a
    /// token bucket ran dry in it.
    private static let settledShare = 0.9
    /// No estimate exceeds this rate: arrivals read in one system call share one time stamp and would give infinity.
    package static let ceiling = Bandwidth(bitsPerSecond: 100e9)

    /// The estimate from arrival times in order of arrival, of packets with `packetBytes` of UDP payload each; `nil` with
    /// fewer than `minimumPackets`.
    ///
    /// - Parameter droppedShare: The share of the first arrivals that the tail leaves out.
    package static func estimate(
        arrivals: [Instant], packetBytes: Int, droppedShare: Double = droppedShare
    ) -> TrainEstimate? {
        guard arrivals.count >= minimumPackets, let first = arrivals.first, let last = arrivals.last else { return nil }
        let offsets = arrivals.map { Double(($0 - first).nanoseconds) }
        if let batched = Self.batched(offsets, packetBytes, droppedShare) {
            return TrainEstimate(
                tail: batched.tail, head: batched.head, received: arrivals.count, span: last - first)
        }
        let dropped = Int(Double(arrivals.count) * droppedShare)
        let head = Self.head(offsets[...dropped], packetBytes)
        let whole = rate([0, offsets[offsets.count - 1] / Double(offsets.count - 1)], packetBytes)
        var start = dropped
        var tail = rate(offsets[start...], packetBytes)
        while arrivals.count - start >= 2 * minimumPackets, let current = tail {
            let half = start + (arrivals.count - start) / 2
            guard let later = rate(offsets[half...], packetBytes),
                later.bytesPerSecond < settledShare * current.bytesPerSecond,
                (head ?? .zero).bytesPerSecond > TrainEstimate.burstFactor * later.bytesPerSecond
            else { break }
            start = half
            tail = later
        }
        return TrainEstimate(
            tail: tail ?? whole ?? ceiling, head: head ?? .zero, received: arrivals.count, span: last - first)
    }

    /// Rates of a train whose packets were stamped in batches, because the network card interrupts only every so often; `nil`
    /// if they were not. What a batch says is when its last packet had arrived, and only the last batch was perhaps kept waiting
    /// for more. (Prasad, Jain and Dovrolis 2004 describe the effect.)
    private static func batched(
        _ offsets: [Double], _ packetBytes: Int, _ droppedShare: Double
    ) -> (tail: Bandwidth, head: Bandwidth)? {
        let mean = offsets[offsets.count - 1] / Double(offsets.count - 1)
        var ends: [(index: Double, at: Double)] = []
        var start = 0
        var largest = 0
        for index in offsets.indices.dropLast() where offsets[index + 1] - offsets[index] > mean * sameBatch {
            ends.append((Double(index), offsets[index]))
            largest = max(largest, index + 1 - start)
            start = index + 1
        }
        // What a token bucket lets through at the beginning is one large batch, or a few if the sender was held up; single packets
        // follow.
        let last = offsets.suffix(minimumPackets)
        guard ends.count >= leastBatches, offsets.count >= leastPerBatch * ends.count, largest * 3 <= offsets.count,
            zip(last, last.dropFirst()).contains(where: { $1 - $0 <= mean * sameBatch })
        else { return nil }
        let dropped = Double(offsets.count) * droppedShare
        let kept = ends.filter { $0.index >= dropped }
        guard let tail = batchRate(kept.count >= leastBatches ? kept : ends, packetBytes) else { return nil }
        return (tail, batchRate(ends.filter { $0.index <= dropped }, packetBytes) ?? .zero)
    }

    /// Packets are of one batch if they are closer than this share of the mean spacing.
    private static let sameBatch = 0.125
    private static let leastBatches = 3
    private static let leastPerBatch = 3

    private static func batchRate(_ ends: [(index: Double, at: Double)], _ packetBytes: Int) -> Bandwidth? {
        var slopes: [Double] = []
        for (number, left) in ends.enumerated() {
            for right in ends[(number + 1)...] { slopes.append((right.at - left.at) / (right.index - left.index)) }
        }
        guard !slopes.isEmpty else { return nil }
        let slope = TheilSen.median(&slopes)
        return slope > 0 ? min(Bandwidth(bytesPerSecond: Double(packetBytes) * 1e9 / slope), ceiling) : nil
    }

    /// The rate of the beginning: of its first half, as long as that is faster by a tenth, because a bucket that had no
    /// time to fill up lets only a few packets through.
    private static func head(_ nanoseconds: ArraySlice<Double>, _ packetBytes: Int) -> Bandwidth? {
        var head = nanoseconds
        var found = rate(head, packetBytes)
        while head.count >= 4 * minimumPackets, let current = found {
            let half = head.prefix(head.count / 2)
            guard let earlier = rate(half, packetBytes),
                earlier.bytesPerSecond * settledShare > current.bytesPerSecond
            else { break }
            head = half
            found = earlier
        }
        return found
    }

    /// Bytes over the median spacing; `nil` if the spacing is not positive.
    private static func rate(_ nanoseconds: ArraySlice<Double>, _ packetBytes: Int) -> Bandwidth? {
        guard let slope = TheilSen.slope(nanoseconds), slope > 0 else { return nil }
        return min(Bandwidth(bytesPerSecond: Double(packetBytes) * 1e9 / slope), ceiling)
    }

    /// One figure from several trains: the second largest, which is the median of three and the upper quartile of five. A
    /// preempted sender only lowers a train's figure and a receiver that reads late may raise it, so neither the mean nor
    /// the maximum will do. `nil` without trains.
    package static func combine(_ rates: [Bandwidth]) -> Bandwidth? {
        let sorted = rates.sorted()
        return sorted.count > 1 ? sorted[sorted.count - 2] : sorted.first
    }

    /// How far apart several trains are: (largest - smallest) / combined; 0 for fewer than two.
    package static func spread(_ rates: [Bandwidth]) -> Double {
        guard let least = rates.min(), let most = rates.max(), let middle = combine(rates), rates.count > 1,
            middle.bytesPerSecond > 0
        else { return 0 }
        return (most.bytesPerSecond - least.bytesPerSecond) / middle.bytesPerSecond
    }
}
