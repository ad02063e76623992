/// Says before any search what memory is short, and by how much.
struct MemoryCheck {
    let problem: PlanningProblem
    let tables: CostTables

    func validate() throws(PlanningError) {
        let replicas = problem.shape.replicas ?? 1
        let sorted = tables.memoryBytes.sorted(by: >)
        let usable = problem.shape.stages.map { sorted.prefix($0 * replicas) } ?? sorted[...]
        let available = usable.reduce(0, +)
        let state = tables.parameters(0..<tables.layers) * tables.stateBytesPerParameter
        let needed = state * Double(replicas)
        guard needed <= available else {
            let holders =
                problem.shape.stages.map { "the \($0 * replicas) largest peers" } ?? "all \(tables.peers) peers"
            throw PlanningError(
                .tooLittleMemory,
                "\(problem.model.name) needs \(Figures.bytes(needed)) for weights and optimiser in \(replicas) "
                    + "pipeline\(replicas == 1 ? "" : "s"): \(holders) together have \(Figures.bytes(available)), "
                    + "\(Figures.bytes(needed - available)) too little")
        }
        let roomiest = sorted.first ?? 0
        for layer in 0..<tables.layers {
            let bytes = tables.stageBytes(layer..<(layer + 1), depth: 1)
            guard bytes <= roomiest else {
                throw PlanningError(
                    .tooLittleMemory,
                    "layer \(layer) of \(problem.model.name) needs \(Figures.bytes(bytes)) with one micro-batch: the "
                        + "largest peer has \(Figures.bytes(roomiest)), \(Figures.bytes(bytes - roomiest)) too little")
            }
        }
    }
}
