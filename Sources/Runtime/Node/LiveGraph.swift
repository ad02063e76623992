package import Overlay
package import Primitives
package import Topology
internal import Wire

/// The bandwidth and latency graph of a gossip snapshot, in the two forms that are needed: as the planner's `LinkGraph`
/// and as what `weft graph` prints.
package struct LiveGraph: Sendable {
    private let snapshot: GraphSnapshot
    /// By owner and the prefix of the other end.
    private let reports: [PeerID: [UInt64: LinkReport]]
    /// Seconds since this node heard of each report.
    private let ages: [PeerID: [UInt64: Double]]

    /// Reads the capabilities and link reports of all live members.
    ///
    /// - Parameter age: Seconds since an owner's entry came to this node, where that is known.
    package init(_ snapshot: GraphSnapshot, age: (PeerID, EntryKey) -> Double? = { _, _ in nil }) {
        self.snapshot = snapshot
        var reports: [PeerID: [UInt64: LinkReport]] = [:]
        var ages: [PeerID: [UInt64: Double]] = [:]
        for owner in snapshot.owners {
            for entry in owner.entries where entry.key.kind == EntryKey.linksKind {
                guard let page = try? LinksPage(wireBytes: entry.value) else { continue }
                let seconds = age(owner.peer, entry.key)
                for report in page.reports {
                    reports[owner.peer, default: [:]][report.prefix] = report
                    ages[owner.peer, default: [:]][report.prefix] = seconds
                }
            }
        }
        self.reports = reports
        self.ages = ages
    }

    /// What both ends say of the link from one peer to another; `nil` if neither says anything.
    package func consensus(from sender: PeerID, to receiver: PeerID) -> LinkConsensus? {
        let (sent, received) = (reports[sender]?[receiver.prefix], reports[receiver]?[sender.prefix])
        return sent == nil && received == nil ? nil : LinkConsensus(sender: sent, receiver: received)
    }

    /// Directed pairs of live peers, and how many of them have a measured bandwidth; cheap, as nothing is predicted.
    package var linkCounts: (measured: Int, total: Int) {
        let peers = snapshot.owners.map(\.peer).filter { snapshot.capability(of: $0) != nil }
        var measured = 0
        for source in peers {
            for target in peers where source != target {
                if consensus(from: source, to: target)?.bandwidth != nil { measured += 1 }
            }
        }
        return (measured, peers.count * max(peers.count - 1, 0))
    }

    /// What a peer reports of another, before it is held against the other's word.
    package func report(of owner: PeerID, about peer: PeerID) -> LinkReport? { reports[owner]?[peer.prefix] }

    /// The measured graph of the live peers that have said what they can do, those in `excluded` left out. Unmeasured
    /// links are predicted from the measured ones, which takes a second in a swarm of sixty.
    package func linkGraph(without excluded: Set<PeerID> = []) -> LinkGraph {
        measuredGraph(without: excluded).completed()
    }

    /// The same with unmeasured links left unknown.
    package func measuredGraph(without excluded: Set<PeerID> = []) -> LinkGraph {
        let nodes = snapshot.owners.compactMap { owner -> LinkGraph.Node? in
            guard !excluded.contains(owner.peer), let capability = snapshot.capability(of: owner.peer) else {
                return nil
            }
            return LinkGraph.Node(
                name: capability.name, peer: owner.peer, flopsPerSecond: capability.flopsPerSecond,
                memoryBytes: Double(capability.memoryBytes))
        }
        var graph = LinkGraph(nodes: nodes, digest: snapshot.digest)
        for (row, source) in nodes.enumerated() {
            for (column, target) in nodes.enumerated() where row != column {
                guard let link = consensus(from: source.peer, to: target.peer) else { continue }
                let rate = link.bandwidth.map {
                    LinkEstimate.measured($0.bytesPerSecond, confidence: Self.confidence(of: link))
                }
                graph.setLink(
                    from: row, to: column, latency: link.roundTrip.map { .measured($0.seconds / 2) },
                    bytesPerSecond: rate)
            }
        }
        return graph
    }

    private static func confidence(of link: LinkConsensus) -> Double {
        if link.isDisputed { return LinkEstimate.disputedConfidence }
        return switch link.confidence {
        case .fine: 1
        case .coarse: 0.5
        case .roundTripOnly: 0
        }
    }

    /// What `weft graph` prints.
    package var view: GraphView {
        let graph = linkGraph()
        var links: [GraphView.Link] = []
        for (row, source) in graph.nodes.enumerated() {
            for (column, target) in graph.nodes.enumerated() where row != column {
                links.append(link(graph, row, source, column, target))
            }
        }
        let peers = graph.nodes.compactMap { node in
            snapshot.capability(of: node.peer).map { capability in
                GraphView.Peer(
                    peer: node.peer, name: capability.name, flopsPerSecond: capability.flopsPerSecond,
                    memoryBytes: capability.memoryBytes, cores: capability.cores, onBattery: capability.onBattery)
            }
        }
        return GraphView(digest: snapshot.digest.description, peers: peers, links: links)
    }

    private func link(
        _ graph: LinkGraph, _ row: Int, _ source: LinkGraph.Node, _ column: Int, _ target: LinkGraph.Node
    ) -> GraphView.Link {
        let position = graph.position(from: row, to: column)
        let (latency, rate) = (graph.latencies[position], graph.rates[position])
        let consensus = consensus(from: source.peer, to: target.peer)
        let samples = Int(report(of: target.peer, about: source.peer)?.samples ?? 0)
        return GraphView.Link(
            from: source.peer, to: target.peer, roundTripSeconds: latency.isKnown ? latency.value * 2 : nil,
            roundTripSource: GraphView.Source(latency.source), jitterSeconds: consensus?.jitter.seconds,
            lossFraction: consensus?.loss, bandwidthBytesPerSecond: rate.isKnown ? rate.value : nil,
            bandwidthSource: GraphView.Source(rate.source),
            bandwidthRelativeError: rate.relativeError, confidence: rate.confidence,
            ageSeconds: age(from: source.peer, to: target.peer),
            roundTripUncertainty: GraphView.Uncertainty(latency, factor: 2),
            bandwidthUncertainty: GraphView.Uncertainty(rate, factor: 1),
            disagrees: consensus?.isDisputed ?? false, samples: samples)
    }

    /// The age of the report that a measured link's figures are from: the receiver's, if it measured the bandwidth.
    private func age(from sender: PeerID, to receiver: PeerID) -> Double? {
        let own = reports[receiver]?[sender.prefix].flatMap { $0.receiveBandwidth > .zero ? $0 : nil }
        let (told, heard) = (ages[sender]?[receiver.prefix], ages[receiver]?[sender.prefix])
        return own == nil ? told ?? heard : heard
    }
}

extension GraphView.Source {
    /// The word for where a planner's estimate comes from.
    init(_ source: LinkEstimate.Source) {
        self =
            switch source {
            case .measured: .measured
            case .predicted: .predicted
            case .unknown: .unknown
            }
    }
}

extension GraphView.Uncertainty {
    /// The error of a predicted estimate times `factor`; `nil` unless it is predicted.
    fileprivate init?(_ estimate: LinkEstimate, factor: Double) {
        guard let interval = estimate.interval, let relativeError = estimate.relativeError else { return nil }
        self.init(
            method: estimate.method.flatMap { GraphView.Method(rawValue: $0.name) }, relativeError: relativeError,
            low: interval.low * factor, high: interval.high * factor)
    }
}
