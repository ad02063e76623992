/// Which stages exchange which gradients: the layers cut at every pipeline's boundaries, so that each segment lies whole
/// in one stage of every pipeline.
///
/// A segment is exchanged as the training engine does it, rank i reduces slice i (reduce-scatter), then sends it to all
/// (all-gather), or in levels where the problem allows that (`ExchangeForm`).
struct GradientExchange {
    /// Layers with one holder in every pipeline, or a piece of their gradients.
    struct Segment {
        var layers: Range<Int>
        /// The stage that holds the segment, by pipeline rank.
        var stages: [Int]
        /// Gradient bytes, of the piece if it is one.
        var bytes: Double
        /// Whether this is the tied embedding in a spread exchange, which a pipeline's last stage holds as well as its first.
        var isTied = false
        /// Pieces of the same kind that come right before this one and are left out.
        var omitted = 0
    }

    let layout: Layout
    let tables: CostTables
    let segments: [Segment]
    /// Partial sums that each pipeline sends for an element.
    let partials: [Double]
    /// By segment: how it is exchanged, `nil` if every holder exchanges with every other.
    let forms: [ExchangeForm?]
    /// Who adds up what if all peers help.
    let spread: SpreadExchange?

    /// - Parameters:
    ///   - known: how holders divided their exchanges before.
    ///   - omitsPieces: whether only the first and the last of equal pieces are wanted, which is enough for `ends`.
    ///   - layer: the only layer whose segment is wanted; the others' links are then as good as idle.
    ///   - ends: when the stages of each rank have done their work, if that is known already.
    ///   - slices: those of a spread exchange, if they are not to follow from the layout.
    init(
        layout: Layout, tables: CostTables, known: ExchangeForm.Divisions? = nil, omitsPieces: Bool = false,
        layer: Int? = nil, ends: [StageEnds]? = nil, slices: LayerSlices? = nil
    ) {
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
            forms = []
            spread = nil
            return
        }
        if layout.exchange.isSpread {
            let pieces = SpreadExchange.pieces(of: layout, tables)
            if let spread = SpreadExchange(layout, pieces: pieces, tables: tables, ends: ends, known: slices) {
                self.spread = spread
                segments = pieces
                forms = pieces.map { _ in nil }
                return
            }
        }
        spread = nil
        let segments = layer.map { [Self.segment(of: $0, layout, tables)] } ?? Self.segments(of: layout, tables)
        guard !tables.exchangeClusters.isEmpty, layout.exchange == .clustered else {
            self.segments = segments
            forms = segments.map { _ in nil }
            return
        }
        (self.segments, forms) = Self.divided(
            segments, layout: layout, tables: tables, known: known, omitsPieces: omitsPieces)
    }

    /// The form of a segment's exchange, direct ones included.
    func form(of index: Int) -> ExchangeForm { forms[index] ?? ExchangeForm(slices: slices(of: segments[index])) }

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
        let count = segments.count * replicas
        let pairs = count * replicas
        var holders: [Int] = []
        holders.reserveCapacity(count)
        for segment in segments {
            for rank in 0..<replicas { holders.append(holder(of: segment, rank: rank)) }
        }
        var ends = finishes
        withUnsafeTemporaryAllocation(of: Double.self, capacity: 3 * pairs + 4 * count) { memory in
            guard let base = memory.baseAddress else { return }
            var scratch = Scratch(
                seconds: base, latency: base + pairs, busy: base + 2 * pairs, slices: base + 3 * pairs,
                starts: base + 3 * pairs + count, reduced: base + 3 * pairs + 2 * count,
                gathered: base + 3 * pairs + 3 * count)
            load(&scratch, holders: holders, finishes: finishes)
            guard forms.allSatisfy({ $0 == nil }) else {
                exchangeInLevels(scratch, holders: holders)
                take(&ends, scratch)
                return
            }
            scatter(scratch, holders: holders)
            if tables.sharesAccess {
                let slices = segments.indices.map { index in
                    (0..<replicas).map { scratch.slices[index * replicas + $0] }
                }
                var reduced = (0..<count).map { scratch.reduced[$0] }
                limitScatter(&reduced, finishes: finishes, slices: slices)
                for position in 0..<count { scratch.reduced[position] = reduced[position] }
                gather(scratch, holders: holders)
                take(&ends, scratch)
                limitGather(&ends, reduced: reduced, slices: slices)
            } else {
                gather(scratch, holders: holders)
                take(&ends, scratch)
            }
        }
        return ends
    }

    /// Figures of one exchange in scratch memory: by segment, sender and receiver, or by segment and rank.
    struct Scratch {
        /// Seconds for a byte of gradients; zero for a rank to itself, like the latency.
        let seconds: UnsafeMutablePointer<Double>
        let latency: UnsafeMutablePointer<Double>
        /// When the pair's link has sent its part of the segment.
        let busy: UnsafeMutablePointer<Double>
        let slices: UnsafeMutablePointer<Double>
        /// When each rank begins to send, when each slice's sum is ready, when each rank has all slices.
        let starts: UnsafeMutablePointer<Double>
        let reduced: UnsafeMutablePointer<Double>
        let gathered: UnsafeMutablePointer<Double>
    }

    private func load(_ scratch: inout Scratch, holders: [Int], finishes: [[Double]]) {
        let replicas = layout.pipelines.count
        let peers = tables.peers
        let isLoaded: Void? = tables.secondsPerByte.withFullTable { secondsPerByte in
            _ = tables.latency.withFullTable { latency in
                var position = 0
                for first in stride(from: 0, to: holders.count, by: replicas) {
                    if isPiece(holders, first) {
                        // Pieces are exchanged over the links of the first of them.
                        position += replicas * replicas
                        continue
                    }
                    for rank in 0..<replicas {
                        let row = holders[first + rank] * peers
                        for other in 0..<replicas {
                            let link = row + holders[first + other]
                            scratch.seconds[position] = secondsPerByte[link]
                            scratch.latency[position] = latency[link]
                            position += 1
                        }
                        scratch.seconds[position - replicas + rank] = 0
                        scratch.latency[position - replicas + rank] = 0
                    }
                }
            }
        }
        if isLoaded == nil { loadPlaces(scratch, holders: holders) }
        for (index, segment) in segments.enumerated() {
            for rank in 0..<replicas {
                scratch.starts[index * replicas + rank] = finishes[rank][segment.stages[rank]]
            }
            if forms[index] == nil { loadSlices(scratch, index, holders: holders) }
        }
        guard !tables.plainLinks.isEmpty else { return }
        var position = 0
        for first in stride(from: 0, to: holders.count, by: replicas) {
            for rank in 0..<replicas {
                for other in 0..<replicas {
                    let link = holders[first + rank] * peers + holders[first + other]
                    scratch.seconds[position] *= tables.exchangeFactor(link: link)
                    position += 1
                }
            }
        }
    }

    /// Whether all holders are those of the segment before.
    func isPiece(_ holders: [Int], _ first: Int) -> Bool {
        let replicas = layout.pipelines.count
        guard first > 0, forms[first / replicas] != nil else { return false }
        for rank in 0..<replicas where holders[first + rank] != holders[first - replicas + rank] { return false }
        return true
    }

    /// The figures of links between places.
    private func loadPlaces(_ scratch: Scratch, holders: [Int]) {
        let replicas = layout.pipelines.count
        var position = 0
        for first in stride(from: 0, to: holders.count, by: replicas) {
            for rank in 0..<replicas {
                for other in 0..<replicas {
                    let (source, target) = (holders[first + rank], holders[first + other])
                    scratch.seconds[position] = rank == other ? 0 : tables.secondsPerByte[source, target]
                    scratch.latency[position] = rank == other ? 0 : tables.latency[source, target]
                    position += 1
                }
            }
        }
    }

    /// `slices(of:)` from the loaded figures.
    private func loadSlices(_ scratch: Scratch, _ index: Int, holders: [Int]) {
        let replicas = layout.pipelines.count
        let slices = scratch.slices + index * replicas
        guard tables.weighsSlices else {
            for rank in 0..<replicas { slices[rank] = 1 / Double(replicas) }
            return
        }
        let seconds = scratch.seconds + index * replicas * replicas
        for rank in 0..<replicas {
            let owner = holders[index * replicas + rank]
            slices[rank] =
                Double(replicas) * max(tables.uplinkSecondsPerByte[owner], tables.downlinkSecondsPerByte[owner])
        }
        for rank in 0..<replicas {
            var slowest = slices[rank]
            for other in 0..<replicas {
                let value = seconds[rank * replicas + other]
                slowest = value > slowest ? value : slowest
                slices[other] = value > slices[other] ? value : slices[other]
            }
            slices[rank] = slowest > slices[rank] ? slowest : slices[rank]
        }
        var total = 0.0
        for rank in 0..<replicas {
            slices[rank] = slices[rank] > 0 ? 1 / slices[rank] : 1
            total += slices[rank]
        }
        for rank in 0..<replicas { slices[rank] /= total }
    }

    /// Sends every partial slice: `reduced` becomes when each slice's sum is ready, `busy` when each pair's link has sent
    /// its part of each segment.
    private func scatter(_ scratch: Scratch, holders: [Int]) {
        let replicas = layout.pipelines.count
        let pairs = replicas * replicas
        let factor = tables.plainLinks.isEmpty ? tables.compression.gradientFactor : 1
        for index in segments.indices {
            let first = index * replicas
            let reduced = scratch.reduced + first
            let slices = scratch.slices + first
            let sharesLinks = sharesHolders(holders, index - 1, index)
            for rank in 0..<replicas { reduced[rank] = 0 }
            for rank in 0..<replicas {
                let start = scratch.starts[first + rank]
                let bytes = segments[index].bytes * partials[rank] * factor
                let row = index * pairs + rank * replicas
                let seconds = scratch.seconds + row
                let latency = scratch.latency + row
                let busy = scratch.busy + row
                if sharesLinks, holders[first - replicas + rank] == holders[first + rank] {
                    for other in 0..<replicas {
                        let isSame = holders[first - replicas + other] == holders[first + other]
                        let from = isSame ? busy[other - pairs] : start
                        busy[other] = from + bytes * slices[other] * seconds[other]
                        let arrival = busy[other] + latency[other]
                        reduced[other] = arrival > reduced[other] ? arrival : reduced[other]
                    }
                } else {
                    for other in 0..<replicas {
                        let end = start + bytes * slices[other] * seconds[other]
                        busy[other] = end
                        let arrival = end + latency[other]
                        reduced[other] = arrival > reduced[other] ? arrival : reduced[other]
                    }
                }
            }
        }
    }

    /// Sends every sum to all: `gathered` becomes when each rank has all slices of each segment.
    private func gather(_ scratch: Scratch, holders: [Int]) {
        let replicas = layout.pipelines.count
        let pairs = replicas * replicas
        let factor = tables.plainLinks.isEmpty ? tables.compression.gradientFactor : 1
        // The gathered slices queue behind all partial slices that the pair still has to send.
        for index in stride(from: segments.count - 2, through: 0, by: -1)
        where sharesHolders(holders, index, index + 1) {
            for rank in 0..<replicas where isSame(holders, index, rank) {
                for other in 0..<replicas where isSame(holders, index, other) {
                    let pair = index * pairs + rank * replicas + other
                    scratch.busy[pair] = scratch.busy[pair + pairs]
                }
            }
        }
        for index in segments.indices {
            let first = index * replicas
            let gathered = scratch.gathered + first
            let sharesLinks = sharesHolders(holders, index - 1, index)
            for rank in 0..<replicas { gathered[rank] = scratch.reduced[first + rank] }
            for rank in 0..<replicas {
                let ready = scratch.reduced[first + rank]
                let bytes = segments[index].bytes * scratch.slices[first + rank] * factor
                let row = index * pairs + rank * replicas
                let seconds = scratch.seconds + row
                let latency = scratch.latency + row
                let busy = scratch.busy + row
                if sharesLinks, isSame(holders, index - 1, rank) {
                    for other in 0..<replicas where isSame(holders, index - 1, other) {
                        busy[other] = max(busy[other], busy[other - pairs])
                    }
                }
                // The rank's own place in the row is free at its start, with no bytes and no latency.
                for other in 0..<replicas {
                    let from = ready > busy[other] ? ready : busy[other]
                    let end = from + bytes * seconds[other]
                    busy[other] = end
                    let arrival = end + latency[other]
                    gathered[other] = arrival > gathered[other] ? arrival : gathered[other]
                }
            }
        }
    }

    private func take(_ ends: inout [[Double]], _ scratch: Scratch) {
        let replicas = layout.pipelines.count
        for (index, segment) in segments.enumerated() {
            for rank in 0..<replicas {
                let stage = segment.stages[rank]
                ends[rank][stage] = max(ends[rank][stage], scratch.gathered[index * replicas + rank])
            }
        }
    }

    /// Whether a rank holds a segment and the next one on the same peer; two such ranks send both over the same link.
    func isSame(_ holders: [Int], _ index: Int, _ rank: Int) -> Bool {
        let replicas = layout.pipelines.count
        return holders[index * replicas + rank] == holders[(index + 1) * replicas + rank]
    }

    /// Whether any two ranks send two neighbouring segments over the same link.
    func sharesHolders(_ holders: [Int], _ earlier: Int, _ later: Int) -> Bool {
        guard earlier >= 0 else { return false }
        var same = 0
        for rank in 0..<layout.pipelines.count where isSame(holders, earlier, rank) { same += 1 }
        return same > 1
    }
}
