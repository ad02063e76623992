import Primitives
import Wire

// MARK: - How long the trains are, when there are enough, and what they say

extension TrainSession {
    /// Packets of the next train and the nanoseconds from one to the next.
    func nextForm(train: Int) -> (count: Int, pace: UInt32) {
        func pace(_ rate: Double) -> UInt32 {
            UInt32(clamping: Int64(Double(Limits.datagramBytes) * 1e9 / max(rate, 1)))
        }
        let known = background.send.bytesPerSecond
        switch purpose {
        case .attested where known > 0:
            let rate = known * policy.attestedExcess
            var bytes = rate * policy.attestedDuration.seconds
            let borneOut = background.sendBorneOut.bytesPerSecond
            if borneOut > 0 { bytes = min(bytes, borneOut * policy.attestedMaximum.seconds) }
            let count = Int(min(bytes / Double(Limits.datagramBytes), Double(TrainPacket.maximumCount)))
            return (max(count, policy.minimumPackets), pace(rate))
        case .available where known > 0:
            // Low and high rates in turn, so that a change of the load meets all of them.
            let shares = AvailableFit.shares
            let share = shares[(train * 5 + train / shares.count) % shares.count]
            let packets = known * policy.duration.seconds / Double(Limits.datagramBytes)
            return (min(max(Int(packets), 64), 128), pace(known * share))
        default: return (isEnough(outgoing) ? 1 : nextSize, 0)
        }
    }

    /// Packets that take the wanted time at the last figure. Never fewer than before: a token bucket that the last train
    /// emptied would hide a shorter one.
    private var nextSize: Int {
        guard let last = outgoing.last else { return policy.minimumPackets }
        let isFast = last.estimate.tail > policy.routineRate
        if isFast, purpose == .routine, policy.isNear(background.roundTrip) { return last.count }
        var sized = min(policy.packets(at: last.estimate.tail), last.count * policy.growth)
        // Jitter of some milliseconds spoils trains of ten: longer ones then, if they do not take the link for too long.
        let trains = counted(outgoing)
        let longer = sized * policy.stretch
        if trains.count >= policy.trains, TrainEstimator.spread(trains.map(\.estimate.tail)) > policy.agreement,
            last.estimate.tail.seconds(forBytes: Double(longer * Limits.datagramBytes)) <= policy.longest.seconds
        {
            sized = longer
        }
        let affordable = max(
            affordableBytes / (Limits.datagramBytes * policy.trains), isFast ? policy.leastFastPackets : 0)
        return min(max(last.count, min(sized, affordable)), policy.maximumPackets)
    }

    /// Whether the initiator has seen all that it wants.
    var hasEnough: Bool {
        switch purpose {
        case .attested: completedTrains >= 1
        case .available: completedTrains >= AvailableFit.shares.count * AvailableFit.repetitions
        case .routine, .requested:
            completedTrains >= policy.maximumTrains || (isEnough(outgoing) && isEnough(incoming))
        }
    }

    private func isEnough(_ samples: [Sample]) -> Bool {
        let rates = counted(samples).map(\.estimate.tail)
        let spread = TrainEstimator.spread(rates)
        return rates.count >= policy.trains
            ? spread <= policy.agreement : rates.count == 2 && spread <= policy.closeAgreement
    }

    /// The trains that count: those with at least half of the largest one's packets.
    private func counted(_ samples: [Sample]) -> [Sample] {
        let largest = samples.map(\.count).max() ?? 0
        return samples.filter { $0.count * 2 >= largest }
    }

    var result: Result {
        let (received, sent) = (counted(incoming), counted(outgoing))
        let rates = [received, sent].map { $0.map(\.estimate.tail) }
        let isShort = [received, sent].contains { samples in
            guard let rate = TrainEstimator.combine(samples.map(\.estimate.tail)) else { return false }
            return (samples.map(\.count).max() ?? 0) * 2 < policy.packets(at: rate)
        }
        let isUnsettled =
            purpose.isForCapacity
            && rates.contains {
                $0.count >= policy.trains && TrainEstimator.spread($0) > policy.fineSpread
            }
        let isFine =
            purpose == .attested && !incoming.isEmpty && !outgoing.isEmpty
            || !isShort
                && rates.allSatisfy {
                    $0.count >= policy.trains
                        ? TrainEstimator.spread($0) <= policy.fineSpread
                        : $0.count == 2 && TrainEstimator.spread($0) <= policy.closeAgreement
                }
        let (receive, send) = (TrainEstimator.combine(rates[0]), TrainEstimator.combine(rates[1]))
        let best = sent.max { $0.bound < $1.bound }
        return Result(
            receive: receive, send: send, receiveBurst: burst(received), sendBurst: burst(sent),
            sendBound: best?.bound, sendLateness: sent.map(\.lateness).min(),
            sendBoundTime: best.map { .nanoseconds(Int64(max($0.seconds, 0) * 1e9)) }, sendSlip: slip,
            sendAvailable: available(outgoing, background.send),
            receiveAvailable: available(incoming, background.receive),
            confidence: receive == nil && send == nil ? .roundTripOnly : isFine ? .fine : .coarse,
            trains: received.count + sent.count, isShort: isShort, isUnsettled: isUnsettled,
            wasGranted: isGranted)
    }

    private func available(_ samples: [Sample], _ capacity: Bandwidth) -> Bandwidth? {
        guard purpose == .available else { return nil }
        let points = samples.filter { $0.paced > .zero }.map {
            AvailableFit.Point(sent: $0.paced, arrived: $0.estimate.tail)
        }
        return AvailableFit.fit(points, capacity: capacity)
    }

    /// The rate of the trains' beginnings if most of them are bursts that end at one rate; a busy machine has others.
    private func burst(_ samples: [Sample]) -> Bandwidth? {
        let bursts = samples.map(\.estimate).filter(\.isBurst)
        guard bursts.count >= 2, bursts.count * 2 > samples.count,
            TrainEstimator.spread(bursts.map(\.tail)) <= policy.agreement * 2
        else { return nil }
        return TrainEstimator.combine(bursts.map(\.head))
    }

    /// How long the other end may be silent: a round trip and a train each way at the known rates, with much room.
    var patience: Duration {
        guard let out = outgoing.last?.estimate.tail, let back = incoming.last?.estimate.tail else {
            return .seconds(2) + background.roundTrip * 4
        }
        let packets = purpose == .attested ? TrainPacket.maximumCount : policy.maximumPackets
        let bytes = Double(packets * Limits.datagramBytes)
        let trains = min(out.seconds(forBytes: bytes) + back.seconds(forBytes: bytes), 20)
        return .milliseconds(600) + background.roundTrip * 4 + .nanoseconds(Int64(trains * 1e9))
    }
}
