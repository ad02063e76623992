extension CostBudget {
    /// Throws if no peers within the limit can do `what`.
    func validate(bytes: Double, memory: [Double], peers: Int, what: String) throws(PlanningError) {
        guard let limit else { return }
        let least = leastCost(bytes: bytes, memory: memory, count: peers)
        guard !allows(cost: least) else { return }
        throw PlanningError(
            .tooDear,
            "at most \(Figures.price(limit)) an hour is too little: the cheapest peers that could \(what) cost "
                + "\(Figures.price(least)) an hour, \(Figures.price(least - limit)) more")
    }

    /// The same for training the problem's model.
    func validate(_ problem: PlanningProblem, tables: CostTables) throws(PlanningError) {
        let replicas = problem.shape.replicas ?? 1
        let state = tables.parameters(0..<tables.layers) * tables.stateBytesPerParameter * Double(replicas)
        try validate(
            bytes: state, memory: tables.memoryBytes, peers: (problem.shape.stages ?? 1) * replicas,
            what: "train \(problem.model.name) (\(Figures.bytes(state)) for weights and optimiser"
                + (replicas > 1 ? " in \(replicas) pipelines)" : ")"))
    }

    /// Throws if not all peers can be paid, for an objective that places all.
    func validateAll() throws(PlanningError) {
        guard let limit, !allows(prices.indices) else { return }
        let all = cost(of: prices.indices)
        throw PlanningError(
            .tooDear,
            "DT-FM's objective places all peers, which cost \(Figures.price(all)) an hour, \(Figures.price(all - limit)) "
                + "more than the limit: use the iteration's")
    }

    /// What to say where a search within the limit has found nothing; `nil` without a limit.
    var nothingFound: PlanningError? {
        limit.map {
            PlanningError(
                .tooDear,
                "no arrangement found that fits the peers' memory and costs at most \(Figures.price($0)) an hour: allow "
                    + "more, or use other numbers of stages")
        }
    }
}
