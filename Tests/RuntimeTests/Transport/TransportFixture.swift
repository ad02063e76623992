import NIOCore
import NIOPosix
import Noise
import Primitives
import Runtime
import Synchronization
import Testing
import Wire

struct MissingValue: Error {}

func requireValue<Value: ~Copyable>(_ value: consuming Value?) throws -> Value {
    guard let value else { throw MissingValue() }
    return value
}

func transportIdentity(_ number: UInt8) throws -> LocalIdentity {
    LocalIdentity(
        identity: try requireValue(IdentityKey(seed: SecretBytes(copying: [UInt8](repeating: number, count: 32)))),
        agreement: try requireValue(
            AgreementKey(secret: SecretBytes(copying: [UInt8](repeating: number &+ 0x80, count: 32)))))
}

func transportSecret(_ byte: UInt8 = 0x55, founder: PeerID? = nil) throws -> SwarmSecret {
    try requireValue(SwarmSecret(SecretBytes(copying: [UInt8](repeating: byte, count: 32)), founder: founder))
}

let loopback = NetworkAddress(ipv4: (127, 0, 0, 1), port: 0)

/// Collects values from any thread, for a test to wait for.
final class Collector<Value: Sendable>: Sendable {
    private let storage = Mutex<[Value]>([])

    func append(_ value: Value) { storage.withLock { $0.append(value) } }

    var values: [Value] { storage.withLock { $0 } }

    /// Waits until there are so many values; returns what there is when the time is up.
    func wait(for count: Int, seconds: Double = 10) async throws -> [Value] {
        let end = MonotonicClock.now + .milliseconds(Int64(seconds * 1000))
        while values.count < count, MonotonicClock.now < end { try await Task.sleep(for: .milliseconds(5)) }
        return values
    }
}

/// A socket without the swarm secret that counts what it gets.
final class StrangerHandler<Inbound>: ChannelInboundHandler, Sendable {
    typealias InboundIn = Inbound

    let received: Collector<Int>
    let closed: Collector<Bool>

    init(received: Collector<Int>, closed: Collector<Bool> = Collector()) {
        self.received = received
        self.closed = closed
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { received.append(1) }

    func channelInactive(context: ChannelHandlerContext) { closed.append(true) }
}
