import Overlay
import Primitives
import Testing
import Wire

@Suite("An overlay of several nodes")
struct OverlayNodeTests {
    @Test("Everybody joins through one bootstrap peer within two seconds", arguments: [2, 3, 16, 40])
    func join(count: Int) throws {
        var swarm = TestSwarm(count: count, seed: 7)
        swarm.startAll()
        let seconds = swarm.run(upTo: 10) { $0.everyoneKnowsEveryone }
        #expect(seconds ?? 99 < 2, "\(count) peers took \(String(describing: seconds)) s to know each other")
        let joined = swarm.count { if case .joined = $0 { true } else { false } }
        #expect(joined == count)
    }

    @Test("A crash is known to all in a few seconds, and nobody else is buried", arguments: [(3, 1), (16, 2), (30, 3)])
    func crash(count: Int, seed: UInt64) throws {
        var swarm = TestSwarm(count: count, seed: seed)
        swarm.startAll()
        swarm.run(for: 3)
        swarm.crash(1)
        let seconds = swarm.run(upTo: 12) { $0.everyone(believes: 1, is: .dead) }
        #expect(seconds ?? 99 < 5, "\(count) peers, seed \(seed): \(String(describing: seconds)) s")
        let isComplete = swarm.everyoneKnowsEveryone
        #expect(isComplete, "somebody healthy was declared dead")
    }

    @Test("A goodbye is known to all at once")
    func leave() throws {
        var swarm = TestSwarm(count: 16, seed: 3)
        swarm.startAll()
        swarm.run(for: 2)
        swarm.feed(.leave, to: 4)
        swarm.crash(4)
        let seconds = swarm.run(upTo: 5) { $0.everyone(believes: 4, is: .left) }
        #expect(seconds ?? 99 < 0.5)
        swarm.run(for: 5)
        let deaths = swarm.count { $0 == .memberDown(Fixtures.peer(4)) }
        #expect(deaths == 0, "leaving is not dying")
    }

    @Test("Entries reach everybody and digests become equal, also with loss", arguments: [0.0, 0.1])
    func entries(loss: Double) throws {
        var swarm = TestSwarm(count: 12, seed: 5)
        swarm.loss = loss
        swarm.startAll()
        for number in 0..<12 {
            for index in 0..<UInt8(4) {
                let value = [UInt8](repeating: UInt8(number), count: 200)
                swarm.feed(.publish(EntryKey(kind: 0x80, index: index), value: value), to: number)
            }
        }
        let seconds = swarm.run(upTo: 20) { swarm in
            swarm.everyoneKnowsEveryone && swarm.digestsAreEqual
                && swarm.running.allSatisfy {
                    swarm.nodes[$0].core.snapshot.entries.count { $0.key.kind == 0x80 } == 48
                }
        }
        #expect(seconds ?? 99 < 8, "took \(String(describing: seconds)) s")
    }

    @Test("With a tenth of all datagrams lost and pauses of up to two seconds, nobody healthy dies")
    func noFalseDeaths() {
        var swarm = TestSwarm(count: 12, seed: 11)
        swarm.loss = 0.1
        swarm.startAll()
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<15 {
            swarm.pause(generator.index(below: 12), for: 2 * generator.unit())
            swarm.run(for: 2)
        }
        let deaths = swarm.count { if case .memberDown = $0 { true } else { false } }
        #expect(deaths == 0, "\(deaths) healthy peers were declared dead")
        let suspicions = swarm.count { if case .memberSuspected = $0 { true } else { false } }
        #expect(suspicions > 0, "the test should have made somebody suspicious")
    }

    @Test("Halves that lost each other become one swarm again")
    func partition() {
        var swarm = TestSwarm(count: 12, seed: 13)
        swarm.startAll()
        for number in 0..<12 { swarm.feed(.publish(EntryKey(kind: 0x80), value: [UInt8(number)]), to: number) }
        swarm.run(for: 3)
        for number in 0..<12 where number.isMultiple(of: 2) { swarm.group[number] = 1 }
        swarm.run(for: 20)
        let sizes = swarm.running.map { swarm.nodes[$0].core.liveCount }
        #expect(sizes.allSatisfy { $0 == 6 }, "each half sees itself only, not \(sizes)")
        swarm.feed(.publish(EntryKey(kind: 0x81), value: [1]), to: 3)
        for number in 0..<12 { swarm.group[number] = 0 }
        let seconds = swarm.run(upTo: 30) { $0.everyoneKnowsEveryone && $0.digestsAreEqual }
        #expect(seconds ?? 99 < 15, "took \(String(describing: seconds)) s")
    }

