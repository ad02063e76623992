import Primitives
import Testing
import Wire

@testable import Noise

@Suite("Which of several addresses that answer is used")
struct PathChoiceTests {
    typealias Measured = PathChoice.Measured

    private static let here = address(1)
    private static let there = address(2)
    private static let elsewhere = address(3)

    private static func list(_ milliseconds: [(NetworkAddress, Double?)]) -> [Measured] {
        milliseconds.map { entry in
            Measured(address: entry.0, roundTrip: entry.1.map { .microseconds(Int64($0 * 1000)) })
        }
    }

    @Test(
        "The present address stays unless another is more than five milliseconds nearer",
        arguments: [
            ([(here, 20.0), (there, 15.0)], here, "just the hysteresis"),
            ([(here, 20.0), (there, 14.9)], there, "more than the hysteresis"),
            ([(here, 20.0), (there, 14), (elsewhere, 9)], elsewhere, "the best, not the first better one"),
            ([(here, 20.0), (there, 9), (elsewhere, 9)], there, "of equals the first"),
            ([(here, 20.0), (there, nil)], here, "silence is no round trip"),
            ([(here, nil), (there, 200)], there, "an answer is better than none"),
            ([(here, nil), (there, nil)], here, "nothing is known"),
            ([(there, 3)], there, "the present one was not asked"),
        ] as [([(NetworkAddress, Double?)], NetworkAddress, String)])
    func table(measured: [(NetworkAddress, Double?)], expected: NetworkAddress, reason: String) {
        #expect(PathChoice.choose(present: Self.here, among: Self.list(measured)) == expected, "\(reason)")
    }

    @Test("A survey sends three rounds, takes the least round trip and waits no longer than it must")
    func survey() {
        var now = Instant(nanoseconds: 0)
        var survey = PathSurvey([Self.here, Self.there], at: now)
        var count: UInt8 = 0
        func step() -> PathSurvey.Step {
            survey.next(at: now) {
                count += 1
                return [UInt8](repeating: count, count: PathMessage.tokenByteCount)
            }
        }
        for (round, trips) in [(30, 12), (28, 15), (33, 19)].enumerated() {
            guard case .challenge(let challenges) = step() else { return #expect(Bool(false), "round \(round)") }
            #expect(challenges.map(\.address) == [Self.here, Self.there])
            let again = step()
            #expect(again == .nothing)
            let sent = now
            for (challenge, trip) in zip(challenges, [trips.0, trips.1]) {
                let at = sent + .milliseconds(Int64(trip))
                let isFirst = survey.answer(challenge.token, from: challenge.address, at: at)
                let isAgain = survey.answer(challenge.token, from: challenge.address, at: at)
                #expect(isFirst && !isAgain, "a token counts once")
            }
            now = max(survey.deadline, sent + .milliseconds(100))
        }
        #expect(survey.measured.map(\.roundTrip) == [.milliseconds(28), .milliseconds(12)])
        let end = step()
        #expect(end == .done, "every probe has come back")
    }

    @Test("A response from another address than the one asked is no round trip")
    func asymmetric() {
        let now = Instant(nanoseconds: 0)
        var survey = PathSurvey([Self.here, Self.there], at: now)
        guard case .challenge(let challenges) = survey.next(at: now, token: { [9] }) else {
            return #expect(Bool(false), "a survey begins at once")
        }
        let isOurs = survey.answer(challenges[0].token, from: Self.elsewhere, at: now + .milliseconds(1))
        #expect(isOurs && survey.measured[0].roundTrip == nil)
    }
}

@Suite("Sessions with peers that have several addresses")
struct PathTests {
    /// Two peers, of which the second is reached over either of two addresses; all datagrams of a path take the same time.
    private struct TwoPaths {
        static let second = [address(2), address(102)]
        /// Where the first is seen by the second over each path.
        static let first = [address(1), address(101)]
        let net: SessionNetwork
        /// One-way delays; `nil` loses everything.
        var delays: [Duration?]
        private var queue: [(at: Instant, index: Int, bytes: [UInt8], source: NetworkAddress)] = []

        init(_ delays: [Duration?]) throws {
            net = try SessionNetwork(learns: false)
            self.delays = delays
            for (one, other, addresses) in [(0, 1, Self.second), (1, 0, Self.first)] {
                let contact = Contact(
                    peer: net.identities[other].peer, agreementKey: net.identities[other].agreementPublicKey,
                    addresses: addresses)
                net.handle(one, .learn(contact))
            }
        }

