/// Says before any search what memory or money is short for generation, and by how much.
struct GenerationCheck {
    let problem: PlanningProblem
    let tables: GenerationTables
    let budget: CostBudget

    func validate() throws(PlanningError) {
        let stages = problem.shape.stages
        let sorted = tables.memoryBytes.sorted(by: >)
        let available = sorted.prefix(stages ?? sorted.count).reduce(0, +)
        let needed = tables.stageBytes(0..<tables.layers, sequences: 1)
        let cache = needed - tables.weightBytes(0..<tables.layers)
        guard needed <= available else {
            let holders = stages.map { "the \($0) largest peers" } ?? "all \(tables.peers) peers"
            throw PlanningError(
                .tooLittleMemory,
                "\(problem.model.name) needs \(Figures.bytes(needed)) for its weights and the cache of one sequence "
                    + "(\(Figures.bytes(cache))): \(holders) together have \(Figures.bytes(available)), "
                    + "\(Figures.bytes(needed - available)) too little")
        }
        let roomiest = sorted.first ?? 0
        for layer in 0..<tables.layers {
            let bytes = tables.stageBytes(layer..<(layer + 1), sequences: 1)
            guard bytes <= roomiest else {
                throw PlanningError(
                    .tooLittleMemory,
                    "layer \(layer) of \(problem.model.name) needs \(Figures.bytes(bytes)) with the cache of one "
                        + "sequence: the largest peer has \(Figures.bytes(roomiest)), "
                        + "\(Figures.bytes(bytes - roomiest)) too little")
            }
        }
        try budget.validate(
            bytes: needed, memory: tables.memoryBytes, peers: stages ?? 1,
            what: "hold \(problem.model.name) and the cache of one sequence (\(Figures.bytes(needed)))")
    }
}
