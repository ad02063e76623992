import Overlay
import Primitives
import Testing
import Topology
import Wire

@testable import Runtime

struct LiveGraphTests {
    private let signers: [Signer]

    init() throws {
        signers = try (1...3).map { (byte: UInt8) in
            guard let key = IdentityKey(seed: SecretBytes(copying: [UInt8](repeating: byte, count: 32))) else {
                throw WireError.truncated
            }
            return Signer(key)
        }
    }

    private func owner(_ index: Int, _ reports: [LinkReport]) -> GraphSnapshot.Owner {
        let signer = signers[index]
        let capability = Capability(
            name: "p\(index)", cores: 2, memoryBytes: 1 << 30, flopsPerSecond: 1e9, diskFreeBytes: 0, software: "test")
        let page = LinksPage(reports: reports.sorted { $0.prefix < $1.prefix })
        let entries = [
            SignedEntry(key: .capability, version: 1, value: capability.wireBytes, signer: signer),
            SignedEntry(key: .links(page: 0), version: 1, value: page.wireBytes, signer: signer),
        ]
        return GraphSnapshot.Owner(peer: signer.peer, entries: entries, digest: Digest.sha256([UInt8(index)]))
    }

    private func report(of index: Int, receive: Double, send: Double) -> LinkReport {
        LinkReport(
            peer: signers[index].peer, minimumRoundTrip: .milliseconds(10),
            receiveBandwidth: Bandwidth(bytesPerSecond: receive), sendBandwidth: Bandwidth(bytesPerSecond: send),
            confidence: .fine, samples: 3)
    }

    @Test func theReceiverSaysHowFastALinkIs() throws {
        let owners = [
            owner(0, [report(of: 1, receive: 1e6, send: 4e6)]), owner(1, [report(of: 0, receive: 4e6, send: 1e6)]),
        ].sorted { $0.peer < $1.peer }
        let graph = LiveGraph(GraphSnapshot(owners: owners)).linkGraph()
        let from = try #require(graph.index(of: signers[0].peer))
        let to = try #require(graph.index(of: signers[1].peer))
        let rate = graph.rates[graph.position(from: from, to: to)]
        #expect(rate.source == .measured)
        #expect(abs(rate.value - 4e6) < 4e4, "0 → 1 is what peer 1 received: \(rate.value)")
        #expect(abs(graph.latencies[graph.position(from: from, to: to)].value - 0.005) < 1e-4)
    }

    @Test func aLiarIsSeenByTheDisagreement() throws {
        let owners = [
            owner(0, [report(of: 1, receive: 1e6, send: 40e6)]), owner(1, [report(of: 0, receive: 4e6, send: 1e6)]),
        ].sorted { $0.peer < $1.peer }
        let view = LiveGraph(GraphSnapshot(owners: owners)).view
        let link = try #require(
            view.link(from: signers[0].peer.description, to: signers[1].peer.description))
        #expect(link.disagrees, "the ends differ by a factor of ten")
        #expect(abs((link.bandwidthBytesPerSecond ?? 0) - 4e6) < 4e4, "the receiver's figure stands")
    }

    @Test func unmeasuredPairsArePredictedAndSaySo() throws {
        // Everyone has measured its link to peer 0, and 1 and 2 have not measured each other.
        let owners = [
            owner(0, [report(of: 1, receive: 4e6, send: 4e6), report(of: 2, receive: 2e6, send: 2e6)]),
            owner(1, [report(of: 0, receive: 4e6, send: 4e6)]), owner(2, [report(of: 0, receive: 2e6, send: 2e6)]),
        ].sorted { $0.peer < $1.peer }
        let view = LiveGraph(GraphSnapshot(owners: owners)).view
        let link = try #require(
            view.link(from: signers[1].peer.description, to: signers[2].peer.description))
        #expect(link.bandwidthSource == .predicted)
        #expect(link.roundTripSource == .predicted)
        let excluded = LiveGraph(GraphSnapshot(owners: owners)).linkGraph(without: [signers[2].peer])
        #expect(excluded.count == 2)
    }
}
