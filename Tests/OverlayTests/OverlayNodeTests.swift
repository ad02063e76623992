import Overlay
import Primitives
import Testing
import Wire

@Suite("An overlay of several nodes")
struct OverlayNodeTests {
    @Test("Everybody joins through one bootstrap peer within two seconds", arguments: [2, 3, 16, 50])
    func join(count: Int) throws {
        var swarm = TestSwarm(count: count, seed: 7)
        swarm.startAll()
        let seconds = swarm.run(upTo: 10) { $0.everyoneKnowsEveryone }
        print("join \(count): \(String(describing: seconds))")
        #expect(seconds ?? 99 < 2, "\(count) peers took \(String(describing: seconds)) s to know each other")
    }

    @Test("A crash is known to all in a few seconds, and nobody else is suspected to death", arguments: [3, 16, 50])
    func crash(count: Int) throws {
        for seed in UInt64(1)...2 {
            var swarm = TestSwarm(count: count, seed: seed)
            swarm.startAll()
            swarm.run(for: 4)
            let bytes = swarm.nodes.map(\.sentBytes).reduce(0, +)
            swarm.run(for: 4)
            let steady = (swarm.nodes.map(\.sentBytes).reduce(0, +) - bytes) / count / 4
            swarm.crash(1)
            let seconds = swarm.run(upTo: 12) { $0.everyone(believes: 1, is: .dead) }
            print("crash \(count) seed \(seed): \(String(describing: seconds)) steady \(steady) B/s")
            #expect(seconds ?? 99 < 5, "\(count) peers, seed \(seed): \(String(describing: seconds)) s")
            #expect(swarm.everyoneKnowsEveryone, "somebody healthy was declared dead")
        }
    }
}
