import Primitives
import Testing

@testable import Simulation

@Suite struct PeerClockTests {
    @Test(
        "The virtual time of a local instant is the first at which the clock shows it",
        arguments: [-200, -1, 0, 1, 200])
    func inverse(drift: Int) {
        let clock = PeerClock(driftPartsPerMillion: drift, offset: .seconds(-2))
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<200 {
            let local = Instant(nanoseconds: Int64(generator.index(below: 4_000_000_000_000)))
            let virtual = clock.virtual(local)
            #expect(clock.local(virtual) >= local)
            #expect(clock.local(Instant(nanoseconds: virtual.nanoseconds - 1)) < local)
        }
    }

    @Test("A clock that runs 100 ppm fast is 360 ms ahead after an hour")
    func drift() {
        let clock = PeerClock(driftPartsPerMillion: 100)
        let hour = Instant(nanoseconds: 3600 * 1_000_000_000)
        #expect(clock.local(hour) - hour == .milliseconds(360))
    }
}
