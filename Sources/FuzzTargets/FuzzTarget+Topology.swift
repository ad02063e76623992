internal import Primitives
internal import Topology
internal import Wire

extension FuzzTarget {
    /// Plans and graphs as peers exchange them.
    static let topology: [FuzzTarget] = [
        FuzzTarget(
            "topology-plan", maximumByteCount: 4096, seeds: { [TopologySamples.plan.wireBytes] },
            check: { bytes throws(FuzzFinding) in
                let plan: Plan
                do { plan = try Plan(wireBytes: bytes) } catch { return false }
                try expectSame(plan.wireBytes, bytes)
                // What a peer does with a plan before it believes it.
                if plan.fault(layers: 8) == nil, plan.layerGroups.contains(where: \.holders.isEmpty) {
                    throw FuzzFinding("a plan without fault leaves layers without a holder")
                }
                return true
            }),
        codec("topology-graph", maximumByteCount: 8192, seeds: { [TopologySamples.graph] }),
    ]
}

private enum TopologySamples {
    static let plan = Plan(
        graphDigest: FuzzSamples.digest(1), schedule: .oneForwardOneBackward,
        pipelines: [
            [
                StageAssignment(peer: FuzzSamples.peer(1), firstLayer: 0, layerCount: 5, microBatches: 4, depth: 2),
                StageAssignment(peer: FuzzSamples.peer(2), firstLayer: 5, layerCount: 3, microBatches: 4, depth: 1),
            ]
        ],
        spares: [FuzzSamples.peer(3)], predictedIterationSeconds: 0.25)

    static var graph: LinkGraph {
        let nodes = (0..<3).map { index in
            LinkGraph.Node(
                name: "peer-\(index)", peer: FuzzSamples.peer(UInt64(index)), flopsPerSecond: 1e11, memoryBytes: 1e10,
                uplinkBytesPerSecond: index == 0 ? 1e6 : nil)
        }
        var graph = LinkGraph(nodes: nodes, digest: FuzzSamples.digest(2))
        graph.setLink(from: 0, to: 1, latency: .measured(0.01), bytesPerSecond: .measured(1e7))
        graph.setLink(
            from: 1, to: 0,
            latency: .predicted(Prediction(value: 0.02, relativeError: 0.3, spread: 0.5), by: .coordinate),
            bytesPerSecond: nil)
        return graph
    }
}
