/// How many tokens a second a pipeline generates with its groups of sequences always in flight: a group whose answers are
/// complete is replaced by a new one at once.
///
/// The pipeline is a closed network: g groups go round through stages and links, and in one answer a group keeps server i
/// (a stage or a link) busy for D_i and needs C from start to end when it is alone. Then with b sequences of n tokens a
/// group
///
///     tokens a second ≤ g b n / max(C, g max D_i)
///
/// (asymptotic bounds of operational analysis, Denning and Buzen 1978): the search's fast form. `steady` follows the
/// groups pass by pass instead. The chunks of a prompt follow each other through the stages where a group is alone;
/// with several groups, others fill the stages meanwhile and a chunk waits for the return of the one before.
package struct GenerationThroughput {
    let tables: GenerationTables

    package init(tables: GenerationTables) { self.tables = tables }

    /// What one group's answer costs.
    struct Demand {
        /// Seconds from start to end, alone.
        var cycle: Double
        /// Seconds that the busiest stage or link works on it.
        var busiest: Double
        /// The mean seconds of one token's round, alone, and what the busiest stage or link works on it.
        var decodeLoop = 0.0
        var decodeBusiest = 0.0
    }

    func demand(_ pipeline: GenerationLayout.Pipeline) -> Demand {
        let stages = pipeline.stages
        let passes = Double(pipeline.promptChunks + tables.newTokens - 1)
        var demand = Demand(cycle: 0, busiest: 0)
        for (position, stage) in stages.enumerated() {
            let busy = busySeconds(pipeline, position)
            demand.busiest = max(demand.busiest, max(busy.compute, busy.link))
            demand.cycle += busy.compute + busy.link
            let decodes = Double(max(1, tables.newTokens - 1))
            let decode = tables.decodeSum(stage.layers, on: stage.peer, sequences: pipeline.groupSequences) / decodes
            let link = busy.link / Double(tables.promptTokens + tables.newTokens - 1)
            demand.decodeBusiest = max(demand.decodeBusiest, max(decode, link))
            demand.decodeLoop += decode + link
            if position + 1 < stages.count {
                let latency = tables.latency[stage.peer * tables.peers + stages[position + 1].peer]
                demand.cycle += passes * latency
                demand.decodeLoop += latency
            } else {
                let back = tables.returnSeconds(
                    from: stage.peer, to: stages[0].peer, sequences: pipeline.groupSequences)
                demand.cycle += passes * back
                demand.decodeLoop += back
            }
        }
        if pipeline.groups == 1 { demand.cycle = GenerationLatency(pipeline, tables: tables).total }
        return demand
    }

    /// Seconds that a stage, and the link to the next one, work on one group's answer.
    func busySeconds(_ pipeline: GenerationLayout.Pipeline, _ position: Int) -> (compute: Double, link: Double) {
        let stage = pipeline.stages[position]
        let group = pipeline.groupSequences
        var compute = tables.decodeSum(stage.layers, on: stage.peer, sequences: group)
        for chunk in 0..<pipeline.promptChunks {
            compute += tables.prefillSeconds(
                stage.layers, on: stage.peer, sequences: group, tokens: tables.chunk(chunk, of: pipeline.promptChunks))
        }
        guard position + 1 < pipeline.stages.count else { return (compute, 0) }
        let link = tables.transferSeconds(
            from: stage.peer, to: pipeline.stages[position + 1].peer, boundary: stage.layers.upperBound,
            tokens: group * (tables.promptTokens + tables.newTokens - 1))
        return (compute, link)
    }

    /// Tokens a second by the asymptotic bounds.
    package func bound(_ pipeline: GenerationLayout.Pipeline) -> Double {
        let demand = demand(pipeline)
        let groups = Double(pipeline.groups)
        return groups * Double(pipeline.groupSequences * tables.newTokens)
            / max(demand.cycle, groups * demand.busiest)
    }

    /// Tokens a second with what prompts cost the groups behind them: nobody overtakes, so that a prompt's pass, longer than
    /// a token's by Δ along the whole way, holds up all others for Δ less the slack of a round, the time that
    /// its groups leave the busiest server idle. An answer then takes C + (g − 1) × chunks × (Δ − slack).
    package func estimate(_ pipeline: GenerationLayout.Pipeline) -> Double {
        let groups = Double(pipeline.groups)
        let demand = demand(pipeline)
        var cycle = demand.cycle
        if tables.newTokens > 1, pipeline.groups > 1 {
            let round = demand.decodeLoop
            let slack = max(0, round - groups * demand.decodeBusiest)
            let chunks = Double(pipeline.promptChunks)
            let longer = (demand.cycle - Double(tables.newTokens - 1) * round) / chunks - round
            cycle += (groups - 1) * chunks * max(0, longer - slack)
        }
        return groups * Double(pipeline.groupSequences * tables.newTokens) / max(cycle, groups * demand.busiest)
    }

    /// Passes of all groups up to which they are followed.
    static let followedPasses = 400_000

    /// Passes of all groups that a measurement follows.
    func passes(_ pipeline: GenerationLayout.Pipeline) -> Int {
        2 * pipeline.groups * (pipeline.promptChunks + tables.newTokens - 1)
    }

    /// Tokens a second once the pipeline has settled, pass by pass; the bound where that would take too long.
    ///
    /// Groups start at equal distances within their answers, so that not all have their prompts at the same time. Nobody
    /// overtakes in queues that are first in, first out, so groups come round in turn and the k-th pass at a stage begins at
    /// max(end of pass k − 1, arrival of pass k): the same as the simulator's events, without the events. What is counted
    /// is the second whole answer of every group.
    package func steady(_ pipeline: GenerationLayout.Pipeline) -> Double {
        guard passes(pipeline) * pipeline.stages.count <= Self.followedPasses else { return bound(pipeline) }
        let costs = PassCosts(pipeline, tables: tables)
        let stages = pipeline.stages.count
        var free = Array(repeating: 0.0, count: stages)
        var linkFree = Array(repeating: 0.0, count: stages)
        var ready = Array(repeating: 0.0, count: pipeline.groups)
        var next = (0..<pipeline.groups).map { costs.startingPass(of: $0) }
        var tokens = 0
        var begin = 0.0
        let perAnswer = pipeline.groups * tables.newTokens
        while true {
            for group in 0..<pipeline.groups {
                let pass = next[group]
                var time = ready[group]
                for stage in 0..<stages {
                    free[stage] = max(free[stage], time) + costs.seconds[stage * costs.passes + pass]
                    time = free[stage]
                    guard stage + 1 < stages else { break }
                    linkFree[stage] = max(linkFree[stage], time) + costs.transfers[stage * costs.passes + pass]
                    time = linkFree[stage] + costs.latencies[stage]
                }
                next[group] = pass + 1 == costs.passes ? 0 : pass + 1
                if pipeline.groups > 1 || pass + 1 >= pipeline.promptChunks { ready[group] = time + costs.back }
                guard pass + 1 >= pipeline.promptChunks else { continue }
                tokens += 1
                if tokens == perAnswer { begin = time }
                if tokens == 2 * perAnswer {
                    return Double(perAnswer * pipeline.groupSequences) / max(time - begin, 1e-300)
                }
            }
        }
    }
}

