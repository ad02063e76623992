extension GradientExchange {
    /// The layers cut at every pipeline's boundaries.
    static func segments(of layout: Layout, _ tables: CostTables) -> [Segment] {
        var segments: [Segment] = []
        var stages = Array(repeating: 0, count: layout.pipelines.count)
        var start = 0
        while start < tables.layers {
            var end = tables.layers
            for (rank, pipeline) in layout.pipelines.enumerated() {
                end = min(end, pipeline[stages[rank]].layers.upperBound)
            }
            segments.append(Segment(layers: start..<end, stages: stages, bytes: tables.gradientBytes(start..<end)))
            for (rank, pipeline) in layout.pipelines.enumerated() where pipeline[stages[rank]].layers.upperBound == end
            {
                stages[rank] += 1
            }
            start = end
        }
        return segments
    }

    /// The segment in which a layer lies.
    static func segment(of layer: Int, _ layout: Layout, _ tables: CostTables) -> Segment {
        var layers = 0..<tables.layers
        var stages: [Int] = []
        stages.reserveCapacity(layout.pipelines.count)
        for pipeline in layout.pipelines {
            guard let stage = pipeline.firstIndex(where: { layer < $0.layers.upperBound }) else { continue }
            stages.append(stage)
            layers = layers.clamped(to: pipeline[stage].layers)
        }
        return Segment(layers: layers, stages: stages, bytes: tables.gradientBytes(layers))
    }

    /// The segments, those that are exchanged in levels in pieces, what goes directly before the rest.
    static func divided(
        _ segments: [Segment], layout: Layout, tables: CostTables, known: ExchangeForm.Divisions?, omitsPieces: Bool
    ) -> (segments: [Segment], forms: [ExchangeForm?]) {
        let pieces = tables.peers <= mostPeersOfPieces ? ExchangeForm.pieces : 1
        var divided: [Segment] = []
        var forms: [ExchangeForm?] = []
        for segment in segments {
            let holders = segment.stages.enumerated().map { layout.pipelines[$0][$1].peer }
            let bytes = segment.bytes * tables.compression.gradientFactor
            let division =
                known?.division(
                    holders, bytes: bytes, pieces: pieces, weighsSlices: tables.weighsSlices,
                    clusterings: tables.exchangeClusters)
                ?? ExchangeForm.division(
                    holders, bytes: bytes, pieces: pieces, weighsSlices: tables.weighsSlices,
                    clusterings: tables.exchangeClusters)
            var piece = segment
            if division.direct > 0 {
                piece.bytes = segment.bytes * Double(division.direct) / Double(pieces)
                divided.append(piece)
                forms.append(nil)
            }
            piece.bytes = segment.bytes / Double(pieces)
            let inLevels = pieces - division.direct
            for _ in 0..<(omitsPieces ? min(2, inLevels) : inLevels) {
                divided.append(piece)
                forms.append(division.form)
            }
            if omitsPieces, inLevels > 2 { divided[divided.count - 1].omitted = inLevels - 2 }
        }
        return (divided, forms)
    }

    /// Peers up to which an exchange in levels is done in pieces; larger swarms are priced by places, each segment whole.
    private static let mostPeersOfPieces = 160
}
