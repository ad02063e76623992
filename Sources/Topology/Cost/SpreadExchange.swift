internal import Primitives

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
    /// By piece and peer: how what it adds up comes to it; empty if all goes straight.
    let trees: [[SliceTree]]

    /// `nil` if too few peers work for the slices to be no larger than peers have room for.
    ///
    /// - Parameters:
    ///   - ends: when the stages of each rank have done their work, if that is known already.
    ///   - known: slices to be used whatever the layout.
    init?(
        _ layout: Layout, pieces: [GradientExchange.Segment], tables: CostTables, ends: [StageEnds]? = nil,
        known: LayerSlices? = nil
    ) {
        guard let figures = tables.spreadFigures else { return nil }
        let isUsed = layout.isUsed(of: tables.peers)
        if layout.exchange == .relayed, layout.schedule != .gpipe {
            let ends = ends ?? Self.ends(of: layout, tables: tables)
            let relayed = figures.relayed.value(
                RelayedLayout(layout: layout, ends: ends.map { $0.finishes + $0.inputs })
            ) {
                Self.relayed(layout, pieces: pieces, isUsed: isUsed, ends: ends, tables: tables, figures)
            }
            slices = relayed.slices
            trees = relayed.trees
            adders = slices.map { slices in slices.indices.filter { slices[$0] > 0 } }
            return
        }
        trees = []
        if let known {
            slices = pieces.map { known.slices(of: $0, among: isUsed) }
            adders = slices.map { slices in slices.indices.filter { slices[$0] > 0 } }
            return
        }
        if layout.exchange != .spread {
            slices = Self.tailored(layout, pieces: pieces, isUsed: isUsed, ends: ends, tables: tables, figures)
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

    /// How what a peer adds up of a piece comes to it; `nil` if all goes straight.
    func tree(_ piece: Int, _ adder: Int) -> SliceTree? { trees.isEmpty ? nil : trees[piece][adder] }

    /// By piece and peer: slices for the holders of each piece, and if timed for when these have their gradients.
    ///
    /// - Parameter fitted: slices that have been fitted to a similar layout, to be fitted to this one in so many rounds.
    private static func tailored(
        _ layout: Layout, pieces: [GradientExchange.Segment], isUsed: [Bool], ends: [StageEnds]?, tables: CostTables,
        _ figures: SpreadFigures, fitted: (slices: LayerSlices, rounds: Int)? = nil
    ) -> [[Double]] {
        let (groups, groupOfPiece) = groups(layout, pieces: pieces, tables: tables)
        let tailored = TailoredSlices(figures, groups: groups, largest: tables.largestSlice)
        let slices =
            fitted == nil || layout.schedule == .gpipe ? tailored.slices(among: isUsed) : groups.map { _ in [] }
        // With GPipe stages are done one long after the other, and what they exchange meets the last tensors of those before
        // on the same links: times that are not known here.
        guard layout.exchange == .timed, layout.schedule != .gpipe else { return groupOfPiece.map { slices[$0] } }
        let ends = ends ?? Self.ends(of: layout, tables: tables)
        let equal = 1 / Double(max(1, isUsed.count { $0 }))
        let timed = TimedSlices(
            recurrence: SpreadRecurrence(layout, pieces: pieces, ends: ends, tables: tables, figures),
            tailored: tailored, groups: groupOfPiece,
            smallest: TailoredSlices.smallest * equal)
        guard let fitted else { return timed.slices(from: slices) }
        var start = slices
        for (piece, group) in zip(pieces, groupOfPiece) {
            let known = fitted.slices.slices(of: piece, among: isUsed)
            // Whoever has had no slice may get one.
            start[group] = zip(known, isUsed).map {
                (1 - LayerSlices.renewed) * $0 + LayerSlices.renewed * ($1 ? equal : 0)
            }
        }
        tailored.fit(&start)
        return timed.slices(from: start, rounds: fitted.rounds)
    }

    /// Pieces that are held by the same peers, and by piece the group that it is in.
    private static func groups(
        _ layout: Layout, pieces: [GradientExchange.Segment], tables: CostTables
    ) -> (groups: [TailoredSlices.Group], ofPiece: [Int]) {
        var groups: [TailoredSlices.Group] = []
        let ofPiece = pieces.map { piece in
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
        return (groups, ofPiece)
    }

    /// When the stages of each rank have done their work.
    private static func ends(of layout: Layout, tables: CostTables) -> [StageEnds] {
        zip(layout.pipelines, layout.microBatches).map {
            PipelineRecurrence($0, schedule: layout.schedule, tables: tables).ends(microBatches: $1)
        }
    }

    /// By piece and peer: slices and the ways on which relays gather them, which suit the holders of each piece, and then
    /// slices of every piece that suit when these have their gradients.
    private static func relayed(
        _ layout: Layout, pieces: [GradientExchange.Segment], isUsed: [Bool], ends: [StageEnds], tables: CostTables,
        _ figures: SpreadFigures
    ) -> Relayed {
        let (groups, groupOfPiece) = groups(layout, pieces: pieces, tables: tables)
        let start = TailoredSlices(figures, groups: groups, largest: tables.largestSlice).slices(among: isUsed)
        let recurrence = SpreadRecurrence(layout, pieces: pieces, ends: ends, tables: tables, figures)
        // Each piece has slices and ways of its own.
        let pieceGroups = zip(groupOfPiece, recurrence.bytes).map {
            TailoredSlices.Group(holders: groups[$0].holders, bytes: $1)
        }
        var tailored = TailoredSlices(figures, groups: pieceGroups, largest: tables.largestSlice)
        let ways = RelayedSlices(
            figures, seconds: recurrence.seconds, groups: pieceGroups, isUsed: isUsed, tailored: tailored,
            start: groupOfPiece.map { start[$0] })
        // Where latencies count for more than bytes relays are in the way.
        let straight = pieceGroups.map {
            Array(repeating: SliceTree(holders: $0.holders.count), count: tables.peers)
        }
        let starts = [
            (trees: ways.trees, slices: ways.slices), (trees: straight, slices: groupOfPiece.map { start[$0] }),
        ]
        let chosen = starts.map { RelayedRecurrence(recurrence, trees: $0.trees) }
        let seconds = zip(chosen, starts).map { $0.ends($1.slices).max() ?? 0 }
        let index = seconds[1] < seconds[0] ? 1 : 0
        tailored.trees = starts[index].trees
        let timed = TimedSlices(
            recurrence: chosen[index], tailored: tailored, groups: Array(pieces.indices),
            smallest: TailoredSlices.smallest / Double(max(1, isUsed.count { $0 })))
        var first = starts[index].slices
        tailored.fit(&first)
        let slices = timed.slices(from: first)
        return Relayed(
            slices: slices,
            trees: RelayedSlices.fitting(
                starts[index].trees, slices: slices, groups: pieceGroups, largest: tables.largestSlice))
    }

    /// What relays are found for.
    struct RelayedLayout: Hashable, Sendable {
        var layout: Layout
        /// By rank: when its stages are done, and with their last input gradients.
        var ends: [[Double]]
    }

    /// What is remembered of a layout with relays.
    struct Relayed: Sendable {
        /// By piece and peer.
        var slices: [[Double]]
        var trees: [[SliceTree]]
    }

    /// Slices that suit a layout and when its stages have done their work.
    ///
    /// - Parameter known: slices to be changed in a few rounds, rather than others from nothing.
    static func fittedSlices(
        _ layout: Layout, ends: [StageEnds], tables: CostTables, from known: (slices: LayerSlices, rounds: Int)?
    ) -> LayerSlices? {
        guard let figures = tables.spreadFigures, layout.pipelines.count > 1 else { return nil }
        let isUsed = layout.isUsed(of: tables.peers)
        let pieces = pieces(of: layout, tables)
        let slices = tailored(
            layout, pieces: pieces, isUsed: isUsed, ends: ends, tables: tables, figures, fitted: known)
        var result = LayerSlices(ofLayers: Array(repeating: [], count: tables.layers))
        for (piece, ofPiece) in zip(pieces, slices) {
            if piece.isTied {
                result.tied = ofPiece
            } else {
                for layer in piece.layers { result.ofLayers[layer] = ofPiece }
            }
        }
        return result
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
    private static func piecesOfStage(_ style: ExchangeStyle) -> Double { style == .spread ? 4 : 8 }

    /// The segments of a layout cut into runs of a few layers, and the tied embedding if there is one; in four parts each with
    /// relays.
    static func pieces(of layout: Layout, _ tables: CostTables) -> [GradientExchange.Segment] {
        let pieces = wholePieces(of: layout, tables)
        guard layout.exchange == .relayed, layout.schedule != .gpipe else { return pieces }
        return pieces.flatMap { piece in
            var part = piece
            part.bytes /= Double(partsOfPiece)
            return repeatElement(part, count: partsOfPiece)
        }
    }

    /// Parts of a piece where relays gather them, so that a sum is sent on while the next is gathered.
    private static let partsOfPiece = 4

    private static func wholePieces(of layout: Layout, _ tables: CostTables) -> [GradientExchange.Segment] {
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

    /// When each stage of each rank has the sums of all its layers.
    func endsOfSpread(_ spread: SpreadExchange, ends known: [StageEnds]) -> [[Double]] {
        guard let figures = tables.spreadFigures, !segments.isEmpty else { return known.map(\.finishes) }
        let recurrence = SpreadRecurrence(layout, pieces: segments, ends: known, tables: tables, figures)
        let ends =
            spread.trees.isEmpty
            ? recurrence.ends(spread.slices)
            : RelayedRecurrence(recurrence, trees: spread.trees).ends(spread.slices)
        return layout.pipelines.map { $0.map { ends[$0.peer] } }
    }
}
