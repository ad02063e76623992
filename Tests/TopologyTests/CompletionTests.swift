import Primitives
import Testing

@testable import Topology

/// Graphs with holes.
struct CompletionTests {
    /// Access links are the bottleneck and latencies are distances on a line: both models can be right.
    private static func graph(missing: (Int, Int) -> Bool) -> LinkGraph {
        let count = 8
        var graph = LinkGraph(
            nodes: (0..<count).map { LinkGraph.Node(name: "n\($0)", flopsPerSecond: 1e9, memoryBytes: 1e9) },
            digest: Digest.sha256([UInt8]()))
        for source in 0..<count {
            for target in 0..<count where target != source && !missing(source, target) {
                graph.setLink(
                    from: source, to: target, latency: .measured(0.005 + 0.004 * Double(abs(source - target))),
                    bytesPerSecond: .measured(min(1e6 * Double(1 + source), 5e6)))
            }
        }
        return graph
    }

    @Test func unknownLinksArePredictedAndMarked() {
        let holes = Self.graph { ($0 + 2 * $1) % 5 == 0 }
        let whole = Self.graph { _, _ in false }
        #expect(holes.coverage.unknown > 5)
        let completed = holes.completed()
        #expect(completed.coverage.unknown == 0)
        #expect(completed.coverage.measured == holes.coverage.measured)
        for source in 0..<8 {
            for target in 0..<8 where target != source {
                let position = whole.position(from: source, to: target)
                if holes.rates[position].isKnown {
                    #expect(completed.rates[position] == holes.rates[position])
                    continue
                }
                #expect(completed.rates[position].source == .predicted)
                #expect(completed.latencies[position].source == .predicted)
                let ratio = completed.rates[position].value / whole.rates[position].value
                #expect(ratio > 0.5 && ratio < 2, "rate \(source) -> \(target) off by \(ratio)")
                let latency = completed.latencies[position].value
                #expect(
                    abs(latency - whole.latencies[position].value) < 0.01, "latency \(source) -> \(target) \(latency)")
            }
        }
        #expect(holes.completed() == completed, "the same graph and seed must give the same bits")
    }

    @Test("Nothing is predicted from a rate that its two ends dispute, if there is another of either")
    func quarantine() {
        func completed(_ rate: Double, _ confidence: Double) -> LinkGraph {
            var graph = Self.graph { ($0 + 2 * $1) % 5 == 0 }
            graph.setLink(from: 1, to: 3, latency: nil, bytesPerSecond: .measured(rate, confidence: confidence))
            return graph.completed()
        }
        func others(_ graph: LinkGraph) -> [LinkEstimate] {
            (0..<64).filter { $0 != graph.position(from: 1, to: 3) && $0 / 8 != $0 % 8 }.map { graph.rates[$0] }
        }
        let (low, high) = (
            completed(1e3, LinkEstimate.disputedConfidence), completed(9e9, LinkEstimate.disputedConfidence)
        )
        #expect(others(low) == others(high))
        #expect(low.rates[low.position(from: 1, to: 3)].value == 1e3, "it stands for its own pair")
        #expect(others(completed(1e3, 1)) != others(low), "a rate on which both agree counts")
    }

    @Test("No place is learnt from a pair whose ends dispute its rate, unless a peer has no other")
    func quarantinedRoundTrips() {
        func completed(_ seconds: Double, _ confidence: Double, onlyOne: Bool = false) -> LinkGraph {
            var graph = Self.graph { one, other in
                onlyOne && (one == 1 || other == 1) ? true : (one + 2 * other) % 5 == 0
            }
            let pairs = [(1, 3), (3, 1)]
            for (one, other) in pairs {
                graph.setLink(
                    from: one, to: other, latency: .measured(seconds),
                    bytesPerSecond: .measured(1e6, confidence: confidence))
            }
            return graph.completed()
        }
        func others(_ graph: LinkGraph) -> [LinkEstimate] {
            (0..<64).filter { $0 / 8 != $0 % 8 && ![11, 25].contains($0) }.map { graph.latencies[$0] }
        }
        let disputed = LinkEstimate.disputedConfidence
        let near = completed(1e-4, disputed)
        #expect(others(near) == others(completed(0.5, disputed)))
        #expect(near.latencies[near.position(from: 1, to: 3)].value == 1e-4, "it stands for its own pair")
        #expect(others(near) != others(completed(1e-4, 1)), "a pair that agrees counts")
        let lone = completed(1e-4, disputed, onlyOne: true)
        #expect(others(lone) != others(completed(0.5, disputed, onlyOne: true)), "nothing else is known of peer 1")
    }

    @Test func nothingMeasuredStaysUnknown() {
        let empty = Self.graph { _, _ in true }
        #expect(empty.completed().coverage.unknown == 56)
    }

    @Test func knownGraphIsLeftAlone() {
        let whole = Self.graph { _, _ in false }
        #expect(whole.completed() == whole)
    }
}

/// Access links seen in the rates of single links.
struct AccessLimitTests {
    @Test func aHomesUplinkIsSeenAndASitesLinksAreNot() {
        let names = ["home", "a1", "a2", "b1", "b2"]
        var graph = LinkGraph(
            nodes: names.map { LinkGraph.Node(name: $0, flopsPerSecond: 1e9, memoryBytes: 1e9) },
            digest: Digest.sha256([UInt8]()))
        for (source, from) in names.enumerated() {
            for (target, to) in names.enumerated() where target != source {
                let rate = from == "home" ? 2.5e6 * (1 + 0.03 * Double(target)) : from.first == to.first ? 1e8 : 1e7
                graph.setLink(
                    from: source, to: target, latency: .measured(0.01),
                    bytesPerSecond: .measured(to == "home" ? 6e6 : rate))
            }
        }
        let inferred = graph.inferringAccessLimits()
        #expect(inferred.nodes[0].uplinkBytesPerSecond == 2.5e6 * 1.12)
        #expect(inferred.nodes[0].downlinkBytesPerSecond == 6e6)
        for node in inferred.nodes.dropFirst() { #expect(node.uplinkBytesPerSecond == nil, "\(node.name)") }
    }
}
