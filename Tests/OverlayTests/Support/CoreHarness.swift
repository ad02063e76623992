import Overlay
import Primitives
import Wire

/// A membership core with its effects, as peer 0.
struct MembershipHarness {
    var core: Membership
    var effects: [Membership.Effect] = []
    var now = Instant.seconds(1)

    init(configuration: MembershipConfiguration = MembershipConfiguration()) {
        core = Membership(
            configuration: configuration, contact: Fixtures.contact(0), signer: Fixtures.signer(0), incarnation: 1000,
            seed: 1)
        feed(.start(known: []))
    }

    mutating func feed(_ input: Membership.Input) {
        effects = []
        core.handle(input, at: now, into: &effects)
    }

    mutating func receive(_ message: MembershipMessage, from number: Int) {
        feed(.receive(message, from: Fixtures.peer(number)))
    }

    /// Introduces peers with incarnation 5.
    mutating func introduce(_ numbers: ClosedRange<Int>) {
        for number in numbers { receive(.alive(Fixtures.record(number, incarnation: 5)), from: number) }
    }

    /// Lets time pass with every wake-up on time, and gathers all effects.
    mutating func pass(_ seconds: Double) {
        let end = now + .seconds(seconds)
        var all: [Membership.Effect] = []
        while let deadline = core.nextDeadline, deadline <= end {
            now = max(now, deadline)
            core.handle(.timer, at: now, into: &all)
        }
        now = end
        effects = all
    }

    func state(_ number: Int) -> Member.State? { core.member(Fixtures.peer(number))?.state }

    var events: [OverlayEvent] { effects.compactMap { if case .event(let event) = $0 { event } else { nil } } }

    /// Messages sent to a peer by the last input.
    func sent(to number: Int) -> [MembershipMessage] {
        effects.flatMap { effect -> [MembershipMessage] in
            if case .send(let messages, let peer) = effect, peer == Fixtures.peer(number) { messages } else { [] }
        }
    }

    static func accusation(of number: Int, by accuser: Int, incarnation: UInt64 = 5) -> Accusation {
        Accusation(peer: Fixtures.peer(number), incarnation: incarnation, accuser: Fixtures.peer(accuser))
    }
}

/// A gossip core with its effects, as the given peer.
struct GossipHarness {
    let number: Int
    var core: Gossip
    var effects: [Gossip.Effect] = []
    var now = Instant.seconds(1)

    init(_ number: Int, firstVersion: UInt64 = 100, live: [Int] = []) {
        self.number = number
        core = Gossip(signer: Fixtures.signer(number), firstVersion: firstVersion, seed: UInt64(number) + 1)
        feed(.start)
        for other in live where other != number { feed(.memberUp(Fixtures.peer(other))) }
    }

    mutating func feed(_ input: Gossip.Input) {
        effects = []
        core.handle(input, at: now, into: &effects)
    }

    mutating func receive(_ message: GossipMessage, from other: Int) {
        feed(.receive(message, from: Fixtures.peer(other)))
    }

    var events: [OverlayEvent] { effects.compactMap { if case .event(let event) = $0 { event } else { nil } } }

    /// Messages of the last input.
    var sent: [GossipMessage] {
        effects.flatMap { effect -> [GossipMessage] in
            if case .send(let messages, _) = effect { messages } else { [] }
        }
    }

    func value(_ owner: Int, _ key: EntryKey) -> [UInt8]? { core.store.entry(of: Fixtures.peer(owner), key)?.value }

    /// Lets two peers compare until they have nothing more to say; returns the messages that it took.
    static func reconcile(_ left: inout GossipHarness, _ right: inout GossipHarness) -> Int {
        var count = 0
        left.receive(right.core.rootMessage, from: right.number)
        var toRight = left.sent
        var toLeft: [GossipMessage] = []
        while !toRight.isEmpty || !toLeft.isEmpty {
            count += toRight.count + toLeft.count
            var answers: [GossipMessage] = []
            for message in toRight {
                right.receive(message, from: left.number)
                answers += right.sent
            }
            toRight = []
            for message in toLeft {
                left.receive(message, from: right.number)
                toRight += left.sent
            }
            toLeft = answers
            if count > 100_000 { return count }
        }
        return count
    }
}
