import Primitives
import Testing
import Wire

@testable import Overlay

@Suite struct ProbingTests {
    @Test("A pair finds both directions of an asymmetric link", arguments: [1.0, 10, 100, 1000])
    func pair(megabits: Double) {
        let up = Double.megabits(megabits)
        let down = up * 5
        var bench = ProbingBench(up: [up, up / 2], down: [down, down], delay: .milliseconds(10))
        bench.run(seconds: 8)
        for (index, other, receive, send) in [(0, 1, up / 2, up), (1, 0, up, up / 2)] {
            guard let link = bench.cores[index].link(to: bench.peers[other]) else {
                Issue.record("peer \(index) knows no link")
                return
            }
            for (name, found, truth) in [
                ("receive", link.receiveBandwidth, receive), ("send", link.sendBandwidth, send),
            ] {
                let error = abs(found.bytesPerSecond - truth) / truth
                #expect(error < 0.01, "peer \(index) \(name): \(found), truth \(truth * 8e-6) Mbit/s")
            }
            #expect(link.confidence == .fine)
            let roundTrip = link.roundTrip.minimum?.milliseconds ?? 0
            #expect(abs(roundTrip - 20) < 2, "round trip \(roundTrip) ms, truth 20 ms")
            #expect(link.loss.fraction == 0)
        }
    }

    @Test("Sixteen peers measure all pairs within eight seconds, never two trains on one link, and fall silent")
    func sixteen() {
        let rates = (0..<16).map { Double.megabits($0 < 8 ? 1000 : 100 + Double($0)) }
        var bench = ProbingBench(up: rates, down: rates, delay: .microseconds(100))
        bench.run(seconds: 8)
        var worst = 0.0
        for left in 0..<16 {
            for right in 0..<16 where left != right {
                let truth = min(rates[left], rates[right])
                let found = bench.cores[right].link(to: bench.peers[left])?.receiveBandwidth.bytesPerSecond ?? 0
                worst = max(worst, abs(found - truth) / truth)
            }
        }
        #expect(worst < 0.02, "worst relative error \(worst)")
        for index in 0..<16 {
            let reports = bench.pages[index].keys.sorted().flatMap { bench.pages[index][$0]?.reports ?? [] }
            #expect(reports.count == 15, "peer \(index) published \(reports.count) links of 15")
            #expect(reports.allSatisfy { $0.confidence == .fine })
        }
        let last = bench.publications.map(\.at.nanoseconds).max() ?? 0
        #expect(last < 6_000_000_000, "the last publication came after \(Double(last) / 1e9) s")
        let count = bench.publications.count
        bench.run(seconds: 120)
        #expect(bench.publications.count == count, "quiet peers published again")
        #expect(overlaps(bench) == 0, "two trains shared an access link")
    }

    @Test("Trains that disagree on busy machines cost less and less")
    func busyMachines() {
        let rates = [Double](repeating: .megabits(1500), count: 6)
        var bench = ProbingBench(up: rates, down: rates, delay: .microseconds(50))
        // A time slice of another process now and then, as on a machine with far more of them than processors.
        bench.pauses = (0.01, .milliseconds(4))
        func bytes() -> Int { bench.trainPackets.count * Limits.datagramBytes / rates.count }
        bench.run(seconds: 60)
        let first = bytes()
        bench.run(seconds: 1200)
        let rate = Double(bytes() - first) / 1200
        for core in bench.cores {
            #expect(core.measuredPeers.allSatisfy { core.link(to: $0)?.measuredAt != nil }, "every pair has a figure")
        }
        #expect(first < 12_000_000, "\(first) bytes a peer in the first minute")
        #expect(rate < 10_000, "\(rate) bytes a second and peer afterwards")
    }

