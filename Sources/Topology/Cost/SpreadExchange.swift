/// The exchange of gradients in which all peers of the plan add up slices of all layers, whoever holds these (the summation
/// service of BytePS, Jiang et al. 2020, by peers that train as well).
///
/// Every holder of some layers sends each peer its part of that peer's slice; a peer that has got a slice from all holders sends
/// the total back to all of them. So all links of a holder carry its gradients, where exchanges among holders alone leave most
/// idle: of S stages a peer has to do with one in S others. Layers are exchanged in pieces, and where a zero-bubble
/// schedule puts gradients of weights off, the stage computes what is left at its end layer by layer, the last layer
/// first, so that a piece is exchanged while the next is computed (out-of-order backpropagation, Oh et al. 2022).
///
/// A tied embedding is a piece by itself, with two holders in every pipeline of several stages: whoever adds up a slice adds up
/// both, so that first and last stage need not exchange anything afterwards.
struct SpreadExchange {
    /// By piece and peer: the part of the piece that it adds up, zero for peers without a place in the plan.
    let slices: [[Double]]
    /// By piece: the peers with a slice.
    let adders: [[Int]]

    /// `nil` if too few peers work for the slices to be no larger than peers have room for.
    init?(_ layout: Layout, pieces: [GradientExchange.Segment], tables: CostTables) {
        guard let figures = tables.spreadFigures else { return nil }
        var isUsed = Array(repeating: false, count: tables.peers)
        for pipeline in layout.pipelines { for stage in pipeline { isUsed[stage.peer] = true } }
        if layout.exchange == .tailored {
            slices = Self.tailored(layout, pieces: pieces, isUsed: isUsed, tables: tables, figures)
            adders = slices.map { slices in slices.indices.filter { slices[$0] > 0 } }
            return
        }
        let used = isUsed.count { $0 }
        let bytes = Self.meanBytes(layout, tables: tables)
        var slices = figures.slices(bytes: bytes)
        if used < tables.peers {
            for peer in slices.indices where !isUsed[peer] { slices[peer] = 0 }
            guard Self.fill(&slices, largest: tables.largestSlice) else { return nil }
        }
        self.slices = pieces.map { _ in slices }
        let all = slices.indices.filter { slices[$0] > 0 }
        adders = pieces.map { _ in all }
    }

    /// By piece and peer: slices for the holders of each piece.
    private static func tailored(
        _ layout: Layout, pieces: [GradientExchange.Segment], isUsed: [Bool], tables: CostTables,
        _ figures: SpreadFigures
    ) -> [[Double]] {
        var groups: [TailoredSlices.Group] = []
        let groupOfPiece = pieces.map { piece in
            let bytes = piece.bytes * tables.compression.gradientFactor
            let holders = piece.holders(in: layout, layers: tables.layers).map {
                layout.pipelines[$0.rank][$0.stage].peer
            }
            if let known = groups.firstIndex(where: { $0.holders == holders }) {
                groups[known].bytes += bytes
                return known
            }
            groups.append(TailoredSlices.Group(holders: holders, bytes: bytes))
            return groups.count - 1
        }
        let slices = TailoredSlices(figures, groups: groups, largest: tables.largestSlice).slices(among: isUsed)
        return groupOfPiece.map { slices[$0] }
    }

    /// Bytes of gradients that a stage exchanges, on average.
    static func meanBytes(_ layout: Layout, tables: CostTables) -> Double {
        let stages = layout.pipelines.reduce(0) { $0 + $1.count }
        return tables.gradientBytes(0..<tables.layers) * tables.compression.gradientFactor
            * Double(layout.pipelines.count) / Double(max(1, stages))
    }

