import NIOCore
import NIOPosix
import Noise
import Primitives
import Runtime
import TestSupport
import Testing
import Wire

@Suite(.serialized) struct ShaperTests {
    /// Two peers whose narrowest part is `megabits`, 5 ms apart.
    private func topology(megabits: Double) -> TopologyFile {
        TopologyFile(
            sites: [.init(name: "here", inside: .init(megabits: megabits, delayMilliseconds: 5))], links: [],
            elsewhere: .init(megabits: megabits, delayMilliseconds: 5),
            peers: [
                .init(name: "a", site: "here", upMegabits: 1000, downMegabits: 1000),
                .init(name: "b", site: "here", upMegabits: 1000, downMegabits: 1000),
            ])
    }

    @Test func theDemoTopologyIsWellFormed() throws {
        let topology = try TopologyFile.load(NetworkExamples.root + "/Examples/demo-topology.json")
        #expect(topology.peers.count == 8)
        #expect(Set(topology.peers.map(\.site)).count == 4)
        let ada = try #require(topology.peers.first { $0.name == "ada" })
        #expect(topology.megabits(from: ada, to: topology.peers[0]) == 20)
        #expect(topology.megabits(from: topology.peers[0], to: ada) == 50)
        #expect(topology.megabits(from: topology.peers[0], to: topology.peers[1]) == 200)
        var uneven = topology
        uneven.links[1].back = TopologyFile.Path(megabits: 5, delayMilliseconds: 40)
        #expect(uneven.megabits(from: ada, to: topology.peers[0]) == 5)
        #expect(uneven.megabits(from: topology.peers[0], to: ada) == 50)
        #expect(throws: TopologyError.self) { _ = try Shaper(topology: topology, name: "nobody") }
        #expect(throws: TopologyError.self) { _ = try TopologyFile.load("/nonexistent") }
    }

    /// A burst sent at once is read at the set rate, within five per cent, however busy the machine is.
    @Test(arguments: [5.0, 50, 200]) func aPacketTrainReadsTheSetRate(megabits: Double) async throws {
        let topology = topology(megabits: megabits)
        let events = Collector<UDPEndpoint.Event>()
        let group = MultiThreadedEventLoopGroup.singleton
        let (first, second) = (try transportIdentity(1), try transportIdentity(2))
        let one = try await UDPEndpoint(
            identity: first, secret: try transportSecret(), eventLoop: group.next(),
            shaper: try Shaper(topology: topology, name: "a")
        ) { _ in }
        let two = try await UDPEndpoint(
            identity: second, secret: try transportSecret(), eventLoop: group.next(),
            shaper: try Shaper(topology: topology, name: "b")
        ) { events.append($0) }
        _ = try await one.bind(to: loopback)
        let address = try await two.bind(to: loopback)
        one.learn(Contact(peer: second.peer, agreementKey: second.agreementPublicKey, addresses: [address]))
        one.send([0], to: second.peer)
        _ = try await events.wait(for: 2)
        let begun = MonotonicClock.now
        let payload = [UInt8](repeating: 1, count: Limits.datagramPayloadBytes)
        for _ in 0..<60 { one.send(payload, to: second.peer, at: begun) }
        let all = try await events.wait(for: 62)
        let times = all.compactMap { event -> Instant? in
            if case .payload(let bytes, _, _, let at) = event, bytes.count > 1 { at } else { nil }
        }
        #expect(times.count == 60, "none is lost")
        guard let firstTime = times.first, let lastTime = times.last, times.count == 60 else { return }
        let rate = Double(59 * Limits.datagramBytes) * 8e-6 / (lastTime - firstTime).seconds
        #expect(abs(rate / megabits - 1) < 0.05, "read \(rate) Mbit/s at \(megabits)")
        #expect(firstTime - begun >= .milliseconds(5), "never early")
        #expect(lastTime <= MonotonicClock.now, "not before its time either")
        await one.close()
        await two.close()
    }

    @Test func aStreamKeepsTheSetRateAndDelay() async throws {
        let topology = topology(megabits: 80)
        let group = MultiThreadedEventLoopGroup.singleton
        let (first, second) = (try transportIdentity(1), try transportIdentity(2))
        let times = Collector<Instant>()
        let one = StreamHub(
            identity: first, secret: try transportSecret(), group: group,
            shaper: try Shaper(topology: topology, name: "a")
        ) { _, _, _ in }
        let two = StreamHub(
            identity: second, secret: try transportSecret(), group: group,
            shaper: try Shaper(topology: topology, name: "b")
        ) { _, _, _ in times.append(MonotonicClock.now) }
        let address = try await two.listen(on: loopback)
        one.learn(Contact(peer: second.peer, agreementKey: second.agreementPublicKey, addresses: [address]))
        let begun = MonotonicClock.now
        try await one.send([1], to: second.peer, class: .gradients)
        let opened = try #require(try await times.wait(for: 1).first)
        #expect(opened - begun >= .milliseconds(15), "hello, welcome and message each take 5 ms")
        let start = MonotonicClock.now
        // 4 MiB at 80 Mbit/s take 0.42 s.
        for _ in 0..<4 {
            try await one.send([UInt8](repeating: 1, count: 1 << 20), to: second.peer, class: .gradients)
        }
        let end = try #require(try await times.wait(for: 5).last)
        let rate = Double(4 << 20) * 8e-6 / (end - start).seconds
        #expect(rate < 82, "read \(rate) Mbit/s at 80: nothing may come early")
        #expect(rate > 60, "read \(rate) Mbit/s at 80")
        await one.close()
        await two.close()
    }

    @Test func lossIsSeededAndAtItsRate() throws {
        var topology = topology(megabits: 100_000)
        topology.sites[0].inside.lossPercent = 10
        topology.peers[1].address = "127.0.0.1:7601"
        let shaper = try Shaper(topology: topology, name: "a")
        let twin = try Shaper(topology: topology, name: "a")
        let address = NetworkAddress(ipv4: (127, 0, 0, 1), port: 7601)
        let results = (0..<5000).map { step in
            let now = Instant(nanoseconds: Int64(step) * 1_000_000)
            let one = shaper.wrap([1], to: address, at: now)
            #expect(one == twin.wrap([1], to: address, at: now))
            return one != nil
        }
        let lost = results.count { !$0 }
        #expect((400...600).contains(lost), "\(lost) of 5000 lost at 10 %")
    }
}
