import Primitives
import Testing

@testable import Overlay

@Suite("What an attested session says of a doubted claim")
struct DoubtTests {
    private static let peer = ProbingBench.peer(2)
    private static let claim = Bandwidth(bitsPerSecond: 300e6)
    private static let bound = Bandwidth(bitsPerSecond: 40e6)

    /// A peer whose claim is doubted since the time zero.
    private static func doubting() -> Probing {
        var core = Probing(local: ProbingBench.peer(1), seed: 1, tokenSecret: Digest.sha256([1]))
        let now = Instant(nanoseconds: 0)
        core.addLink(to: peer, at: now)
        core.links[peer]?.roundTrip.record(.milliseconds(20), at: now)
        core.links[peer]?.sendBandwidth = claim
        core.links[peer]?.measuredAt = now
        core.links[peer]?.doubt = Doubt(
            claim: claim, borneOut: bound, isBoundLong: true, isSuspicion: true, since: now, nextAttempt: now,
            maximumAttempts: Doubt.usualAttempts)
        return core
    }

    /// An attested session whose train left so late, and whose report came 150 ms later than it explains.
    private static func session(slip: Duration, lateness: Duration = .milliseconds(150)) -> TrainSession.Result {
        TrainSession.Result(
            receive: claim, send: claim, sendBound: bound, sendLateness: lateness, sendBoundTime: .milliseconds(400),
            sendSlip: slip, confidence: .fine, trains: 2, isShort: false, isUnsettled: false, wasGranted: true)
    }

    private static func published(_ core: Probing, seconds: Double) -> Bandwidth? {
        core.links[peer].flatMap { core.publishedRate($0, at: .seconds(seconds)) }
    }

    @Test("One train that left in time and came late is enough to publish what is borne out, four to believe no more")
    func inTime() {
        var core = Self.doubting()
        #expect(Self.published(core, seconds: 44) == nil, "nothing new before it is decided")
        #expect(Self.published(core, seconds: 46) == Self.claim, "nothing is known against the peer")
        for attempt in 1...4 {
            core.decideDoubt(Self.session(slip: .milliseconds(1)), of: Self.peer, at: .seconds(Double(attempt)))
            #expect(Self.published(core, seconds: 46) == Self.bound)
        }
        #expect(core.links[Self.peer]?.doubt == nil)
        #expect(core.links[Self.peer]?.isContradicted == true)
        #expect(core.links[Self.peer]?.sendBandwidth == Self.bound)
    }

    @Test("Trains that left a little late say less: two of them as much as one")
    func late() {
        var core = Self.doubting()
        core.decideDoubt(Self.session(slip: .milliseconds(15)), of: Self.peer, at: .seconds(1))
        #expect(Self.published(core, seconds: 46) == Self.claim, "the busy machine is this one")
        for attempt in 2...3 {
            core.decideDoubt(Self.session(slip: .milliseconds(60)), of: Self.peer, at: .seconds(Double(attempt)))
        }
        #expect(Self.published(core, seconds: 46) == Self.claim)
        core.decideDoubt(Self.session(slip: .milliseconds(60)), of: Self.peer, at: .seconds(4))
        #expect(core.links[Self.peer]?.doubt != nil, "not yet decided")
        core.decideDoubt(Self.session(slip: .milliseconds(15)), of: Self.peer, at: .seconds(5))
        #expect(core.links[Self.peer]?.isContradicted == true)
    }

    @Test("Trains that left far too late say nothing, however many they are")
    func farTooLate() {
        var core = Self.doubting()
        for attempt in 1...12 {
            core.decideDoubt(Self.session(slip: .milliseconds(60)), of: Self.peer, at: .seconds(Double(attempt)))
            #expect((core.links[Self.peer]?.doubt == nil) == (attempt == 12), "attempt \(attempt)")
        }
        #expect(core.links[Self.peer]?.isContradicted == false)
        #expect(core.links[Self.peer]?.sendBandwidth == Self.claim)
    }

    @Test("A single report in time settles it")
    func settled() {
        var core = Self.doubting()
        core.decideDoubt(Self.session(slip: .milliseconds(60)), of: Self.peer, at: .seconds(1))
        core.decideDoubt(Self.session(slip: .milliseconds(1)), of: Self.peer, at: .seconds(2))
        core.decideDoubt(
            Self.session(slip: .milliseconds(1), lateness: .milliseconds(2)), of: Self.peer, at: .seconds(3))
        #expect(core.links[Self.peer]?.doubt == nil)
        #expect(core.links[Self.peer]?.isContradicted == false)
        #expect(Self.published(core, seconds: 3) == Self.claim)
    }
}
