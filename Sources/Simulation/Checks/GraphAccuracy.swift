import Overlay
import Primitives
import Topology
import Wire

/// Compares the graph that the peers agree on with the network that the simulation made.
enum GraphAccuracy {
    /// Errors of all measured links, and of the predictions for those that were not measured.
    static func compare(_ simulator: Simulator) -> SimulationReport.Measurement? {
        let running = (0..<simulator.count).filter { simulator.observer.isRunning[$0] }
        guard let first = running.first, let snapshot = simulator.node(first)?.snapshot else { return nil }
        var reports = [[LinkReport?]](
            repeating: Array(repeating: nil, count: simulator.count), count: simulator.count)
        var indices: [UInt64: Int] = [:]  // only looked up
        for index in 0..<simulator.count { indices[simulator.identity(index).prefix] = index }
        for entry in snapshot.entries where entry.key.kind == EntryKey.linksKind {
            guard let owner = simulator.index(of: entry.owner), let page = try? LinksPage(wireBytes: entry.value) else {
                continue
            }
            for report in page.reports {
                if let other = indices[report.prefix] { reports[owner][other] = report }
            }
        }
        var bandwidth: [Double] = []
        var roundTrip: [Double] = []
        var rates: [(Int, Int, Double)] = []
        var times: [(Int, Int, Double)] = []
        for sender in running {
            for receiver in running where sender != receiver {
                let link = LinkConsensus(sender: reports[sender][receiver], receiver: reports[receiver][sender])
                if let rate = link.bandwidth {
                    rates.append((sender, receiver, rate.bytesPerSecond))
                    bandwidth.append(error(rate.bytesPerSecond, trueRate(simulator, sender, receiver)))
                }
                if let time = link.roundTrip, sender < receiver {
                    times.append((sender, receiver, time.seconds))
                    roundTrip.append(error(time.seconds, trueRoundTrip(simulator, sender, receiver)))
                }
            }
        }
        let timeFit = RoundTripModel.fit(roundTrips: times, peers: simulator.count, seed: 1)
        var roundTrips = [Double](repeating: 0, count: simulator.count * simulator.count)
        for sender in running {
            for receiver in running where sender != receiver {
                roundTrips[sender * simulator.count + receiver] = timeFit.predict(sender, receiver)?.value ?? 0
            }
        }
        for (left, right, seconds) in times {
            roundTrips[left * simulator.count + right] = seconds
            roundTrips[right * simulator.count + left] = seconds
        }
        let rateFit = RateModel.fit(
            rates: rates, roundTrips: roundTrips, model: timeFit, peers: simulator.count, seed: 1)
        var predictedRates: [Double] = []
        var predictedTimes: [Double] = []
        for sender in running {
            for receiver in running where sender != receiver {
                let link = LinkConsensus(sender: reports[sender][receiver], receiver: reports[receiver][sender])
                if link.bandwidth == nil, let found = rateFit.predict(from: sender, to: receiver) {
                    predictedRates.append(error(found.value, trueRate(simulator, sender, receiver)))
                }
                if link.roundTrip == nil, sender < receiver, let found = timeFit.predict(sender, receiver) {
                    predictedTimes.append(error(found.value, trueRoundTrip(simulator, sender, receiver)))
                }
            }
        }
        return SimulationReport.Measurement(
            links: running.count * (running.count - 1), measuredLinks: bandwidth.count,
            bandwidthError: SimulationReport.Spread(bandwidth), roundTripError: SimulationReport.Spread(roundTrip),
            predictedBandwidthError: SimulationReport.Spread(predictedRates),
            predictedRoundTripError: SimulationReport.Spread(predictedTimes))
    }

    private static func trueRate(_ simulator: Simulator, _ sender: Int, _ receiver: Int) -> Double {
        simulator.network.bandwidth(from: sender, to: receiver).bytesPerSecond
    }

    private static func trueRoundTrip(_ simulator: Simulator, _ left: Int, _ right: Int) -> Double {
        2 * simulator.network.delay(left, right).seconds
    }

    private static func error(_ found: Double, _ truth: Double) -> Double { abs(found - truth) / truth }
}