    /// Makes slices larger in proportion until they are a whole; whether there are enough of them.
    private static func fill(_ slices: inout [Double], largest: Double) -> Bool {
        while true {
            let full = slices.reduce(0) { $0 + ($1 >= largest ? $1 : 0) }
            let rest = slices.reduce(0) { $0 + ($1 < largest ? $1 : 0) }
            guard full + rest < 1 - 1e-12 else { return true }
            guard rest > 0 else { return false }
            let factor = (1 - full) / rest
            for peer in slices.indices where slices[peer] < largest {
                slices[peer] = min(largest, slices[peer] * factor)
            }
        }
    }

    /// Pieces in which a stage of mean length is exchanged: twice as many gain half a percent and cost twice the time to price,
    /// which they are worth where slices are no longer searched but tailored.
    private static func piecesOfStage(_ style: ExchangeStyle) -> Double { style == .tailored ? 8 : 4 }

    /// The segments of a layout cut into runs of a few layers, and the tied embedding if there is one.
    static func pieces(of layout: Layout, _ tables: CostTables) -> [GradientExchange.Segment] {
        let stages = layout.pipelines.reduce(0) { $0 + $1.count }
        let mean = Double(tables.layers * layout.pipelines.count) / Double(max(1, stages))
        let most = max(1, Int((mean / piecesOfStage(layout.exchange)).rounded(.up)))
        var pieces: [GradientExchange.Segment] = []
        for segment in GradientExchange.segments(of: layout, tables) {
            let count = (segment.layers.count + most - 1) / most
            for index in 0..<count {
                var piece = segment
                let first = segment.layers.lowerBound + segment.layers.count * index / count
                let last = segment.layers.lowerBound + segment.layers.count * (index + 1) / count
                piece.layers = first..<last
                let twice =
                    (first == 0 ? tables.tiedParameters : 0) + (last == tables.layers ? tables.tiedParameters : 0)
                piece.bytes =
                    (tables.parameterPrefix[last] - tables.parameterPrefix[first] - twice)
                    * tables.gradientBytesPerParameter
                pieces.append(piece)
            }
        }
        if tables.tiedParameters > 0 {
            var tied = GradientExchange.Segment(
                layers: 0..<1, stages: layout.pipelines.map { _ in 0 },
                bytes: tables.tiedParameters * tables.gradientBytesPerParameter)
            tied.isTied = true
            pieces.append(tied)
        }
        return pieces
    }
}

extension CostTables {
    /// When a stage has the gradients of some of its layers: those that follow are computed first, in what is left to do
    /// after its last pass for others.
    func readySeconds(_ piece: Range<Int>, of layers: Range<Int>, inputs: Double, finish: Double) -> Double {
        guard finish > inputs, piece.lowerBound > layers.lowerBound else { return finish }
        let all = backwardPrefix[layers.upperBound] - backwardPrefix[layers.lowerBound]
        let done = backwardPrefix[layers.upperBound] - backwardPrefix[piece.lowerBound]
        return all > 0 ? inputs + (finish - inputs) * (done / all) : finish
    }
}

extension GradientExchange.Segment {
    /// The stages that hold the piece in a spread exchange: by rank the first of each pipeline to do so, then those that are
    /// the second.
    ///
    /// - Parameter count: all layers of the model.
    func holders(in layout: Layout, layers count: Int) -> [GradientExchange.Holder] {
        var holders = stages.enumerated().map { GradientExchange.Holder(rank: $0, stage: $1, layers: layers) }
        guard isTied else { return holders }
        for (rank, pipeline) in layout.pipelines.enumerated() where pipeline.count > 1 {
            holders.append(
                GradientExchange.Holder(rank: rank, stage: pipeline.count - 1, layers: (count - 1)..<count))
        }
        return holders
    }
}

extension GradientExchange {
    /// A stage that holds a piece of a spread exchange.
    struct Holder {
        var rank: Int
        var stage: Int
        /// Of what it holds of the piece: the layers whose gradients must be complete.
        var layers: Range<Int>
    }

    /// The stages that hold a piece.
    func holders(of piece: Segment) -> [Holder] { piece.holders(in: layout, layers: tables.layers) }

