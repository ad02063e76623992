/// Which stages exchange which gradients: the layers cut at every pipeline's boundaries, so that each segment lies whole
/// in one stage of every pipeline.
///
/// A segment is exchanged as the training engine does it: rank i reduces slice i (reduce-scatter), then sends it to all
/// (all-gather).
struct GradientExchange {
    /// Layers with one holder in every pipeline.
    struct Segment {
        var layers: Range<Int>
        /// The stage that holds the segment, by pipeline rank.
        var stages: [Int]
        /// Gradient bytes.
        var bytes: Double
    }

    let layout: Layout
    let tables: CostTables
    let segments: [Segment]
    /// Partial sums that each pipeline sends for an element.
    let partials: [Double]

    init(layout: Layout, tables: CostTables) {
        self.layout = layout
        self.tables = tables
        var partials: [Double] = []
        var first = 0
        for count in layout.microBatches {
            partials.append(Double(tables.partialSums(first..<(first + count))))
            first += count
        }
        self.partials = partials
        guard layout.pipelines.count > 1 else {
            segments = []
            return
        }
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
        self.segments = segments
    }

    /// The peer that holds a segment in a pipeline.
    func holder(of segment: Segment, rank: Int) -> Int { layout.pipelines[rank][segment.stages[rank]].peer }

    /// Seconds of both halves of a segment's exchange, if all of its holders start together.
    ///
    /// Two stages that share several segments send them over the same link, so a pair is priced with everything that the
    /// two have in common, and an access link with everything that its stage exchanges.
    func seconds(of segment: Segment) -> Double {
        let replicas = layout.pipelines.count
        var scatter = 0.0
        var gather = 0.0
        for rank in 0..<replicas {
            let stage = layout.pipelines[rank][segment.stages[rank]]
            for other in 0..<replicas where other != rank {
                let mate = layout.pipelines[other][segment.stages[other]]
                let slice = tables.gradientBytes(stage.layers.clamped(to: mate.layers)) / Double(replicas)
                let link = stage.peer * tables.peers + mate.peer
                scatter = max(scatter, partials[rank] * slice * tables.secondsPerByte[link] + tables.latency[link])
                gather = max(gather, slice * tables.secondsPerByte[link] + tables.latency[link])
            }
            guard tables.sharesAccess else { continue }
            let slice = tables.gradientBytes(stage.layers) / Double(replicas)
            let others = Double(replicas - 1)
            let everyPartial = partials.reduce(-partials[rank], +)
            let uplink = tables.uplinkSecondsPerByte[stage.peer]
            let downlink = tables.downlinkSecondsPerByte[stage.peer]
            scatter = max(scatter, slice * max(partials[rank] * others * uplink, everyPartial * downlink))
            gather = max(gather, others * slice * max(uplink, downlink))
        }
        return scatter + gather
    }
}
