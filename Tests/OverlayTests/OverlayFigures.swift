import Foundation
import Overlay
import Primitives
import Testing

/// Figures for people who tune the overlay; `WEFT_FIGURES=1 swift test --filter OverlayFigures` prints them.
@Suite("Figures of the overlay", .enabled(if: ProcessInfo.processInfo.environment["WEFT_FIGURES"] != nil), .serialized)
struct OverlayFigures {
    @Test("Join, steady traffic, crash and refutation", arguments: [16, 50, 100])
    func figures(count: Int) {
        var lines: [String] = []
        for seed in UInt64(1)...(count > 50 ? 1 : 4) {
            let clock = ContinuousClock.now
            var swarm = TestSwarm(count: count, seed: seed)
            swarm.startAll(within: 0.2)
            let join = swarm.run(upTo: 20) { $0.everyoneKnowsEveryone }
            let joinBytes = swarm.nodes.map(\.sentBytes).reduce(0, +) / count
            swarm.run(for: 8)
            let before = swarm.nodes.map(\.sentBytes).reduce(0, +)
            swarm.countsMessages = true
            swarm.run(for: 5)
            swarm.countsMessages = false
            let kinds = swarm.sentMessages.sorted { $0.key < $1.key }.map { "\($0.key.prefix(60)) \($0.value)" }
            let steady = (swarm.nodes.map(\.sentBytes).reduce(0, +) - before) / count / 5
            swarm.crash(1)
            let crashedAt = swarm.now
            let all = swarm.run(upTo: 20) { $0.everyone(believes: 1, is: .dead) }
            let times = swarm.running.compactMap { number in
                swarm.nodes[number].events.last { $0.event == .memberDown(Fixtures.peer(1)) }
                    .map { ($0.at - crashedAt).seconds }
            }.sorted()
            let median = times.isEmpty ? 0 : times[times.count / 2]
            let deaths = swarm.count { if case .memberDown(let peer) = $0 { peer != Fixtures.peer(1) } else { false } }
            let wall = ContinuousClock.now - clock
            lines.append(
                "peers \(count) seed \(seed): join \(join ?? -1) s (\(joinBytes) bytes each), steady \(steady) B/s, "
                    + "crash known to half \(median) s, to all \(all ?? -1) s, false deaths \(deaths), "
                    + "digests equal \(swarm.digestsAreEqual), computed in \(wall)"
                    + (steady > 250 ? "\n    peers sent \(kinds)" : ""))
        }
        print(lines.joined(separator: "\n"))
    }
}
