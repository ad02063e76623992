import NIOCore
import NIOPosix
import Overlay
import Primitives
import Synchronization
import Testing

@testable import Runtime

@Suite("Delivery meter")
struct DeliveryMeterTests {
    private func second(_ value: Double) -> Instant { Instant(nanoseconds: Int64(value * 1e9)) }

    @Test("A sample is saturated only if there was something to send all the time since the last")
    func saturation() throws {
        let peer = try #require(PeerID(bytes: [UInt8](repeating: 7, count: 32)))
        var meter = DeliveryMeter()
        func take(_ bytes: UInt64, since: Double?, at now: Double) -> [DeliverySample] {
            meter.take(
                [DeliveryMeter.Progress(peer: peer, bytes: bytes, saturatedSince: since.map(second))], at: second(now)
            ).map(\.sample)
        }
        #expect(take(100, since: nil, at: 0).isEmpty, "nothing to compare with")
        #expect(take(100, since: nil, at: 1).isEmpty, "nothing was sent")
        #expect(take(600, since: 1.5, at: 2) == [DeliverySample(bytes: 500, duration: .seconds(1), isSaturated: false)])
        #expect(
            take(1600, since: 1.5, at: 3) == [DeliverySample(bytes: 1000, duration: .seconds(1), isSaturated: true)])
        #expect(
            take(1700, since: nil, at: 4) == [DeliverySample(bytes: 100, duration: .seconds(1), isSaturated: false)])
        #expect(take(50, since: 3, at: 5).isEmpty, "a connection made anew counts from nothing")
        #expect(take(80, since: 3, at: 6) == [DeliverySample(bytes: 30, duration: .seconds(1), isSaturated: true)])
    }
}