/// What every pass of an answer costs at every stage and on every link: first the prompt's chunks, then the tokens.
struct PassCosts {
    /// Passes of an answer.
    let passes: Int
    private let groups: Int
    /// By stage and pass.
    private(set) var seconds: [Double] = []
    private(set) var transfers: [Double] = []
    /// One-way latency after each stage but the last.
    private(set) var latencies: [Double] = []
    /// From the last stage to the first.
    let back: Double

    init(_ pipeline: GenerationLayout.Pipeline, tables: GenerationTables) {
        let chunks = pipeline.promptChunks
        let group = pipeline.groupSequences
        groups = pipeline.groups
        passes = chunks + tables.newTokens - 1
        seconds.reserveCapacity(passes * pipeline.stages.count)
        for (position, stage) in pipeline.stages.enumerated() {
            let next = position + 1 < pipeline.stages.count ? pipeline.stages[position + 1].peer : stage.peer
            latencies.append(tables.latency[stage.peer * tables.peers + next])
            for pass in 0..<passes {
                let tokens = pass < chunks ? tables.chunk(pass, of: chunks) : nil
                if let tokens {
                    seconds.append(
                        tables.prefillSeconds(stage.layers, on: stage.peer, sequences: group, tokens: tokens))
                } else {
                    seconds.append(
                        tables.decodeSeconds(
                            stage.layers, on: stage.peer, sequences: group,
                            context: tables.promptTokens + pass - chunks + 1))
                }
                transfers.append(
                    position + 1 < pipeline.stages.count
                        ? tables.transferSeconds(
                            from: stage.peer, to: next, boundary: stage.layers.upperBound,
                            tokens: group * (tokens?.count ?? 1)) : 0)
            }
        }
        back =
            pipeline.stages.count > 1
            ? tables.returnSeconds(
                from: pipeline.stages[pipeline.stages.count - 1].peer, to: pipeline.stages[0].peer, sequences: group)
            : 0
    }

    /// The pass with which a group begins: groups are spread evenly over an answer.
    func startingPass(of group: Int) -> Int { group * passes / groups }
}
