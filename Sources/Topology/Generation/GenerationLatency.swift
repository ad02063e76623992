/// How long one sequence takes on an otherwise idle pipeline.
///
/// The prompt's chunks follow each other through the stages, and the tokens after the first go round one at a time:
///
///     time to first token = end of the last chunk at the last stage + return
///     time of an answer   = time to first token + Σ over tokens (Σ stages pass + Σ boundaries (latency + bytes / rate) + return)
///
/// and the goal is the normalised latency, the time of an answer divided by its tokens (Yu et al. 2022, Orca; Kwon et al.
/// 2023, vLLM). Chunks obey end(s, c) = max(end(s, c − 1), arrival(s, c)) + pass(s, c), links alike, so nothing here is an
/// approximation: the simulator (`GenerationSimulator`) finds the same times event by event.
package struct GenerationLatency: Hashable, Sendable {
    /// Seconds until the first token is back at the first stage.
    package var timeToFirstToken: Double
    /// Mean seconds between two tokens after the first; zero if there is only one.
    package var timePerOutputToken: Double
    /// Seconds of the whole answer.
    package var total: Double

    /// Seconds of the whole answer divided by its tokens.
    package func normalised(newTokens: Int) -> Double { total / Double(newTokens) }

    package init(_ pipeline: GenerationLayout.Pipeline, tables: GenerationTables) {
        let stages = pipeline.stages
        let group = pipeline.groupSequences
        var decode = 0.0
        var round = 0.0
        for (position, stage) in stages.enumerated() {
            decode += tables.decodeSum(stage.layers, on: stage.peer, sequences: group)
            guard position + 1 < stages.count else { continue }
            let next = stages[position + 1].peer
            round += tables.latency[stage.peer * tables.peers + next]
            round += tables.transferSeconds(
                from: stage.peer, to: next, boundary: stage.layers.upperBound, tokens: group)
        }
        let back =
            stages.count > 1
            ? tables.returnSeconds(from: stages[stages.count - 1].peer, to: stages[0].peer, sequences: group) : 0
        timeToFirstToken = Self.prefill(pipeline, tables: tables) + back
        let rounds = Double(tables.newTokens - 1)
        let rest = decode + rounds * (round + back)
        timePerOutputToken = rounds > 0 ? rest / rounds : 0
        total = timeToFirstToken + rest
    }

    /// When the last chunk leaves the last stage.
    private static func prefill(_ pipeline: GenerationLayout.Pipeline, tables: GenerationTables) -> Double {
        let chunks = pipeline.promptChunks
        let group = pipeline.groupSequences
        var arrivals = Array(repeating: 0.0, count: chunks)
        var end = 0.0
        for (position, stage) in pipeline.stages.enumerated() {
            end = 0
            var linkFree = 0.0
            for chunk in 0..<chunks {
                let tokens = tables.chunk(chunk, of: chunks)
                end =
                    max(end, arrivals[chunk])
                    + tables.prefillSeconds(stage.layers, on: stage.peer, sequences: group, tokens: tokens)
                guard position + 1 < pipeline.stages.count else { continue }
                let next = pipeline.stages[position + 1].peer
                linkFree =
                    max(linkFree, end)
                    + tables.transferSeconds(
                        from: stage.peer, to: next, boundary: stage.layers.upperBound, tokens: group * tokens.count)
                arrivals[chunk] = linkFree + tables.latency[stage.peer * tables.peers + next]
            }
        }
        return end
    }
}
