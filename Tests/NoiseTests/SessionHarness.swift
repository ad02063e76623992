import Noise
import Primitives
import Testing
import Wire

/// Entropy that repeats, so that every run and every worked example has the same bytes.
struct SeededEntropy: EntropySource {
    var generator: SeededGenerator

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func secretBytes(count: Int) -> SecretBytes {
        SecretBytes(copying: (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next() >> 32) })
    }
}

/// Keys whose secrets are 32 equal bytes, as the worked examples of the documents use them.
func identity(_ number: UInt8) throws -> LocalIdentity {
    LocalIdentity(
        identity: try requireValue(IdentityKey(seed: SecretBytes(copying: [UInt8](repeating: number, count: 32)))),
        agreement: try requireValue(
            AgreementKey(secret: SecretBytes(copying: [UInt8](repeating: number &+ 0x80, count: 32)))))
}

func swarmSecret(_ byte: UInt8 = 0x55, founder: PeerID? = nil) throws -> SwarmSecret {
    try requireValue(SwarmSecret(SecretBytes(copying: [UInt8](repeating: byte, count: 32)), founder: founder))
}

struct MissingValue: Error {}

/// `#require` for values that cannot be copied.
func requireValue<Value: ~Copyable>(_ value: consuming Value?) throws -> Value {
    guard let value else { throw MissingValue() }
    return value
}

func address(_ number: UInt8, port: UInt16 = 7600) -> NetworkAddress {
    NetworkAddress(ipv4: (10, 0, 0, number), port: port)
}

/// Session tables joined by a network without delay, on which a test can drop, change and record datagrams.
final class SessionNetwork {
    struct Datagram {
        let bytes: [UInt8]
        let from: NetworkAddress
        let to: NetworkAddress
    }

    let identities: [LocalIdentity]
    private(set) var tables: [SessionTable]
    var addresses: [NetworkAddress]
    var now = Instant(nanoseconds: 1_000_000_000)
    var inFlight: [Datagram] = []
    var recorded: [Datagram] = []
    /// Whether a datagram arrives; the first argument counts all datagrams of the network.
    var passes: (Int, Datagram) -> Bool = { _, _ in true }
    var delivered: [[(payload: [UInt8], from: PeerID)]]
    var established: [[PeerID]]
    var moved: [[(PeerID, NetworkAddress)]]
    var failed: [[(PeerID, SessionFailure)]]
    private var count = 0

    init(
        count: Int = 2, configuration: SessionConfiguration = SessionConfiguration(), secrets: [UInt8]? = nil,
        founder: Int? = nil, learns: Bool = true, entropySeed: UInt64 = 1
    ) throws {
        let identities = try (0..<count).map { try identity(UInt8($0 + 1)) }
        let founder = founder.map { identities[$0].peer }
        let now = now
        self.identities = identities
        addresses = (0..<count).map { address(UInt8($0 + 1)) }
        tables = try identities.enumerated().map { index, identity in
            SessionTable(
                identity: identity, secret: try swarmSecret(secrets?[index] ?? 0x55, founder: founder),
                configuration: configuration, entropy: SeededEntropy(seed: entropySeed + UInt64(index)),
                wallClockMilliseconds: 1_700_000_000_000,
                at: now)
        }
        delivered = Array(repeating: [], count: count)
        established = Array(repeating: [], count: count)
        moved = Array(repeating: [], count: count)
        failed = Array(repeating: [], count: count)
        guard learns else { return }
        for one in 0..<count {
            for other in 0..<count where one != other { handle(one, .learn(contact(other))) }
        }
    }

    /// Starts a peer again: it has lost everything but its keys, and its clock shows this.
    func restart(_ index: Int, wallClockMilliseconds: UInt64) throws {
        tables[index] = SessionTable(
            identity: identities[index], secret: try swarmSecret(), entropy: SeededEntropy(seed: 99),
            wallClockMilliseconds: wallClockMilliseconds, at: now)
        for other in tables.indices where other != index { handle(index, .learn(contact(other))) }
    }

    func contact(_ index: Int) -> Contact {
        Contact(
            peer: identities[index].peer, agreementKey: identities[index].agreementPublicKey,
            addresses: [addresses[index]])
    }

    @discardableResult func handle(_ index: Int, _ input: SessionTable.Input) -> [SessionTable.Effect] {
        var effects: [SessionTable.Effect] = []
        tables[index].handle(input, at: now, into: &effects)
        for effect in effects {
            switch effect {
            case .transmit(let bytes, let to):
                inFlight.append(Datagram(bytes: bytes, from: addresses[index], to: to))
            case .deliver(let payload, let from, _): delivered[index].append((payload, from))
            case .established(let peer, _, _): established[index].append(peer)
            case .moved(let peer, let address): moved[index].append((peer, address))
            case .refused: break
            case .failed(let peer, let reason): failed[index].append((peer, reason))
            }
        }
        return effects
    }

    func send(_ text: String, from one: Int, to other: Int) {
        handle(one, .send(Array(text.utf8), to: identities[other].peer))
    }

    /// Carries datagrams until none is left.
    func settle() {
        while !inFlight.isEmpty {
            let datagram = inFlight.removeFirst()
            recorded.append(datagram)
            defer { count += 1 }
            guard passes(count, datagram), let index = addresses.firstIndex(of: datagram.to) else { continue }
            handle(index, .datagram(datagram.bytes, from: datagram.from))
        }
    }

    /// Moves the clock on, with timers firing and datagrams carried on the way.
    func run(for duration: Duration) {
        let end = now + duration
        settle()
        while let deadline = tables.compactMap(\.nextDeadline).min(), deadline <= end {
            now = max(now, deadline)
            for index in tables.indices { handle(index, .timer) }
            settle()
        }
        now = end
    }

    func texts(_ index: Int) -> [String] { delivered[index].map { String(decoding: $0.payload, as: UTF8.self) } }
}
