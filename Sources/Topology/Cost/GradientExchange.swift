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
            var slowest =
                Double(replicas) * max(tables.uplinkSecondsPerByte[owner], tables.downlinkSecondsPerByte[owner])
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
        var slices: [[Double]] = []
        for segment in segments { slices.append(self.slices(of: segment)) }
        var reduced = Array(repeating: 0.0, count: segments.count * replicas)
        var flat: [Double] = []
        var holders: [Int] = []
        for segment in segments {
            for rank in 0..<replicas {
                flat.append(finishes[rank][segment.stages[rank]])
                holders.append(holder(of: segment, rank: rank))
            }
        }
        let pairs = replicas * replicas
        let weights = slices.flatMap(\.self)
        withUnsafeTemporaryAllocation(of: Double.self, capacity: segments.count * pairs) { busy in
            busy.initialize(repeating: 0)
            scatter(busy, &reduced, starts: flat, holders: holders, slices: weights)
            if tables.sharesAccess { limitScatter(&reduced, finishes: finishes, slices: slices) }
            // The gathered slices queue behind all partial slices that the pair still has to send.
            for index in stride(from: segments.count - 2, through: 0, by: -1) {
                for pair in 0..<pairs
                where isSameLink(holders, index, index + 1, pair / replicas, pair % replicas) {
                    busy[index * pairs + pair] = busy[(index + 1) * pairs + pair]
                }
            }
            flat = reduced
            gather(busy, &flat, reduced: reduced, holders: holders, slices: weights)
        }
        var ends = finishes
        for (index, segment) in segments.enumerated() {
            for rank in 0..<replicas {
                let stage = segment.stages[rank]
                ends[rank][stage] = max(ends[rank][stage], flat[index * replicas + rank])
            }
        }
        if tables.sharesAccess { limitGather(&ends, reduced: reduced, slices: slices) }
        return ends
    }

    /// Sends every partial slice: `reduced` becomes when each slice's sum is ready, by segment and owner, `busy` when each
    /// pair's link has sent its part of each segment.
    private func scatter(
        _ busy: UnsafeMutableBufferPointer<Double>, _ reduced: inout [Double], starts: [Double], holders: [Int],
        slices: [Double]
    ) {
        let replicas = layout.pipelines.count
        let pairs = replicas * replicas
        let peers = tables.peers
        let isPlain = tables.plainLinks.isEmpty
        for index in segments.indices {
            let first = index * replicas
            for rank in 0..<replicas {
                let start = starts[first + rank]
                let row = holders[first + rank] * peers
                let bytes =
                    segments[index].bytes * partials[rank] * (isPlain ? tables.compression.gradientFactor : 1)
                reduced[first + rank] = max(reduced[first + rank], start)
                for other in 0..<replicas where other != rank {
                    let link = row + holders[first + other]
                    let pair = rank * replicas + other
                    var free = start
                    if isSameLink(holders, index - 1, index, rank, other) { free = busy[(index - 1) * pairs + pair] }
                    let factor = isPlain ? 1 : tables.exchangeFactor(link: link)
                    free += bytes * slices[first + other] * factor * tables.secondsPerByte[link]
                    busy[index * pairs + pair] = free
                    reduced[first + other] = max(reduced[first + other], free + tables.latency[link])
                }
            }
        }
    }

    /// Sends every sum to all: `ends` becomes when each rank has all slices of each segment.
    private func gather(
        _ busy: UnsafeMutableBufferPointer<Double>, _ ends: inout [Double], reduced: [Double], holders: [Int],
        slices: [Double]
    ) {
        let replicas = layout.pipelines.count
        let pairs = replicas * replicas
        let peers = tables.peers
        let isPlain = tables.plainLinks.isEmpty
        for index in segments.indices {
            let first = index * replicas
            for rank in 0..<replicas {
                let row = holders[first + rank] * peers
                let bytes =
                    segments[index].bytes * slices[first + rank] * (isPlain ? tables.compression.gradientFactor : 1)
                for other in 0..<replicas where other != rank {
                    let link = row + holders[first + other]
                    let pair = rank * replicas + other
                    var free = max(reduced[first + rank], busy[index * pairs + pair])
                    if isSameLink(holders, index - 1, index, rank, other) {
                        free = max(free, busy[(index - 1) * pairs + pair])
                    }
                    let factor = isPlain ? 1 : tables.exchangeFactor(link: link)
                    free += bytes * factor * tables.secondsPerByte[link]
                    busy[index * pairs + pair] = free
                    ends[first + other] = max(ends[first + other], free + tables.latency[link])
                }
            }
        }
    }

    /// Whether two ranks hold two segments in the same stages and so send both over the same link.
    private func isSameLink(_ holders: [Int], _ earlier: Int, _ later: Int, _ rank: Int, _ other: Int) -> Bool {
        guard earlier >= 0 else { return false }
        let replicas = layout.pipelines.count
        return holders[earlier * replicas + rank] == holders[later * replicas + rank]
            && holders[earlier * replicas + other] == holders[later * replicas + other]
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
