import Foundation
import Primitives

@testable import Topology

/// A planning problem as the fixtures hold it (`weft.planning-problem/1`), decoded without Runtime.
struct ProblemFixture: Decodable {
    struct Peer: Decodable {
        var name: String
        var flopsPerSecond: Double
        var memoryBytes: Double
    }

    struct Model: Decodable {
        var layers: Int
        var hidden: Int
        var heads: Int
        var sequenceLength: Int
        var vocabulary: Int
        var parameters: Double
    }

    struct Batch: Decodable {
        var sequences: Int
        var microBatchSequences: Int
    }

    struct Shape: Decodable {
        var stages: Int
        var replicas: Int
    }

    struct Constants: Decodable {
        var gradientBytes: Double
        var activationBytes: Double
    }

    struct Proven: Decodable {
        var optimum: Double
    }

    var name: String
    var peers: [Peer]
    var latencySeconds: [[Double]]
    var bandwidthBitsPerSecond: [[Double]]
    var model: Model
    var batch: Batch
    var shape: Shape
    var dtfm: Constants
    var proven: Proven?

    static func one(_ name: String) throws -> ProblemFixture {
        try JSONDecoder().decode(ProblemFixture.self, from: try data(name))
    }

    static func many(_ name: String) throws -> [ProblemFixture] {
        try JSONDecoder().decode([ProblemFixture].self, from: try data(name))
    }

    private static func data(_ name: String) throws -> Data {
        guard let url = Bundle.module.url(forResource: "Fixtures/" + name, withExtension: "json") else {
            throw CocoaError(.fileNoSuchFile)
        }
        return try Data(contentsOf: url)
    }

    var problem: PlanningProblem {
        var graph = LinkGraph(
            nodes: peers.map {
                LinkGraph.Node(name: $0.name, flopsPerSecond: $0.flopsPerSecond, memoryBytes: $0.memoryBytes)
            }, digest: Digest.sha256(Array(name.utf8)))
        for source in peers.indices {
            for target in peers.indices where target != source {
                graph.setLink(
                    from: source, to: target, latency: .measured(latencySeconds[source][target]),
                    bytesPerSecond: .measured(bandwidthBitsPerSecond[source][target] / 8))
            }
        }
        return PlanningProblem(
            name: name, graph: graph,
            model: .gpt(
                name: "fixture",
                shape: GPTShape(
                    layers: model.layers, width: model.hidden, heads: model.heads, context: model.sequenceLength,
                    vocabulary: model.vocabulary),
                precision: .mixed(activationElementBytes: 2, gradientElementBytes: 4),
                totalParameters: model.parameters),
            batch: PlanningProblem.Batch(
                sequences: batch.sequences, microBatchSequences: batch.microBatchSequences),
            shape: PlanningProblem.Shape(stages: shape.stages, replicas: shape.replicas),
            dtfm: PlanningProblem.DTFMConstants(
                gradientBytes: dtfm.gradientBytes, activationBytes: dtfm.activationBytes))
    }
}

/// Problems drawn from a seed: a few sites, near and far links, peers of different speed.
enum RandomProblem {
    static func make(
        seed: UInt64, peers: Int, layers: Int = 4, microBatches: Int = 4, memoryBytes: Double = 4e9,
        sharesAccess: Bool = false, exactReduction: Bool = false
    ) -> PlanningProblem {
        var generator = SeededGenerator(seed: seed)
        let sites = 1 + generator.index(below: 3)
        let site = (0..<peers).map { _ in generator.index(below: sites) }
        let nodes = (0..<peers).map { peer in
            let isHome = sharesAccess && generator.index(below: 2) == 0
            return LinkGraph.Node(
                name: "peer\(peer)", flopsPerSecond: 1e11 * (0.3 + generator.unit()), memoryBytes: memoryBytes,
                uplinkBytesPerSecond: isHome ? 2.5e6 * (1 + generator.unit()) : nil,
                downlinkBytesPerSecond: isHome ? 1.2e7 : nil)
        }
        var graph = LinkGraph(nodes: nodes, digest: Digest.sha256([UInt8(truncatingIfNeeded: seed)]))
        for source in 0..<peers {
            for target in 0..<peers where target != source {
                let isNear = site[source] == site[target]
                graph.setLink(
                    from: source, to: target,
                    latency: .measured(isNear ? 0.0005 + 0.001 * generator.unit() : 0.01 + 0.08 * generator.unit()),
                    bytesPerSecond: .measured(
                        isNear ? 1e8 * (0.5 + generator.unit()) : 3e6 * (0.5 + 4 * generator.unit())))
            }
        }
        return PlanningProblem(
            name: "random \(seed)", graph: graph,
            model: .gpt(
                name: "small",
                shape: GPTShape(layers: layers, width: 128, heads: 4, context: 128, vocabulary: 256),
                precision: .single),
            batch: PlanningProblem.Batch(sequences: microBatches * 4, microBatchSequences: 4),
            exactReduction: exactReduction)
    }

    /// A random layout of the problem under a schedule, or `nil` if the drawn shape does not fit.
    static func layout(
        of problem: PlanningProblem, schedule: PlanSchedule, generator: inout SeededGenerator
    ) -> Layout? {
        let tables = CostTables(problem)
        var builder = LayoutBuilder(tables: tables, schedule: schedule)
        var order = Array(0..<tables.peers)
        generator.shuffle(&order)
        let stages = 1 + generator.index(below: min(tables.peers, tables.layers))
        let replicas = min(1 + generator.index(below: max(1, tables.peers / stages)), tables.microBatches)
        guard stages * replicas <= tables.peers else { return nil }
        var pipelines: [LayoutBuilder.Pipeline] = []
        for replica in 0..<replicas {
            let peers = Array(order[(replica * stages)..<((replica + 1) * stages)])
            let share = (tables.microBatches + replicas - 1) / replicas
            guard let pipeline = builder.pipeline(peers, share: share) else { return nil }
            pipelines.append(pipeline)
        }
        return builder.price(pipelines).layout
    }

    /// A random layout of pipelines of any lengths, with any cuts and shares; `nil` if it does not fit.
    static func unevenLayout(
        of problem: PlanningProblem, schedule: PlanSchedule, generator: inout SeededGenerator
    ) -> Layout? {
        let tables = CostTables(problem)
        let builder = LayoutBuilder(tables: tables, schedule: schedule)
        var order = Array(0..<tables.peers)
        generator.shuffle(&order)
        var shares: [Int] = []
        var pipelines: [[Layout.Stage]] = []
        var left = tables.microBatches
        while left > 0 {
            guard !order.isEmpty else { return nil }
            let length = 1 + generator.index(below: min(order.count, tables.layers))
            let isLast = length == order.count || generator.index(below: 3) == 0
            let share = isLast ? left : 1 + generator.index(below: left)
            var inner = Array(1..<tables.layers)
            generator.shuffle(&inner)
            let bounds = [0] + inner.prefix(length - 1).sorted() + [tables.layers]
            let cuts = zip(bounds, bounds.dropFirst()).map { $0..<$1 }
            guard let pipeline = builder.pipeline(Array(order.prefix(length)), cuts: cuts, share: share) else {
                return nil
            }
            order.removeFirst(length)
            pipelines.append(pipeline.stages)
            shares.append(share)
            left -= share
        }
        return Layout(pipelines: pipelines, microBatches: shares, schedule: schedule)
    }
}
