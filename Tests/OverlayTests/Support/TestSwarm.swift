import Overlay
import Primitives
import Wire

/// A few overlay nodes on a network with delay and loss under a virtual clock; the Simulation room has the real thing.
struct TestSwarm {
    struct Node {
        var core: OverlayNode
        var isRunning = false
        var events: [(at: Instant, event: OverlayEvent)] = []
        var sentBytes = 0
        var sentDatagrams = 0
        var receivedDatagrams = 0
        var largestPayload = 0
        var pausedUntil: Instant?
    }

    private enum Happening {
        case arrive([UInt8], from: Int, to: Int)
        case wake(Int)
    }

    private(set) var nodes: [Node] = []
    /// What was sent, by the name of the message, if `countsMessages`.
    private(set) var sentMessages: [String: Int] = [:]
    var countsMessages = false
    private(set) var now = Instant(nanoseconds: 0)
    var loss = 0.0
    var delay: ClosedRange<Double> = 0.0002...0.002
    /// Groups that cannot hear each other, by node.
    var group: [Int] = []
    private var queue = DeadlineQueue<Happening>()
    private var generator: SeededGenerator
    private var places: [PeerID: Int] = [:]

    init(
        count: Int, seed: UInt64, configuration: OverlayNode.Configuration = .quiet,
        others: [Int: OverlayNode.Configuration] = [:]
    ) {
        generator = SeededGenerator(seed: seed)
        for number in 0..<count {
            places[Fixtures.peer(number)] = number
            nodes.append(
                Node(
                    core: OverlayNode(
                        configuration: others[number] ?? configuration, contact: Fixtures.contact(number),
                        signer: Fixtures.signer(number),
                        incarnation: 1000, seed: generator.next())))
            group.append(0)
        }
    }

    /// Starts every node at a random moment of the interval, all knowing node 0.
    mutating func startAll(within seconds: Double = 0.5) {
        for number in nodes.indices {
            run(until: now + .seconds(seconds / Double(nodes.count)))
            start(number)
        }
    }

    mutating func start(_ number: Int, known: [Int] = [0]) {
        nodes[number].isRunning = true
        let contacts = known.filter { $0 != number }.map { Fixtures.contact($0) }
        feed(.start(known: contacts), to: number)
    }

    mutating func crash(_ number: Int) { nodes[number].isRunning = false }

    /// A new life of the node with nothing remembered.
    mutating func restart(_ number: Int, incarnation: UInt64, known: [Int]) {
        nodes[number].core = OverlayNode(
            contact: Fixtures.contact(number), signer: Fixtures.signer(number), incarnation: incarnation,
            seed: generator.next())
        start(number, known: known)
    }

    mutating func pause(_ number: Int, for seconds: Double) { nodes[number].pausedUntil = now + .seconds(seconds) }

    mutating func feed(_ input: OverlayInput, to number: Int) {
        guard nodes[number].isRunning else { return }
        var effects: [OverlayEffect] = []
        nodes[number].core.handle(input, at: now, into: &effects)
        for effect in effects {
            switch effect {
            case .send(let payload, let peer):
                nodes[number].sentBytes += payload.count + Limits.transportOverheadBytes
                nodes[number].sentDatagrams += 1
                if countsMessages { count(payload) }
                nodes[number].largestPayload = max(nodes[number].largestPayload, payload.count)
                guard let target = places[peer], group[target] == group[number], generator.unit() >= loss else {
                    continue
                }
                let span = delay.upperBound - delay.lowerBound
                queue.insert(
                    .arrive(payload, from: number, to: target),
                    at: now + .seconds(delay.lowerBound + span * generator.unit()))
            case .event(let event): nodes[number].events.append((now, event))
            case .learn, .forget, .renewSession, .restrict: break
            }
        }
        if let deadline = nodes[number].core.nextDeadline { queue.insert(.wake(number), at: max(deadline, now)) }
    }

    private mutating func count(_ payload: [UInt8]) {
        for message in (try? OverlayMessage.decode(payload)) ?? [] {
            let text = "\(message)"
            sentMessages[String(text.prefix { $0 != ":" }.split(separator: ".").last ?? ""), default: 0] += 1
        }
    }

    mutating func run(for seconds: Double) { run(until: now + .seconds(seconds)) }

    mutating func run(until end: Instant) {
        while let first = queue.first, first <= end, let happening = queue.popDue(at: end) {
            now = max(now, first)
            switch happening {
            case .arrive(let payload, let sender, let target):
                if let end = nodes[target].pausedUntil, end > now {
                    queue.insert(happening, at: end)
                } else {
                    nodes[target].receivedDatagrams += 1
                    feed(.datagram(payload, from: Fixtures.peer(sender)), to: target)
                }
            case .wake(let number):
                if let end = nodes[number].pausedUntil, end > now {
                    queue.insert(happening, at: end)
                } else if let deadline = nodes[number].core.nextDeadline, deadline <= now {
                    feed(.timer, to: number)
                }
            }
        }
        now = end
    }

    /// Runs until the condition holds, looking every `step` seconds; `nil` if it does not within `limit` seconds.
    mutating func run(upTo limit: Double, step: Double = 0.05, until condition: (TestSwarm) -> Bool) -> Double? {
        let start = now
        while !condition(self) {
            guard now - start < .seconds(limit) else { return nil }
            run(for: step)
        }
        return (now - start).seconds
    }

    var running: [Int] { nodes.indices.filter { nodes[$0].isRunning } }

    /// Whether every running node has exactly the running nodes for live.
    var everyoneKnowsEveryone: Bool {
        let count = running.count
        return running.allSatisfy { nodes[$0].core.liveCount == count }
    }

    /// Whether every running node has the same snapshot.
    var digestsAreEqual: Bool {
        guard let first = running.first else { return true }
        let digest = nodes[first].core.snapshotDigest
        return running.allSatisfy { nodes[$0].core.snapshotDigest == digest }
    }

    func everyone(believes peer: Int, is state: Member.State) -> Bool {
        running.allSatisfy { number in
            number == peer || nodes[number].core.member(Fixtures.peer(peer))?.state == state
        }
    }

    /// How often the event was seen anywhere.
    func count(_ matches: (OverlayEvent) -> Bool) -> Int {
        nodes.reduce(0) { $0 + $1.events.count { matches($0.event) } }
    }
}

extension OverlayNode.Configuration {
    /// Without bandwidth trains, which this network cannot carry and whose tests are elsewhere.
    static var quiet: OverlayNode.Configuration {
        var configuration = OverlayNode.Configuration()
        configuration.probing.measuresBandwidth = false
        return configuration
    }
}
