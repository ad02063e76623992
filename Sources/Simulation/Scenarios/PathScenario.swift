import Noise
import Primitives
import Wire

/// Peers with an IPv4, an IPv6 and a LAN address each, played with the real session tables under a virtual clock.
///
/// Everybody should speak to everybody over the nearest path or one that is worse by no more than the hysteresis; no session
/// should hop to and fro while no path changes; and only a path that dies should cost a handshake.
struct PathScenario {
    private enum Event {
        case arrival(PathNetwork.Datagram)
        case timer(Int, Instant)
        case talk(Int)
    }

    /// How often each peer sends to each other, about as a job's control messages do.
    private static let talkPause = Duration.milliseconds(250)
    /// A peer from which nothing has come for so long gets new keys, as membership has it after an unanswered ping.
    private static let silence = Duration.milliseconds(1500)
    private static let peersPerSite = 4
    private static let start = Instant(nanoseconds: 1_000_000_000)
    /// Virtual seconds until every session has been measured once, and after a change until every one has been again.
    private static let firstChoiceSeconds = 10.0
    private static let nextChoiceSeconds = 90.0
    private static let failureSeconds = 10.0

    private let options: ScenarioOptions
    private var network: PathNetwork
    private let identities: [LocalIdentity]
    private let tables: [SessionTable]
    private let indices: [PeerID: Int]  // only looked up, never iterated
    private let peerAtAddress: [NetworkAddress: Int]  // only looked up, never iterated
    private var queue = EventQueue<Event>()
    private var time = Self.start
    private var wakes: [Instant?]
    /// When each peer last heard of each other, and for how long it once did not.
    private var heard: [[Instant]]
    private var longestSilence = Duration.zero
    private var moves = 0
    /// How often each peer has changed its path to each other since the present phase began.
    private var hops: [[Int]]
    private var report: SimulationReport
    private var trace = DigestBuilder()

    static func run(_ options: ScenarioOptions, progress: ((Double) -> Void)?) -> SimulationReport {
        guard var scenario = PathScenario(options) else { preconditionFailure("32 random bytes make a key") }
        return scenario.play(progress)
    }

    private init?(_ options: ScenarioOptions) {
        self.options = options
        let count = options.peers
        var generator = SeededGenerator(seed: options.seed)
        network = PathNetwork(
            profile: options.profile, peers: count, peersPerSite: Self.peersPerSite, generator: generator.split())
        var entropy = SimulatedEntropy(generator: generator.split())
        guard let secret = SwarmSecret(entropy.secretBytes(count: 32)) else { return nil }
        var identities: [LocalIdentity] = []
        for _ in 0..<count {
            guard let key = IdentityKey(seed: entropy.secretBytes(count: 32)),
                let agreement = AgreementKey(secret: entropy.secretBytes(count: 32))
            else { return nil }
            identities.append(LocalIdentity(identity: key, agreement: agreement))
        }
        self.identities = identities
        tables = identities.map {
            SessionTable(
                identity: $0, secret: secret, entropy: SimulatedEntropy(generator: generator.split()),
                wallClockMilliseconds: 1_750_000_000_000, at: Self.start)
        }
        var (indices, peerAtAddress): ([PeerID: Int], [NetworkAddress: Int]) = ([:], [:])
        for (index, identity) in identities.enumerated() {
            indices[identity.peer] = index
            for address in network.addresses(of: index) { peerAtAddress[address] = index }
        }
        (self.indices, self.peerAtAddress) = (indices, peerAtAddress)
        wakes = Array(repeating: nil, count: count)
        heard = Array(repeating: Array(repeating: Self.start, count: count), count: count)
        hops = Array(repeating: Array(repeating: 0, count: count), count: count)
        report = SimulationReport(scenario: .paths, peers: count, seed: options.seed)
    }

    // MARK: The play

    private mutating func play(_ progress: ((Double) -> Void)?) -> SimulationReport {
        meet()
        var paths = SimulationReport.Paths()
        run(for: 1, progress)
        paths.firstExcessSeconds = SimulationReport.Spread(excesses())
        run(for: Self.firstChoiceSeconds, progress)
        check("after the first choice")
        paths.chosenExcessSeconds = SimulationReport.Spread(excesses())
        paths.firstMoves = moves

        hops = hops.map { $0.map { _ in 0 } }
        run(for: options.seconds, progress)
        let restless = hops.joined().count { $0 > 1 }
        if restless > 0 { violate("\(restless) peers went to and fro while no path changed") }

        let settled = handshakes
        network.detour(.six, site: 0, by: .milliseconds(80))
        run(for: Self.nextChoiceSeconds, progress)
        check("\(Int(Self.nextChoiceSeconds)) s after IPv6 of a site took a detour")
        paths.detourExcessSeconds = SimulationReport.Spread(excesses())
        if handshakes != settled { violate("\(handshakes - settled) handshakes though every session had a path") }

        network.fail(.lan, site: 0)
        longestSilence = .zero
        run(for: Self.failureSeconds, progress)
        check("\(Int(Self.failureSeconds)) s after a LAN has died")
        paths.longestSilenceSeconds = longestSilence.seconds
        paths.moves = moves
        paths.handshakes = Int(handshakes)
        return finish(paths)
    }