    @Test("A fast link that looked far at first needs no proofs once it is known to be near")
    func nearAfterAll() {
        let rates = [Double](repeating: .megabits(8000), count: 3)
        var bench = ProbingBench(up: rates, down: rates, delay: .microseconds(600))
        func links() -> [ProbedLink] {
            bench.cores.flatMap { core in core.measuredPeers.compactMap { core.link(to: $0) } }
        }
        while !links().contains(where: { $0.doubt != nil }), bench.now < Instant.seconds(10) {
            bench.run(seconds: 0.05)
        }
        #expect(bench.now < Instant.seconds(10), "so fast and far is hard to believe")
        bench.delay = .microseconds(30)
        for index in bench.peers.indices {
            for other in bench.peers where other != bench.peers[index] { bench.give(.ping(other), to: index) }
        }
        bench.run(seconds: 300)
        #expect(links().allSatisfy { $0.measuredAt != nil && $0.doubt == nil })
        #expect(bench.trainPackets.count < 8192, "\(bench.trainPackets.count) packets: fewer than one proof takes")
    }

    @Test("The time for which either machine holds an echo is no part of the round trip, within bounds")
    func heldEchoes() {
        let other = ProbingBench.peer(2)
        var core = Probing(local: ProbingBench.peer(1), seed: 1, tokenSecret: Digest.sha256([1]))
        var now = Instant(nanoseconds: 0)
        func pong(after whole: Duration, held: Duration) -> Duration? {
            var effects: [Probing.Effect] = []
            core.handle(.ping(other), at: now, into: &effects)
            #expect(core.hasFreshEchoes)
            now = now + .microseconds(150)
            core.handle(.left, at: now, into: &effects)
            #expect(!core.hasFreshEchoes)
            guard case .send(let messages, _)? = effects.last, case .echo(let token)? = messages.first else {
                return nil
            }
            now = now + whole
            effects = []
            core.handle(.receive(.echoReply(token: token, held: held), from: other), at: now, into: &effects)
            return effects.compactMap { if case .event(.pong(_, let time)) = $0 { time } else { nil } }.first
        }
        #expect(pong(after: .milliseconds(1), held: .microseconds(300)) == .microseconds(700))
        #expect(pong(after: .milliseconds(1), held: .seconds(4)) == .microseconds(500), "half at most")
        #expect(pong(after: .milliseconds(30), held: .milliseconds(15)) == .milliseconds(25), "5 ms at most")
        var effects: [Probing.Effect] = []
        core.handle(.receive(.echo(token: 7), from: other, held: .microseconds(80)), at: now, into: &effects)
        #expect(effects == [.send([.echoReply(token: 7, held: .microseconds(80))], to: other)])
    }

    @Test("A peer that has asked in vain and is busy in turn is not asked again at once")
    func busyInTurn() {
        let (local, one, two) = (ProbingBench.peer(5), ProbingBench.peer(1), ProbingBench.peer(2))
        var core = Probing(local: local, seed: 1, tokenSecret: Digest.sha256([1]))
        var now = Instant(nanoseconds: 0)
        var effects: [Probing.Effect] = []
        func give(_ input: Probing.Input) { core.handle(input, at: now, into: &effects) }
        give(.start)
        for (others, peer) in [one, two].enumerated() {
            give(.memberUp(peer, others: others + 1))
            give(.members([one, two]))
            give(.roundTrip(peer, .microseconds(100)))
        }
        give(.receive(.reserve(session: 1, .routine, allowanceBytes: 0), from: two))
        give(.receive(.reserve(session: 2, .routine, allowanceBytes: 0), from: one))
        let refused = effects.contains {
            if case .send(let messages, one) = $0, case .busy? = messages.first { true } else { false }
        }
        #expect(refused, "one session at a time")
        give(.receive(.finish(session: 1), from: two))
        var asked = 0
        while let deadline = core.nextDeadline, deadline < Instant(nanoseconds: 30_000_000_000), asked < 1000 {
            now = max(now, deadline)
            effects = []
            give(.timer)
            // Every wish for a session is answered a little later: not within the next minute.
            while case .send(let messages, one)? = effects.first(where: { $0.isReservation(with: one) }),
                case .reserve(let session, _, _)? = messages.first, asked < 1000
            {
                asked += 1
                now = now + .microseconds(100)
                effects = []
                give(.receive(.busy(session: session, retryAfterMilliseconds: 60_000), from: one))
            }
        }
        #expect(asked == 1, "asked \(asked) times within 30 s")
    }