        /// Runs for a while, with both sending every 50 ms; the first begins.
        mutating func talk(for duration: Duration) {
            let end = net.now + duration
            var nextTalk = net.now
            while net.now < end {
                if net.now >= nextTalk {
                    net.send("ping", from: 0, to: 1)
                    if net.tables[1].isEstablished(net.identities[0].peer) { net.send("pong", from: 1, to: 0) }
                    nextTalk = nextTalk + .milliseconds(50)
                }
                carry()
                let deadlines = net.tables.compactMap(\.nextDeadline) + queue.map(\.at) + [nextTalk, end]
                net.now = max(net.now, deadlines.min() ?? end)
                for index in net.tables.indices { net.handle(index, .timer) }
                let due = queue.filter { $0.at <= net.now }
                queue.removeAll { $0.at <= net.now }
                for item in due { net.handle(item.index, .datagram(item.bytes, from: item.source)) }
            }
        }

        private mutating func carry() {
            for datagram in net.inFlight {
                let isFromFirst = datagram.from == net.addresses[0]
                let targets = isFromFirst ? Self.second : Self.first
                guard let path = targets.firstIndex(of: datagram.to), let delay = delays[path] else { continue }
                let source = (isFromFirst ? Self.first : Self.second)[path]
                queue.append((net.now + delay, isFromFirst ? 1 : 0, datagram.bytes, source))
            }
            net.inFlight = []
        }

        var used: NetworkAddress? { net.tables[0].address(of: net.identities[1].peer) }
        var usedBack: NetworkAddress? { net.tables[1].address(of: net.identities[0].peer) }
    }

    @Test("Once a session is used, it goes over the nearer of two addresses, both ways, without a handshake")
    func nearer() throws {
        var paths = try TwoPaths([.milliseconds(40), .milliseconds(3)])
        paths.talk(for: .milliseconds(300))
        #expect(paths.used == TwoPaths.second[0], "the first to answer a handshake comes first")
        paths.talk(for: .seconds(2))
        #expect(paths.used == TwoPaths.second[1] && paths.usedBack == TwoPaths.first[1])
        paths.talk(for: .seconds(20))
        #expect(paths.net.moved[0].count == 1 && paths.net.moved[1].count == 1, "one move, and no way back")
        #expect(paths.net.tables.map(\.counters.handshakesBegun).reduce(0, +) == 1)
        let texts = paths.net.texts(1)
        #expect(texts.count > 430, "\(texts.count) of about 445 arrived: nothing is lost in a move")
    }

    @Test("Addresses that are equally near make nobody hop")
    func equal() throws {
        var paths = try TwoPaths([.milliseconds(10), .milliseconds(8)])
        paths.talk(for: .seconds(130))
        #expect(paths.net.tables[0].counters.pathsSurveyed >= 2, "it is measured again and again")
        #expect(paths.net.moved[0].isEmpty && paths.net.moved[1].isEmpty)
    }

    @Test("A path that becomes slow is left after a minute at most, and one that dies at once when an answer is missed")
    func worse() throws {
        var paths = try TwoPaths([.milliseconds(10), .milliseconds(12)])
        paths.talk(for: .seconds(5))
        #expect(paths.used == TwoPaths.second[0])
        paths.delays[0] = .milliseconds(60)
        paths.talk(for: .seconds(65))
        #expect(paths.used == TwoPaths.second[1] && paths.usedBack == TwoPaths.first[1])
        let handshakes = paths.net.tables[0].counters.handshakesBegun
        paths.delays[1] = nil
        paths.talk(for: .seconds(1))
        paths.net.handle(0, .renew(paths.net.identities[1].peer))
        let before = paths.net.texts(1).count
        paths.talk(for: .seconds(1))
        #expect(paths.used == TwoPaths.second[0], "the handshake found the address that answers")
        #expect(paths.net.texts(1).count > before)
        #expect(paths.net.tables[0].counters.handshakesBegun == handshakes + 1)
    }

    @Test("Only the end that began the session chooses, and who knows one address measures nothing")
    func oneEnd() throws {
        var paths = try TwoPaths([.milliseconds(10), .milliseconds(12)])
        paths.talk(for: .seconds(10))
        #expect(paths.net.tables[1].counters.pathsSurveyed == 0)
        let single = try SessionNetwork()
        for _ in 0..<200 {
            single.send("x", from: 0, to: 1)
            single.settle()
        }
        single.run(for: .seconds(5))
        #expect(single.tables[0].counters.pathsSurveyed == 0)
        #expect(single.recorded.count == 202, "a handshake and 200 datagrams, no probes")
    }

    @Test("A challenge does not move its sender")
    func probing() throws {
        var paths = try TwoPaths([.milliseconds(10), .milliseconds(12)])
        paths.talk(for: .seconds(10))
        #expect(paths.net.tables[0].counters.pathsSurveyed == 1)
        #expect(paths.net.tables[1].counters.pathsChallenged == 0, "a path that is only tried needs no proof")
        #expect(paths.usedBack == TwoPaths.first[0])
    }
}
