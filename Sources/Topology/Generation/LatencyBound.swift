/// The shortest way of a sequence through the layers if a peer could hold several stages that do not follow each other: a
/// bound for every plan, and a guide for the search.
///
/// For a prompt in c chunks the time of an answer is at least the first stage's work on all chunks, and then, stage by
/// stage and boundary by boundary, that of the last chunk and of all further tokens: a sum along the way, so that
/// the least is a shortest path over (layers done, peer) by dynamic programming. With one chunk the sum is the time itself.
struct LatencyBound {
    let tables: GenerationTables
    let chunks: Int
    private let layers: Int
    private let peers: Int
    /// Seconds of layers l..<m on a peer that is not the first, at ((l × (layers + 1)) + m) × peers + peer; infinite where
    /// they do not fit.
    private let stageCosts: [Double]
    private let lastChunk: Int

    init(tables: GenerationTables, chunks: Int) {
        self.tables = tables
        self.chunks = chunks
        layers = tables.layers
        peers = tables.peers
        let tokens = tables.chunk(chunks - 1, of: chunks)
        lastChunk = tokens.count
        let width = layers + 1
        var costs = Array(repeating: Double.infinity, count: layers * width * peers)
        for start in 0..<layers {
            for end in (start + 1)...layers {
                let range = start..<end
                for peer in 0..<peers where tables.stageBytes(range, sequences: 1) <= tables.memoryBytes[peer] {
                    costs[(start * width + end) * peers + peer] =
                        tables.prefillSeconds(range, on: peer, sequences: 1, tokens: tokens)
                        + tables.decodeSum(range, on: peer, sequences: 1)
                }
            }
        }
        stageCosts = costs
    }

    func stageCost(_ start: Int, _ end: Int, _ peer: Int) -> Double {
        stageCosts[(start * (layers + 1) + end) * peers + peer]
    }

    /// What the first stage adds to `stageCost` for the chunks before the last.
    func firstCost(_ end: Int, _ peer: Int) -> Double {
        var cost = stageCost(0, end, peer)
        guard chunks > 1, cost < .infinity else { return cost }
        for chunk in 0..<(chunks - 1) {
            cost += tables.prefillSeconds(
                0..<end, on: peer, sequences: 1, tokens: tables.chunk(chunk, of: chunks))
        }
        return cost
    }

    /// Seconds that an answer spends between two stages.
    func hop(_ boundary: Int, _ source: Int, _ target: Int) -> Double {
        let tokens = Double(lastChunk + tables.newTokens - 1)
        let link = source * peers + target
        return tables.latency[link] * Double(tables.newTokens)
            + tokens * tables.boundaryBytes[boundary] * tables.secondsPerByte[link]
    }

    /// Seconds that an answer's tokens need back to the first stage.
    func back(_ last: Int, _ first: Int) -> Double {
        Double(tables.newTokens) * tables.returnSeconds(from: last, to: first, sequences: 1)
    }

    /// The least that is still to come, by layers done and peer of the last stage.
    struct ToGo {
        /// At layers × peers + peer.
        fileprivate var values: [Double]
        fileprivate let peers: Int

        func after(_ layers: Int, on peer: Int) -> Double { values[layers * peers + peer] }
    }

    /// - Parameter first: the first stage's peer; `nil` counts the cheapest way back to anyone.
    func toGo(first: Int?) -> ToGo {
        var togo = ToGo(values: Array(repeating: 0, count: (layers + 1) * peers), peers: peers)
        for peer in 0..<peers {
            if let first {
                togo.values[layers * peers + peer] = back(peer, first)
            } else {
                togo.values[layers * peers + peer] = (0..<peers).map { back(peer, $0) }.min() ?? 0
            }
        }
        var from = Array(repeating: Double.infinity, count: peers)
        for boundary in stride(from: layers - 1, to: 0, by: -1) {
            // From the start of a stage at this boundary to the end.
            for peer in 0..<peers {
                var best = Double.infinity
                for end in (boundary + 1)...layers {
                    let cost = stageCost(boundary, end, peer)
                    guard cost < .infinity else { break }
                    best = min(best, cost + togo.values[end * peers + peer])
                }
                from[peer] = best
            }
            let bytes = Double(lastChunk + tables.newTokens - 1) * tables.boundaryBytes[boundary]
            let rounds = Double(tables.newTokens)
            for source in 0..<peers {
                var best = Double.infinity
                let row = source * peers
                for target in 0..<peers where target != source {
                    let value =
                        tables.latency[row + target] * rounds + bytes * tables.secondsPerByte[row + target]
                        + from[target]
                    best = min(best, value)
                }
                togo.values[boundary * peers + source] = best
            }
        }
        return togo
    }

    /// The bound for plans that begin with this peer.
    func bound(first: Int, _ togo: ToGo) -> Double {
        var best = Double.infinity
        for end in 1...layers {
            let cost = firstCost(end, first)
            guard cost < .infinity else { break }
            // Alone, the tokens need no way back.
            best = min(best, cost + (end == layers ? 0 : togo.after(end, on: first)))
        }
        return best
    }

    /// The least time of an answer over all plans, whatever their first stage and their chunks.
    static func ofAll(_ tables: GenerationTables) -> Double {
        var least = Double.infinity
        for chunks in tables.chunkChoices {
            let bound = LatencyBound(tables: tables, chunks: chunks)
            let togo = bound.toGo(first: nil)
            for peer in 0..<tables.peers { least = min(least, bound.bound(first: peer, togo)) }
        }
        return least
    }
}