    @Test("Peers behind one access link never probe it at once", arguments: [UInt64(1), 2, 3])
    func sites(seed: UInt64) {
        let rates = [Double](repeating: .megabits(50), count: 12)
        var bench = ProbingBench(up: rates, down: rates, delay: .milliseconds(20), seed: seed)
        let site = 0..<4
        bench.isNear = { site.contains($0) && site.contains($1) }
        for one in site {
            for other in site where other != one { bench.give(.sibling(bench.peers[other], true), to: one) }
        }
        bench.run(seconds: 60)
        for left in bench.peers.indices {
            for right in bench.peers.indices where left != right {
                let link = bench.cores[left].link(to: bench.peers[right])
                #expect(link?.measuredAt != nil, "seed \(seed), \(left) to \(right)")
            }
        }
        // Trains that pass the site's access link, by pair: none begins again after another one's.
        let passing = bench.trainPackets.filter { site.contains($0.from) != site.contains($0.to) }
        #expect(interleaved(passing) == 0, "seed \(seed)")
    }

    @Test("A pair that cannot talk does not hold up the others")
    func cutPair() {
        let rates = [Double](repeating: .megabits(100), count: 6)
        var bench = ProbingBench(up: rates, down: rates, delay: .milliseconds(1))
        bench.isCut = { from, to in (from, to) == (1, 4) }
        bench.run(seconds: 30)
        for left in 0..<6 {
            for right in 0..<6 where left != right && ![(1, 4), (4, 1)].contains(where: { $0 == (left, right) }) {
                #expect(bench.cores[left].link(to: bench.peers[right])?.measuredAt != nil, "\(left) to \(right)")
            }
        }
        #expect(bench.pages[1].values.reduce(0) { $0 + $1.reports.count } >= 4)
    }

    @Test("Random loss leaves the estimates within a few percent", arguments: [UInt64(1), 2, 3, 4])
    func lossy(seed: UInt64) {
        let rates = [Double](repeating: .megabits(50), count: 4)
        var bench = ProbingBench(up: rates, down: rates, delay: .milliseconds(20), seed: seed)
        bench.loss = 0.05
        bench.run(seconds: 40)
        for left in 0..<4 {
            for right in 0..<4 where left != right {
                let found = bench.cores[right].link(to: bench.peers[left])?.receiveBandwidth.bytesPerSecond ?? 0
                let error = abs(found - rates[0]) / rates[0]
                #expect(error < 0.1, "seed \(seed), \(left) to \(right): relative error \(error)")
            }
        }
    }

    @Test("A measurement on request is done at once and reported")
    func onRequest() {
        let rates = [Double](repeating: .megabits(100), count: 3)
        var bench = ProbingBench(up: rates, down: rates, delay: .milliseconds(5))
        bench.run(seconds: 10)
        bench.events.removeAll()
        bench.give(.measure(bench.peers[0]), to: 2)
        bench.give(.ping(bench.peers[1]), to: 2)
        bench.run(seconds: 2)
        let measured = bench.events.contains {
            if $0.peer == 2, case .measured(let peer, _) = $0.event { peer == bench.peers[0] } else { false }
        }
        let pong = bench.events.contains {
            if $0.peer == 2, case .pong(let peer, let time) = $0.event {
                peer == bench.peers[1] && abs(time.milliseconds - 10) < 1
            } else {
                false
            }
        }
        #expect(measured && pong, "events: \(bench.events)")
    }

