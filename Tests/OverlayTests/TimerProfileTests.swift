import Primitives
import Testing
import Wire

@testable import Overlay

@Suite("Timers from measured round trips")
struct TimerProfileTests {
    private static let configuration = MembershipConfiguration()

    private func profile(_ milliseconds: [Double], before: TimerProfile.Kind = .unmeasured) -> TimerProfile {
        TimerProfile(
            measured: milliseconds.map { .microseconds(Int64($0 * 1000)) }, Self.configuration, before: before)
    }

    @Test(
        "The kind follows the distribution, whatever its order",
        arguments: [
            ([], .unmeasured), ([0.3, 0.4], .unmeasured), ([0.3, 0.4, 0.2], .lan),
            (Array(repeating: 0.3, count: 19) + [80], .lan),
            (Array(repeating: 0.3, count: 17) + [80, 90, 100], .mixed),
            ([0.3, 90, 0.5, 120], .mixed), ([30, 90, 45, 120], .wan),
            (Array(repeating: 80, count: 20) + [0.3], .wan),
        ] as [([Double], TimerProfile.Kind)])
    func kinds(measured: [Double], kind: TimerProfile.Kind) {
        #expect(profile(measured).kind == kind)
        #expect(profile(measured.reversed()) == profile(measured))
    }

    @Test("Near the border the kind stays what it was")
    func hysteresis() {
        let border = Array(repeating: 9.0, count: 10)
        #expect(profile(border, before: .lan).kind == .lan && profile(border, before: .wan).kind == .wan)
        #expect(profile(border.map { $0 * 1.5 }, before: .lan).kind == .wan)
        #expect(profile(border.map { $0 / 2 }, before: .wan).kind == .lan)
    }

    @Test("A swarm of the usual distances has the configured timers, a LAN shorter ones")
    func usual() {
        let world = profile([10, 60, 120, 180, 240])
        let configured = TimerProfile(Self.configuration)
        #expect(world.suspicionBase == configured.suspicionBase && world.newsHop == configured.newsHop)
        #expect(world.initialProbeTimeout == .seconds(1))
        let lan = profile([0.2, 0.3, 0.3, 0.4])
        #expect(lan.gossipInterval == .milliseconds(50) && lan.newsHop == .milliseconds(50))
        for count in [50, 1000] {
            #expect(lan.minimumSuspicion(count: count) < configured.minimumSuspicion(count: count))
        }
        let floors = Self.configuration.minimumProbeTimeout + lan.minimumIndirectTimeout
        #expect(floors + lan.minimumSuspicion(count: 12) > .seconds(2), "a pause of two seconds is no death")
    }

    @Test("Whoever is beyond the usual distances gets the time that his packets take")
    func far() {
        let satellite = profile([580, 600, 620, 650])
        #expect(satellite.kind == .wan)
        #expect(satellite.minimumIndirectTimeout >= .milliseconds(1200), "\(satellite.minimumIndirectTimeout)")
        #expect(satellite.initialProbeTimeout >= .milliseconds(1900), "a handshake and a ping take 1.3 s")
        #expect(satellite.newsHop == .milliseconds(100 + (650 - 250) / 2))
        // One's own LAN and helpers at the other end of a satellite link.
        let mixed = profile([0.3, 0.3, 0.3, 600, 620])
        #expect(mixed.kind == .mixed && mixed.minimumIndirectTimeout >= .milliseconds(620))
    }

    @Test("A peer looks at its round trips by itself, with the first three and every ten seconds")
    func inTheCore() {
        var harness = MembershipHarness()
        harness.introduce(1...5)
        #expect(harness.core.profile.kind == .unmeasured)
        answerProbes(of: &harness, after: .milliseconds(1), for: 8)
        #expect(harness.core.profile.kind == .lan && harness.core.health.score == 0)
        answerProbes(of: &harness, after: .milliseconds(60), for: 60)
        #expect(harness.core.profile.kind == .wan)
    }

    /// Answers every ping after a while, for some seconds.
    private func answerProbes(of harness: inout MembershipHarness, after delay: Duration, for seconds: Double) {
        let end = harness.now + .seconds(seconds)
        while let deadline = harness.core.nextDeadline, deadline <= end {
            harness.now = max(harness.now, deadline)
            harness.feed(.timer)
            for number in 1...5 {
                for case .ping(let sequence, let digest) in harness.sent(to: number) {
                    let effects = harness.effects
                    harness.now = harness.now + delay
                    harness.receive(.ack(sequence: sequence, viewDigest: digest), from: number)
                    harness.effects = effects
                }
            }
        }
    }
}