    /// Everybody learns everybody's addresses and begins to talk.
    private mutating func meet() {
        for one in 0..<identities.count {
            for (other, identity) in identities.enumerated() where other != one {
                let contact = Contact(
                    peer: identity.peer, agreementKey: identity.agreementPublicKey,
                    addresses: network.addresses(of: other))
                handle(.learn(contact), one)
            }
            queue.push(.talk(one), at: Self.start + .nanoseconds(Self.talkPause.nanoseconds / 8 * Int64(one % 8)))
        }
    }

    private mutating func finish(_ paths: SimulationReport.Paths) -> SimulationReport {
        report.paths = paths
        report.packetsLost = network.lost
        report.virtualSeconds = (time - Self.start).seconds
        for one in 0..<identities.count {
            for other in 0..<identities.count where other != one {
                trace.update(tables[one].address(of: identities[other].peer)?.addressBytes ?? [])
            }
        }
        report.digest = trace.finish().description
        return report
    }

    private var handshakes: UInt64 { tables.reduce(0) { $0 + $1.counters.handshakesBegun } }

    private mutating func violate(_ text: String) {
        report.violations.append("at \((time - Self.start).seconds) s: \(text)")
    }

    /// For every peer and every other, how much longer than necessary the round trip of its path is, in seconds.
    private func excesses() -> [Double] {
        var result: [Double] = []
        forEachPath { one, other, kind in
            guard let delay = network.delay(kind, from: one, to: other),
                let least = network.leastRoundTrip(one, other)
            else { return }
            result.append((delay * 2 - least).seconds)
        }
        return result
    }

    /// Demands that every path works, is near the best one, and is the same both ways.
    private mutating func check(_ moment: String) {
        var problems: [String] = []
        forEachPath { one, other, kind in
            guard let delay = network.delay(kind, from: one, to: other),
                let least = network.leastRoundTrip(one, other)
            else { return problems.append("peer \(one) sends to peer \(other) over \(kind), which is dead") }
            // What jitter may add to a measured round trip may come on top of the hysteresis.
            let tolerated = Self.hysteresis + delay * (2 * options.profile.jitterShare)
            if delay * 2 - least > tolerated {
                problems.append("peer \(one) sends to peer \(other) over \(kind): \(delay * 2) instead of \(least)")
            }
        }
        for problem in problems.prefix(5) { violate("\(moment), \(problem)") }
    }

    /// As `PathChoice.hysteresis`.
    private static let hysteresis = Duration.milliseconds(5)

    private func forEachPath(_ body: (_ one: Int, _ other: Int, _ kind: PathNetwork.Kind) -> Void) {
        for one in 0..<identities.count {
            for other in 0..<identities.count where other != one {
                guard let address = tables[one].address(of: identities[other].peer),
                    let kind = network.kind(address, of: other)
                else { continue }
                body(one, other, kind)
            }
        }
    }

    // MARK: Time

    private mutating func run(for seconds: Double, _ progress: ((Double) -> Void)?) {
        let end = time + .nanoseconds(Int64(seconds * 1e9))
        while let (at, event) = queue.pop(until: end) {
            time = at
            switch event {
            case .arrival(let datagram): handle(.datagram(datagram.bytes, from: datagram.source), datagram.to)
            case .timer(let index, let due):
                guard wakes[index] == due else { continue }
                wakes[index] = nil
                handle(.timer, index)
            case .talk(let index):
                talk(index)
                queue.push(.talk(index), at: time + Self.talkPause)
                if index == 0 { progress?((time - Self.start).seconds) }
            }
        }
        time = end
    }

    private mutating func talk(_ one: Int) {
        for (other, identity) in identities.enumerated() where other != one {
            handle(.send([0], to: identity.peer), one)
            longestSilence = max(longestSilence, time - heard[one][other])
            if time - heard[one][other] > Self.silence { handle(.renew(identity.peer), one) }
        }
    }

    private mutating func handle(_ input: SessionTable.Input, _ index: Int) {
        var effects: [SessionTable.Effect] = []
        tables[index].handle(input, at: time, into: &effects)
        for effect in effects {
            switch effect {
            case .transmit(let bytes, let address):
                guard let other = peerAtAddress[address],
                    let sent = network.send(bytes, from: index, to: address, peer: other)
                else { continue }
                queue.push(.arrival(sent.datagram), at: time + sent.delay)
            case .deliver(_, let peer, _):
                guard let other = indices[peer] else { continue }
                heard[index][other] = time
                report.deliveries += 1
                trace.update(withUnsafeBytes(of: time.nanoseconds.littleEndian) { Array($0) })
            case .moved(let peer, _):
                moves += 1
                if let other = indices[peer] { hops[index][other] += 1 }
            case .established, .failed, .refused: break
            }
        }
        guard let deadline = tables[index].nextDeadline, wakes[index].map({ deadline < $0 }) ?? true else { return }
        wakes[index] = deadline
        queue.push(.timer(index, deadline), at: max(deadline, time))
    }
}
