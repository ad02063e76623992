/// What can be made of a plan whose missing peers no spare replaces: starts for a search, not finished plans.
struct Mending {
    private let plan: Plan
    private let problem: PlanningProblem
    private let tables: CostTables

    init(_ plan: Plan, problem: PlanningProblem, tables: CostTables) {
        self.plan = plan
        self.problem = problem
        self.tables = tables
    }

    /// The plan with its gaps closed, with its broken pipelines dissolved into spares, and with their peers taken into
    /// the pipelines that still stand; only what the shape allows.
    var arrangements: [Arrangement] {
        let remains = plan.pipelines.map { pipeline in pipeline.compactMap { problem.graph.index(of: $0.peer) } }
        let isWhole = zip(remains, plan.pipelines).map { $0.count == $1.count }
        let whole = zip(remains, isWhole).compactMap { $1 ? $0 : nil }
        let cuts = Arrangement.commonCuts(of: plan.pipelines.map { $0.map(\.layers) })
        var result: [Arrangement] = []
        if problem.shape.stages == nil, problem.shape.replicas.map({ $0 <= remains.count }) ?? true {
            let closed = remains.filter { !$0.isEmpty }
            if closed.count == problem.shape.replicas ?? closed.count {
                result.append(arrangement(closed, cuts: cuts))
            }
        }
        guard problem.shape.replicas == nil, !whole.isEmpty else { return result }
        let dissolved = arrangement(whole, cuts: cuts)
        result.append(dissolved)
        if problem.shape.stages == nil {
            let pieces = zip(remains, isWhole).flatMap { $1 ? [] : $0 }
            result.append(taking(pieces, into: dissolved))
        }
        return result
    }

    private func arrangement(_ pipelines: [[Int]], cuts: [Int: [Range<Int>]]) -> Arrangement {
        let used = Set(pipelines.joined())
        var result = Arrangement(pipelines: pipelines, spares: (0..<tables.peers).filter { !used.contains($0) })
        result.cuts = cuts
        return result
    }

    /// Each piece where it makes the iteration shortest, one after the other, if anywhere.
    private func taking(_ pieces: [Int], into start: Arrangement) -> Arrangement {
        var best = start
        var builder = LayoutBuilder(tables: tables, schedule: plan.schedule)
        builder.isRough = true
        let share = (tables.microBatches + start.pipelines.count - 1) / start.pipelines.count
        var built = start.pipelines.compactMap { builder.pipeline($0, share: share) }
        guard built.count == start.pipelines.count else { return start }
        var value = builder.price(built).seconds
        for piece in pieces {
            var chosen: (rank: Int, pipeline: LayoutBuilder.Pipeline)?
            for rank in built.indices where built[rank].peers.count < tables.layers {
                for place in 0...built[rank].peers.count {
                    var peers = built[rank].peers
                    peers.insert(piece, at: place)
                    guard let pipeline = builder.pipeline(peers, share: share) else { continue }
                    var trial = built
                    trial[rank] = pipeline
                    let seconds = builder.price(trial, limit: value).seconds
                    guard seconds < value else { continue }
                    value = seconds
                    chosen = (rank, pipeline)
                }
            }
            guard let chosen else { continue }
            built[chosen.rank] = chosen.pipeline
            best.pipelines[chosen.rank] = chosen.pipeline.peers
            best.spares.removeAll { $0 == piece }
        }
        return best
    }
}

extension Arrangement {
    /// The peers of a layout and the cuts that most of its pipelines share.
    init(_ layout: Layout, peers: Int) {
        let used = Set(layout.peers)
        self.init(
            pipelines: layout.pipelines.map { $0.map(\.peer) }, spares: (0..<peers).filter { !used.contains($0) })
        cuts = Self.commonCuts(of: layout.pipelines.map { $0.map(\.layers) })
    }

    /// For each number of stages that several pipelines have, the cuts that most of them share.
    static func commonCuts(of pipelines: [[Range<Int>]]) -> [Int: [Range<Int>]] {
        var result: [Int: [Range<Int>]] = [:]
        for stages in Set(pipelines.map(\.count)).sorted() where stages > 1 {
            let all = pipelines.filter { $0.count == stages }
            guard all.count > 1 else { continue }
            var best = 0
            for cuts in all {
                let count = all.count { $0 == cuts }
                guard count > best else { continue }
                best = count
                result[stages] = cuts
            }
        }
        return result
    }
}
