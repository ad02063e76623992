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

    /// The part of a segment that each rank reduces and sends on: equal slices, or with `weighsSlices` slices that every
    /// holder can exchange over its slowest link in the same time (the closed solution of hivemind's linear program for
    /// pairs with rates of their own).
    func slices(of segment: Segment) -> [Double] {
        let replicas = layout.pipelines.count
        guard tables.weighsSlices else { return Array(repeating: 1 / Double(replicas), count: replicas) }
        var weights: [Double] = []
        weights.reserveCapacity(replicas)
        var total = 0.0
        for rank in 0..<replicas {
            let owner = holder(of: segment, rank: rank)
            var slowest = Double(replicas) * max(tables.uplinkSecondsPerByte[owner], tables.downlinkSecondsPerByte[owner])
            for other in 0..<replicas where other != rank {
                let mate = holder(of: segment, rank: other)
                slowest = max(
                    slowest,
                    max(
                        tables.secondsPerByte[owner * tables.peers + mate],
                        tables.secondsPerByte[mate * tables.peers + owner]))
            }
            weights.append(slowest > 0 ? 1 / slowest : 1)
            total += weights[rank]
        }
        return weights.map { $0 / total }
    }
}

extension GradientExchange {
    /// When each stage of each rank has the sums of all its layers, given when it ended its last backward pass.
    ///
    /// Follows every slice over its pair's link in the order in which the simulator sends them. Shared access links are
    /// priced by the bytes that must pass them.
    func ends(finishes: [[Double]]) -> [[Double]] {
        let replicas = layout.pipelines.count
        guard replicas > 1 else { return finishes }
        let pairs = replicas * replicas
        var ends = finishes
        let slices = segments.map(slices(of:))
        // When each slice's sum is ready, by segment and owner, and when each pair's link has sent its partial slices.
        var reduced = Array(repeating: 0.0, count: segments.count * replicas)
        var busy = Array(repeating: 0.0, count: segments.count * pairs)
        for (index, segment) in segments.enumerated() {
            for rank in 0..<replicas {
                let start = finishes[rank][segment.stages[rank]]
                let sender = holder(of: segment, rank: rank)
                reduced[index * replicas + rank] = max(reduced[index * replicas + rank], start)
                for other in 0..<replicas where other != rank {
                    let link = sender * tables.peers + holder(of: segment, rank: other)
                    var free = start
                    if let before = earlier(index, rank, other) { free = busy[before * pairs + rank * replicas + other] }
                    let bytes =
                        segment.bytes * slices[index][other] * partials[rank] * tables.exchangeFactor(link: link)
                    free += bytes * tables.secondsPerByte[link]
                    busy[index * pairs + rank * replicas + other] = free
                    reduced[index * replicas + other] = max(
                        reduced[index * replicas + other], free + tables.latency[link])
                }
            }
        }
        if tables.sharesAccess { limitScatter(&reduced, finishes: finishes, slices: slices) }
        // The gathered slices queue behind all partial slices that the pair still has to send.
        for index in stride(from: segments.count - 2, through: 0, by: -1) {
            for rank in 0..<replicas {
                for other in 0..<replicas where other != rank && earlier(index + 1, rank, other) != nil {
                    let pair = rank * replicas + other
                    busy[index * pairs + pair] = busy[(index + 1) * pairs + pair]
                }
            }
        }
        for (index, segment) in segments.enumerated() {
            for rank in 0..<replicas {
                let sender = holder(of: segment, rank: rank)
                let start = reduced[index * replicas + rank]
                ends[rank][segment.stages[rank]] = max(ends[rank][segment.stages[rank]], start)
                for other in 0..<replicas where other != rank {
                    let receiver = segment.stages[other]
                    let link = sender * tables.peers + layout.pipelines[other][receiver].peer
                    let pair = rank * replicas + other
                    var free = max(start, busy[index * pairs + pair])
                    if let before = earlier(index, rank, other) { free = max(free, busy[before * pairs + pair]) }
                    free += segment.bytes * slices[index][rank] * tables.exchangeFactor(link: link)
                        * tables.secondsPerByte[link]
                    busy[index * pairs + pair] = free
                    ends[other][receiver] = max(ends[other][receiver], free + tables.latency[link])
                }
            }
        }
        if tables.sharesAccess { limitGather(&ends, reduced: reduced, slices: slices) }
        return ends
    }

    /// The segment before, if the two ranks hold it in the same stages and so send it over the same link.
    private func earlier(_ index: Int, _ rank: Int, _ other: Int) -> Int? {
        guard index > 0 else { return nil }
        let isSame =
            segments[index - 1].stages[rank] == segments[index].stages[rank]
            && segments[index - 1].stages[other] == segments[index].stages[other]
        return isSame ? index - 1 : nil
    }

    /// No stage's sums are ready before its access link has received all partial slices, nor anyone's that wait for a
    /// stage whose access link must send all of its own first.
    private func limitScatter(_ reduced: inout [Double], finishes: [[Double]], slices: [[Double]]) {
        let replicas = layout.pipelines.count
        for rank in 0..<replicas {
            for position in layout.pipelines[rank].indices {
                let peer = layout.pipelines[rank][position].peer
                let held = segments.indices.filter { segments[$0].stages[rank] == position }
                var sent = 0.0
                var received = 0.0
                for index in held {
                    let bytes = segments[index].bytes * tables.compression.gradientFactor
                    sent += bytes * (1 - slices[index][rank]) * partials[rank]
                    received += bytes * slices[index][rank] * (partials.reduce(0, +) - partials[rank])
                }
                let up = finishes[rank][position] + sent * tables.uplinkSecondsPerByte[peer]
                var first = Double.infinity
                for index in held {
                    for other in 0..<replicas where other != rank {
                        first = min(first, finishes[other][segments[index].stages[other]])
                        reduced[index * replicas + other] = max(reduced[index * replicas + other], up)
                    }
                }
                for index in held {
                    reduced[index * replicas + rank] = max(
                        reduced[index * replicas + rank], first + received * tables.downlinkSecondsPerByte[peer])
                }
            }
        }
    }

    /// The same for the way back.
    private func limitGather(_ ends: inout [[Double]], reduced: [Double], slices: [[Double]]) {
        let replicas = layout.pipelines.count
        for rank in 0..<replicas {
            for position in layout.pipelines[rank].indices {
                let peer = layout.pipelines[rank][position].peer
                let held = segments.indices.filter { segments[$0].stages[rank] == position }
                var sent = 0.0
                var received = 0.0
                var first = Double.infinity
                var own = Double.infinity
                for index in held {
                    let bytes = segments[index].bytes * tables.compression.gradientFactor
                    sent += bytes * slices[index][rank] * Double(replicas - 1)
                    received += bytes * (1 - slices[index][rank])
                    own = min(own, reduced[index * replicas + rank])
                    for other in 0..<replicas where other != rank {
                        first = min(first, reduced[index * replicas + other])
                    }
                }
                ends[rank][position] = max(ends[rank][position], first + received * tables.downlinkSecondsPerByte[peer])
                let up = own + sent * tables.uplinkSecondsPerByte[peer]
                for index in held {
                    for other in 0..<replicas where other != rank {
                        let stage = segments[index].stages[other]
                        ends[other][stage] = max(ends[other][stage], up)
                    }
                }
            }
        }
    }
}