    /// When each stage of each rank has the sums of all its layers: what the simulator does, but a whole row of transfers at a
    /// time, those of a holder's parts of a piece to all that add up slices, or those of one slice's totals to all holders.
    func endsOfSpread(_ spread: SpreadExchange, ends known: [StageEnds]) -> [[Double]] {
        let peers = tables.peers
        var ends = known.map(\.finishes)
        guard let figures = tables.spreadFigures, !segments.isEmpty else { return ends }
        var seconds = figures.seconds
        if !tables.plainLinks.isEmpty {
            for link in seconds.indices { seconds[link] *= tables.exchangeFactor(link: link) }
        }
        let factor = tables.plainLinks.isEmpty ? tables.compression.gradientFactor : 1
        let holders = segments.map(holders(of:))
        var parts = partsInOrder(holders, ends: known)[...]
        var totals = EventQueue<(piece: Int, peer: Int)>()
        var missing = holders.map(\.count)
        withUnsafeTemporaryAllocation(of: Double.self, capacity: peers * (peers + segments.count)) { memory in
            // By link: when it is free; by piece and peer: when the peer has all parts.
            guard let busy = memory.baseAddress else { return }
            memory.initialize(repeating: 0)
            let added = busy + peers * peers
            // The last tensors of neighbouring stages go before.
            for (rank, pipeline) in layout.pipelines.enumerated() {
                for (index, stage) in pipeline.enumerated().dropFirst() {
                    let before = pipeline[index - 1].peer
                    busy[before * peers + stage.peer] = known[rank].forwardLinks[index - 1]
                    busy[stage.peer * peers + before] = known[rank].backwardLinks[index]
                }
            }
            while true {
                if let next = parts.first, next.time <= totals.nextTime ?? .infinity {
                    parts.removeFirst()
                    let bytes = segments[next.piece].bytes * factor
                    let slices = spread.slices[next.piece]
                    let row = next.peer * peers
                    let added = added + next.piece * peers
                    for peer in 0..<peers {
                        let sent = bytes * slices[peer]
                        let end = max(next.time, busy[row + peer]) + sent * seconds[row + peer]
                        busy[row + peer] = sent > 0 ? end : busy[row + peer]
                        let arrival = sent > 0 ? end + figures.latency[row + peer] : 0
                        added[peer] = max(added[peer], arrival)
                    }
                    busy[row + next.peer] = 0
                    missing[next.piece] -= 1
                    guard missing[next.piece] == 0 else { continue }
                    for peer in spread.adders[next.piece] { totals.push((next.piece, peer), at: added[peer]) }
                } else if let (time, next) = totals.pop() {
                    let bytes = segments[next.piece].bytes * factor * spread.slices[next.piece][next.peer]
                    for holder in holders[next.piece] {
                        let to = layout.pipelines[holder.rank][holder.stage].peer
                        let link = next.peer * peers + to
                        var arrival = time
                        if to != next.peer {
                            busy[link] = max(time, busy[link]) + bytes * seconds[link]
                            arrival = busy[link] + figures.latency[link]
                        }
                        if arrival > ends[holder.rank][holder.stage] { ends[holder.rank][holder.stage] = arrival }
                    }
                } else {
                    break
                }
            }
        }
        return ends
    }

    /// When which peer begins to send its parts of which piece.
    private func partsInOrder(
        _ holders: [[Holder]], ends: [StageEnds]
    ) -> [(time: Double, piece: Int, peer: Int)] {
        var parts: [(time: Double, piece: Int, peer: Int)] = []
        for (piece, holders) in holders.enumerated() {
            for holder in holders {
                let stage = layout.pipelines[holder.rank][holder.stage]
                let time = tables.readySeconds(
                    holder.layers, of: stage.layers, inputs: ends[holder.rank].inputs[holder.stage],
                    finish: ends[holder.rank].finishes[holder.stage])
                parts.append((time, piece, stage.peer))
            }
        }
        return parts.sorted { ($0.time, $0.piece, $0.peer) < ($1.time, $1.piece, $1.peer) }
    }
}
