/// A problem as DT-FM's objective sees it: two symmetric matrices of seconds.
struct DTFMTables: Sendable {
    let peers: Int
    let stages: Int
    let replicas: Int
    /// 2 × (latency + gradient / (replicas × rate)), row-major, zero on the diagonal.
    let exchangeSeconds: [Double]
    /// latency + activation / rate, row-major, zero on the diagonal.
    let transferSeconds: [Double]

    init(_ problem: PlanningProblem) throws(PlanningError) {
        guard let stages = problem.shape.stages, let replicas = problem.shape.replicas else {
            throw PlanningError(
                .unsupported,
                "the dtfm objective needs the numbers of stages and replicas: give --stages and --replicas")
        }
        guard replicas <= DTFMEvaluator.maximumReplicas else {
            throw PlanningError(
                .unsupported,
                "the dtfm objective takes at most \(DTFMEvaluator.maximumReplicas) replicas, not \(replicas)")
        }
        let constants = problem.dtfm ?? Self.constants(of: problem, stages: stages, replicas: replicas)
        let graph = problem.graph
        let count = graph.count
        var exchange = Array(repeating: 0.0, count: count * count)
        var transfer = exchange
        for left in 0..<count {
            for right in 0..<count where right != left {
                let there = graph.position(from: left, to: right)
                let back = graph.position(from: right, to: left)
                func slower(_ seconds: (Int) -> Double) -> Double { max(seconds(there), seconds(back)) }
                exchange[there] = slower {
                    2
                        * (graph.latencies[$0].value
                            + constants.gradientBytes / (Double(replicas) * graph.rates[$0].value))
                }
                transfer[there] = slower {
                    graph.latencies[$0].value + constants.activationBytes / graph.rates[$0].value
                }
            }
        }
        peers = count
        self.stages = stages
        self.replicas = replicas
        exchangeSeconds = exchange
        transferSeconds = transfer
    }

    /// The constants as DT-FM derives them: the gradients of one stage, and all activations of one pipeline's batch over
    /// one boundary.
    private static func constants(
        of problem: PlanningProblem, stages: Int, replicas: Int
    ) -> PlanningProblem.DTFMConstants {
        let model = problem.model
        return PlanningProblem.DTFMConstants(
            gradientBytes: model.parameters * model.gradientBytesPerParameter / Double(stages),
            activationBytes: (model.layers.first?.activationBytes ?? 0) * Double(problem.batch.sequences)
                / Double(replicas))
    }

    /// A bound that no plan beats: every peer has at least its cheapest `replicas − 1` mates, and a boundary costs at
    /// least what the nearest neighbour of its left stage's loneliest peer costs, over disjoint left stages.
    var lowerBound: Double {
        var exchange = 0.0
        var nearest: [Double] = []
        // With spares, the costliest peers may be the ones left out.
        var exchangeOf: [Double] = []
        for left in 0..<peers {
            let others = (0..<peers).filter { $0 != left }
            let cheapest = others.map { exchangeSeconds[left * peers + $0] }.sorted().prefix(replicas - 1)
            exchangeOf.append(cheapest.reduce(0, +))
            nearest.append(others.map { transferSeconds[left * peers + $0] }.min() ?? 0)
        }
        exchangeOf.sort()
        exchange = exchangeOf[stages * replicas - 1]
        nearest.sort()
        var path = 0.0
        if stages > 1 { for boundary in 1..<stages { path += nearest[boundary * replicas - 1] } }
        return exchange + 2 * path
    }
}