    @Test("A measurement on request begins with echoes close together, so that the least round trip is one of many")
    func echoesBeforeMeasurement() throws {
        let rates = [Double](repeating: .megabits(100), count: 3)
        var bench = ProbingBench(up: rates, down: rates, delay: .milliseconds(5))
        bench.run(seconds: 20)
        func samples() -> Int { bench.cores[2].link(to: bench.peers[0])?.roundTrip.samples ?? 0 }
        let before = samples()
        let trains = bench.cores[2].link(to: bench.peers[0])?.measuredAt
        bench.give(.measure(bench.peers[0]), to: 2)
        bench.run(seconds: 0.1)
        #expect(bench.cores[2].link(to: bench.peers[0])?.measuredAt == trains, "no train while the echoes are sent")
        #expect(samples() >= before + 8, "\(samples() - before) round trips in a tenth of a second")
        bench.run(seconds: 2)
        #expect(bench.cores[2].link(to: bench.peers[0])?.measuredAt != trains)
        #expect(samples() <= before + 13, "ten echoes, a grant and perhaps a regular echo, not \(samples() - before)")
    }

    @Test("A peer measures a link that another one asks for, and not again at once")
    func asked() {
        let rates = [Double](repeating: .megabits(100), count: 3)
        var bench = ProbingBench(up: rates, down: rates, delay: .milliseconds(5))
        bench.run(seconds: 60)
        func trains() -> Int { bench.cores[1].link(to: bench.peers[2])?.trains ?? 0 }
        let before = trains()
        #expect(before > 0, "three peers measure all pairs")
        bench.give(.ask(bench.peers[1], target: bench.peers[2]), to: 0)
        bench.run(seconds: 5)
        let after = trains()
        #expect(after != before || bench.cores[1].link(to: bench.peers[2])?.measuredAt != nil)
        let measurements = bench.events.count {
            if $0.peer == 1, case .measured(let peer, _) = $0.event { peer == bench.peers[2] } else { false }
        }
        bench.give(.ask(bench.peers[1], target: bench.peers[2]), to: 0)
        bench.run(seconds: 5)
        let later = bench.events.count {
            if $0.peer == 1, case .measured(let peer, _) = $0.event { peer == bench.peers[2] } else { false }
        }
        #expect(measurements >= 2, "the first measurement and the one asked for: \(bench.events.count) events")
        #expect(later == measurements, "asked again within the interval")
    }

    @Test("Forged, stale and impossible messages change nothing")
    func forged() {
        let rates = [Double](repeating: .megabits(100), count: 3)
        var bench = ProbingBench(up: rates, down: rates, delay: .milliseconds(5))
        bench.run(seconds: 10)
        let before = bench.cores[0].link(to: bench.peers[1])?.receiveBandwidth
        let forgeries: [ProbingMessage] = [
            .echoReply(token: 5, held: .zero), .grant(session: 9, allowanceBytes: 9),
            .busy(session: 9, retryAfterMilliseconds: 9),
            .train(TrainPacket(session: 9, train: 0, index: 0, count: 16)), .finish(session: 9),
            .report(
                TrainReport(
                    session: 9, train: 0, received: 64, tail: Bandwidth(bytesPerSecond: 1e12), head: .zero, span: .zero)
            ),
        ]
        for message in forgeries { bench.give(.receive(message, from: bench.peers[1]), to: 0) }
        bench.run(seconds: 1)
        #expect(bench.cores[0].link(to: bench.peers[1])?.receiveBandwidth == before)
    }