    @Test(
        "A peer that forgot everything comes back with a later clock, and with an earlier one", arguments: [2000, 500])
    func restart(incarnation: UInt64) {
        var swarm = TestSwarm(count: 8, seed: 17)
        swarm.startAll()
        swarm.feed(.publish(EntryKey(kind: 0x80), value: [1]), to: 3)
        swarm.feed(.publish(EntryKey(kind: 0x81), value: [1]), to: 3)
        swarm.run(for: 3)
        swarm.crash(3)
        swarm.run(for: 6)
        swarm.restart(3, incarnation: incarnation, known: [5])
        swarm.feed(.publish(EntryKey(kind: 0x80), value: [2]), to: 3)
        let seconds = swarm.run(upTo: 20) { $0.everyoneKnowsEveryone && $0.digestsAreEqual }
        #expect(seconds ?? 99 < 8, "took \(String(describing: seconds)) s")
        swarm.run(for: 25)
        let areEqual = swarm.digestsAreEqual
        #expect(areEqual)
        for number in swarm.running {
            let owner = swarm.nodes[number].core.snapshot.owner(Fixtures.peer(3))
            #expect(owner?.value(EntryKey(kind: 0x80)) == [2])
            #expect(owner?.value(EntryKey(kind: 0x81)) == nil, "what was not published again is withdrawn")
        }
    }

    @Test("A swarm whose first peer is gone takes newcomers through any other")
    func otherBootstrap() {
        var swarm = TestSwarm(count: 6, seed: 19)
        for number in 0..<5 { swarm.start(number) }
        swarm.run(for: 2)
        swarm.crash(0)
        swarm.start(5, known: [0, 2])
        let seconds = swarm.run(upTo: 10) { $0.nodes[5].core.liveCount >= 5 }
        #expect(seconds ?? 99 < 1)
    }

    @Test("A live measurement of the round trip is answered, also when there is no answer")
    func ping() {
        var swarm = TestSwarm(count: 3, seed: 23)
        swarm.startAll()
        swarm.run(for: 2)
        swarm.feed(.ping(Fixtures.peer(2)), to: 1)
        swarm.run(for: 1)
        let answers = swarm.nodes[1].events.compactMap { item -> Duration? in
            if case .pinged(Fixtures.peer(2), let roundTrip) = item.event { roundTrip } else { nil }
        }
        #expect(answers.count == 1 && answers[0] < .milliseconds(5))
        swarm.crash(2)
        swarm.feed(.ping(Fixtures.peer(2)), to: 1)
        swarm.run(for: 3)
        let failed = swarm.nodes[1].events.contains { $0.event == .pinged(Fixtures.peer(2), roundTrip: nil) }
        #expect(failed)
    }

    @Test("A quiet swarm says little, and never more than a datagram holds")
    func steadyTraffic() {
        var swarm = TestSwarm(count: 16, seed: 29)
        swarm.startAll()
        swarm.run(for: 10)
        let before = swarm.nodes.map(\.sentBytes)
        swarm.run(for: 10)
        for (number, bytes) in before.enumerated() {
            let rate = (swarm.nodes[number].sentBytes - bytes) / 10
            #expect(rate < 300, "node \(number) sends \(rate) bytes/s")
            let largest = swarm.nodes[number].largestPayload
            #expect(largest <= Limits.datagramPayloadBytes)
        }
    }

    @Test("The same seed gives the same swarm, byte for byte")
    func determinism() {
        func run() -> (Int, [OverlayEvent]) {
            var swarm = TestSwarm(count: 8, seed: 31)
            swarm.loss = 0.05
            swarm.startAll()
            swarm.run(for: 3)
            swarm.crash(2)
            swarm.run(for: 5)
            return (swarm.nodes.map(\.sentBytes).reduce(0, +), swarm.nodes.flatMap { $0.events.map(\.event) })
        }
        let first = run()
        let second = run()
        #expect(first.0 == second.0)
        #expect(first.1 == second.1)
    }
}
