import Primitives
import Testing
import Wire

@testable import Overlay

@Suite struct LinkPublisherTests {
    private func report(_ index: Int, rate: Double = 1e6, roundTrip: Double = 20) -> LinkReport {
        LinkReport(
            peer: ProbingBench.peer(index), minimumRoundTrip: .nanoseconds(Int64(roundTrip * 1e6)),
            receiveBandwidth: Bandwidth(bytesPerSecond: rate), sendBandwidth: Bandwidth(bytesPerSecond: rate),
            confidence: .fine, samples: 6)
    }

    private func time(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }

    @Test("News waits while measuring goes on, but not for ever")
    func patience() {
        var publisher = LinkPublisher()
        #expect(publisher.publish([report(1)], isMeasuring: true, at: time(0)).isEmpty)
        #expect(publisher.publish([report(1)], isMeasuring: true, at: time(2)).isEmpty)
        #expect(publisher.publish([report(1)], isMeasuring: true, at: time(3)).count == 1)
        #expect(publisher.publish([report(1), report(2)], isMeasuring: false, at: time(3.1)).count == 1)
    }

    @Test("Noise is never published, a real change once in thirty seconds")
    func hysteresis() {
        var publisher = LinkPublisher()
        _ = publisher.publish([report(1)], isMeasuring: false, at: time(0))
        for second in 1...300 {
            let noisy = report(
                1, rate: 1e6 * (second.isMultiple(of: 2) ? 1.12 : 0.89), roundTrip: second % 3 == 0 ? 21 : 20)
            #expect(publisher.publish([noisy], isMeasuring: false, at: time(Double(second))).isEmpty)
        }
        #expect(publisher.publish([report(1, rate: 2e6)], isMeasuring: false, at: time(301)).count == 1)
        #expect(publisher.publish([report(1, rate: 4e6)], isMeasuring: false, at: time(302)).isEmpty)
        #expect(publisher.publish([report(1, rate: 4e6)], isMeasuring: false, at: time(332)).count == 1)
    }

    @Test("Links keep their page, and a page's entry fits a datagram")
    func pages() {
        var publisher = LinkPublisher()
        let many = (0..<61).map { report($0) }
        let first = publisher.publish(many, isMeasuring: false, at: time(0))
        #expect(first.map(\.index) == [0, 1])
        #expect(first.allSatisfy { $0.value.wireBytes.count <= Limits.entryDatagramValueBytes })
        #expect(Set(first.flatMap { $0.value.reports.map(\.prefix) }).count == 61)
        // A peer in the middle goes: no news. Another comes: only the page with the free place changes.
        let fewer = many.filter { $0.prefix != many[50].prefix }
        #expect(publisher.publish(fewer, isMeasuring: false, at: time(100)).isEmpty)
        let second = publisher.publish(fewer + [report(80)], isMeasuring: false, at: time(200))
        #expect(second.map(\.index) == [1])
        #expect(second[0].value.reports.count == 21)
    }

    @Test("A page survives its encoding, and pages out of order or with impossible figures are refused")
    func codec() throws {
        let page = LinksPage(reports: [report(1).quantised, report(2, rate: 3e7).quantised])
        #expect(try LinksPage(wireBytes: page.wireBytes) == page)
        #expect(throws: WireError.notCanonical) {
            try LinksPage(wireBytes: LinksPage(reports: [report(2), report(1)]).wireBytes)
        }
        var bytes = page.wireBytes
        bytes[2 + 12] = 0xFF  // loss above 100 %
        bytes[2 + 13] = 0xFF
        #expect(throws: WireError.outOfRange) { try LinksPage(wireBytes: bytes) }
        #expect(throws: WireError.unknownVersion(9)) { try LinksPage(wireBytes: [9, 0]) }
    }

    @Test("Both ends make one figure: the receiver's, flagged when the sender was told another")
    func consensus() {
        var mine = report(1)
        let theirs = report(2)
        #expect(!LinkConsensus(sender: mine, receiver: theirs).isDisputed)
        mine.sendBandwidth = Bandwidth(bytesPerSecond: 1e7)
        let link = LinkConsensus(sender: mine, receiver: theirs)
        #expect(link.isDisputed && link.bandwidth?.bytesPerSecond == 1e6)
        #expect(LinkConsensus(sender: nil, receiver: nil).bandwidth == nil)
        #expect(LinkConsensus(sender: mine, receiver: nil).bandwidth?.bytesPerSecond == 1e7)
    }
}

@Suite struct PartnerSelectionTests {
    @Test("The number of partners follows the size of the swarm")
    func count() {
        let expected = [1: 0, 2: 1, 32: 31, 33: 12, 128: 14, 129: 16, 1000: 20]
        for members in expected.keys.sorted() {
            #expect(PartnerSelection.count(members: members) == expected[members], "\(members) members")
        }
    }

    @Test("In a small swarm the rounds of all peers match up to pairs")
    func tournament() {
        let peers = (0..<16).map { ProbingBench.peer($0) }
        for (rank, peer) in peers.enumerated() {
            let order = PartnerSelection.partners(of: peer, among: peers.filter { $0 != peer })
            #expect(Set(order).count == 15)
            let rounds = order.map { (rank + (peers.firstIndex(of: $0) ?? 0)) % 16 }
            #expect(rounds == rounds.sorted(), "peer \(rank) plays its rounds as \(rounds)")
        }
    }

    @Test("In a large swarm choices are mostly mutual and include the nearest")
    func rendezvous() {
        let peers = (0..<200).map { ProbingBench.peer($0) }
        let choices = peers.map { peer in
            PartnerSelection.partners(of: peer, among: peers.filter { $0 != peer }, nearest: [peers[3], peers[4]])
        }
        var mutual = 0
        for (index, choice) in choices.enumerated() {
            #expect(choice.count == 16 && !choice.contains(peers[index]))
            if index > 4 { #expect(choice.contains(peers[3])) }
            mutual += choice.filter { choices[peers.firstIndex(of: $0) ?? 0].contains(peers[index]) }.count
        }
        #expect(mutual > 200 * 16 / 3, "\(mutual) of \(200 * 16) choices are mutual")
    }
}
