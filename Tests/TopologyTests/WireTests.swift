import Primitives
import TestSupport
import Testing
import Wire

@testable import Topology

/// The documented bytes, and that nothing but them is read.
struct WireTests {
    private static func peer(_ byte: UInt8) throws -> PeerID {
        try #require(PeerID(bytes: Array(repeating: byte, count: 32)))
    }

    private static func examplePlan() throws -> Plan {
        Plan(
            graphDigest: try #require(Digest(bytes: Array(repeating: 0xD1, count: 32))),
            schedule: .oneForwardOneBackward,
            pipelines: [
                [
                    StageAssignment(peer: try peer(0xA1), firstLayer: 0, layerCount: 3, microBatches: 4, depth: 2),
                    StageAssignment(peer: try peer(0xB2), firstLayer: 3, layerCount: 1, microBatches: 4, depth: 1),
                ]
            ], spares: [try peer(0xC3)], predictedIterationSeconds: 0.5)
    }

    private static func exampleGraph() throws -> LinkGraph {
        var graph = LinkGraph(
            nodes: [
                LinkGraph.Node(name: "a", peer: try peer(0xA1), flopsPerSecond: 1e9, memoryBytes: 4e9),
                LinkGraph.Node(
                    name: "b", peer: try peer(0xB2), flopsPerSecond: 2e9, memoryBytes: 8e9,
                    uplinkBytesPerSecond: 2.5e6),
            ], digest: try #require(Digest(bytes: Array(repeating: 0xD1, count: 32))))
        graph.setLink(
            from: 0, to: 1, latency: .measured(0.02),
            bytesPerSecond: .predicted(Prediction(value: 1e6, relativeError: 1, spread: 0.5), by: .access))
        return graph
    }

    @Test func planExample() throws {
        let plan = try Self.examplePlan()
        #expect(NetworkExamples.bytes("topology/plan") == plan.wireBytes, "\(plan.wireBytes.hex)")
        #expect(try Plan(wireBytes: plan.wireBytes) == plan)
    }

    @Test func graphExample() throws {
        let graph = try Self.exampleGraph()
        #expect(NetworkExamples.bytes("topology/graph") == graph.wireBytes, "\(graph.wireBytes.hex)")
        #expect(try LinkGraph(wireBytes: graph.wireBytes) == graph)
    }

    @Test func everyTruncationIsRefused() throws {
        let plan = try Self.examplePlan().wireBytes
        for count in 0..<plan.count {
            #expect(throws: WireError.self) { try Plan(wireBytes: Array(plan[..<count])) }
        }
        let graph = try Self.exampleGraph().wireBytes
        for count in 0..<graph.count {
            #expect(throws: WireError.self) { try LinkGraph(wireBytes: Array(graph[..<count])) }
        }
        #expect(throws: WireError.trailingBytes) { try Plan(wireBytes: plan + [0]) }
    }

    @Test func faultsAreFound() throws {
        var plan = try Self.examplePlan()
        #expect(plan.fault(layers: 4) == nil)
        #expect(plan.fault(layers: 5) == "pipeline 0 covers 4 of 5 layers")
        plan.spares = [try Self.peer(0xA1)]
        #expect(plan.fault(layers: 4)?.hasSuffix("appears twice") == true)
        plan.spares = []
        plan.pipelines[0][1].firstLayer = 2
        #expect(plan.fault(layers: 4) == "pipeline 0 stage 1 starts at layer 2, not 3")
        plan.pipelines = []
        #expect(plan.fault(layers: 4) == "the plan has no pipelines")
    }

    @Test func layerGroupsFollowEveryCut() throws {
        var plan = try Self.examplePlan()
        plan.pipelines.append([
            StageAssignment(peer: try Self.peer(1), firstLayer: 0, layerCount: 1, microBatches: 3, depth: 2),
            StageAssignment(peer: try Self.peer(2), firstLayer: 1, layerCount: 3, microBatches: 3, depth: 1),
        ])
        #expect(plan.layerGroups.map(\.layers) == [0..<1, 1..<3, 3..<4])
        #expect(plan.layerGroups[1].holders == [try Self.peer(0xA1), try Self.peer(2)])
        #expect(plan.microBatchRanges == [0..<4, 4..<7])
    }
}
