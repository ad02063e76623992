internal import Primitives

extension IterationSearch {
    /// How near peers are: the time of one micro-batch's activations over the slower direction.
    static func affinity(_ tables: CostTables) -> Affinity {
        let boundary = (tables.boundaryForwardBytes.max() ?? 0) * tables.compression.activationFactor
        return Affinity(
            cost: tables.latency.combined(with: tables.secondsPerByte, own: 0) { there, back in
                max(there.0, back.0) + boundary * max(there.1, back.1)
            })
    }

    /// Structured tables for every promising shape.
    static func starts(
        _ problem: PlanningProblem, tables: CostTables, affinity: Affinity, budget: CostBudget,
        generator: inout SeededGenerator
    ) -> [Arrangement] {
        let count = tables.peers
        let speeds = tables.secondsPerFlop.map { 1 / $0 }
        var result: [Arrangement] = []
        for shape in shapes(problem, peers: budget.mostPeers, layers: tables.layers) {
            let used = shape.stages * shape.replicas
            // With more peers than places the slow ones wait, and those that cannot be paid.
            let fast = Set(budget.selection(used, by: speeds))
            guard !fast.isEmpty else { continue }
            let order = affinity.order.filter { fast.contains($0) }
            let idle = affinity.order.filter { !fast.contains($0) }
            var found = [
                Template.regionPerPipeline(order, stages: shape.stages, replicas: shape.replicas),
                Template.regionPerStage(order, stages: shape.stages, replicas: shape.replicas),
            ]
            for groups in affinity.groupings {
                var kept = groups.map { $0.filter { fast.contains($0) } }.filter { !$0.isEmpty }
                found.append(Template.deal(kept, stages: shape.stages, replicas: shape.replicas))
                // Mixtures: the groups in another order fill the stages, so that others share one.
                for _ in 0..<(count <= 128 ? 12 : 1) {
                    generator.shuffle(&kept)
                    found.append(
                        Template.regionPerStage(
                            kept.flatMap(\.self), stages: shape.stages, replicas: shape.replicas
                        ).matched(affinity))
                }
            }
            for table in found where table.stages.allSatisfy({ $0.count == shape.replicas }) {
                let pipelines = (0..<shape.replicas).map { replica in table.stages.map { $0[replica] } }
                result.append(Arrangement(pipelines: pipelines, spares: table.spares + idle))
            }
        }
        return result
    }

    /// Pipelines of a start at most: every peer would have to exchange with as many others.
    private static let mostReplicas = 1_024

    /// The shapes to start from: all for few peers, else for each number of stages the most replicas that there are
    /// peers for, and half as many.
    static func shapes(
        _ problem: PlanningProblem, peers: Int, layers: Int
    ) -> [(stages: Int, replicas: Int)] {
        let microBatches = problem.batch.microBatches
        var shapes: [(stages: Int, replicas: Int)] = []
        let stages = problem.shape.stages.map { [$0] } ?? Array(1...max(1, min(layers, peers)))
        for count in stages {
            let most = min(peers / count, min(microBatches, problem.shape.replicas ?? mostReplicas))
            guard most > 0 else { continue }
            if let replicas = problem.shape.replicas {
                if replicas <= most { shapes.append((count, replicas)) }
            } else if peers <= 12 {
                for replicas in 1...most { shapes.append((count, replicas)) }
            } else {
                shapes.append((count, most))
                if most > 1 { shapes.append((count, (most + 1) / 2)) }
            }
        }
        return shapes
    }
}