    @Test("Only who received a packet can say so", arguments: [UInt64(1), 2, 3])
    func proofs(serial: UInt64) {
        let tokens = TrainTokens(secret: Digest.sha256([9]), serial: serial).tokens(ofTrain: 2, count: 37)
        #expect(Set(tokens).count == 37, "no token comes twice")
        var seen = [Bool](repeating: true, count: 37)
        #expect(ArrivedPackets(seen) == .all)
        let all = TrainTokens.proof(tokens, .all)
        #expect(all == tokens.reduce(0, ^))
        seen[30] = false
        let some = ArrivedPackets(seen)
        #expect(some.count(of: 37) == 36 && !some.contains(30) && some.contains(36))
        #expect(
            TrainTokens.proof(tokens, some) == all ^ tokens[30], "the token of a lost packet is missing in the proof")
        let other = TrainTokens(secret: Digest.sha256([9]), serial: serial + 1).tokens(ofTrain: 2, count: 37)
        #expect(other != tokens, "another session has other tokens")
    }

    @Test("A report without its proof is dropped")
    func unproven() {
        let start = Instant(nanoseconds: 0)
        var session = TrainSession(
            reserving: 1, with: ProbingBench.peer(2), purpose: .routine, allowance: 0,
            background: .init(roundTrip: .milliseconds(10)), policy: .init(),
            tokens: TrainTokens(secret: Digest.sha256([1]), serial: 1), at: start)
        var sent: [UInt64] = []
        for case .send(let messages) in session.granted(allowance: 0, at: start) {
            for case .train(let packet) in messages { sent.append(packet.token) }
        }
        var report = TrainReport(
            session: 1, train: 0, received: 16, tail: Bandwidth(bitsPerSecond: 1e8), head: .zero, span: .zero)
        session.receive(report, at: start + .milliseconds(15))
        for case .finished(let result) in session.finish() { #expect(result.send == nil) }
        report.proof = sent.reduce(0, ^)
        session.receive(report, at: start + .milliseconds(15))
        for case .finished(let result) in session.finish() {
            #expect(result.send == report.tail)
            // 16 packets of 1200 bytes in the 5 ms that are left of 15.
            #expect(abs((result.sendBound ?? .zero).bytesPerSecond - 16 * 1200 / 0.005) < 1, "\(result)")
        }
    }

    @Test("The available bandwidth is where trains begin to be stretched")
    func available() throws {
        let capacity = Bandwidth(bitsPerSecond: 100e6)
        let points = AvailableFit.shares.map { share in
            // Two fifths of the link are free.
            let stretch = max(1, share + 1 - 0.4)
            return AvailableFit.Point(
                sent: Bandwidth(bitsPerSecond: share * 100e6),
                arrived: Bandwidth(bitsPerSecond: share * 100e6 / stretch))
        }
        let found = try #require(AvailableFit.fit(points, capacity: capacity))
        #expect(abs(found.megabitsPerSecond - 40) < 0.5, "\(found)")
        #expect(AvailableFit.fit(Array(points.prefix(3)), capacity: capacity) == nil)
    }

    @Test("Every train message fills a datagram exactly")
    func trainFillsDatagram() {
        let packet = ProbingMessage.train(TrainPacket(session: 1, train: 0, index: 3, count: 16))
        #expect(packet.wireBytes.count == Limits.datagramPayloadBytes)
    }

    /// Cases in which, within one exchange, a peer's access link carried packets of two pairs' trains interleaved.
    private func overlaps(_ bench: ProbingBench) -> Int {
        bench.peers.indices.reduce(0) { count, peer in
            count + interleaved(bench.trainPackets.filter { $0.from == peer || $0.to == peer })
        }
    }

    private func interleaved(_ packets: [(from: Int, to: Int, at: Instant)]) -> Int {
        var count = 0
        var finished: Set<String> = []
        var current = ""
        for packet in packets.sorted(by: { $0.at < $1.at }) {
            let pair = "\(min(packet.from, packet.to))-\(max(packet.from, packet.to))"
            guard pair != current else { continue }
            if finished.contains(pair) { count += 1 }
            if !current.isEmpty { finished.insert(current) }
            current = pair
        }
        return count
    }
}

extension Probing.Effect {
    fileprivate func isReservation(with peer: PeerID) -> Bool {
        if case .send(let messages, peer) = self, case .reserve? = messages.first { true } else { false }
    }
}
