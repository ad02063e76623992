internal import Primitives

/// An exchange with the help of all peers (`SpreadExchange`) from the ends of all passes on: what the simulator does, but a
/// whole row of transfers at a time, those of a holder's parts of a piece to all that add up slices, or those of one slice's
/// totals to all holders.
///
/// The end of an exchange is the greatest of sums of transfers along ways through it, each transfer waiting for the one before
/// on its link or for what it sends. So a run that is recorded tells, followed backwards, how much later the exchange ends for
/// a slice that is a little larger.
struct SpreadRecurrence: FollowedExchange {
    /// Begins to send its parts of a piece then.
    struct Part {
        var time: Double
        var piece: Int
        /// Its position among the holders of the piece.
        var holder: Int
        var peer: Int
    }

    let peers: Int
    /// By piece: bytes as they are sent, and the peers that hold it.
    let bytes: [Double]
    let holders: [[Int]]
    /// In the order in which they begin.
    let parts: [Part]
    /// By link.
    let seconds: [Double]
    let latency: [Double]
    let busyBefore: [Double]
    /// By peer: the end of its own passes; zero without a place in the plan.
    let finishes: [Double]
    /// By peer: seconds of its optimiser's step after the exchange.
    let steps: [Double]

    init(
        _ layout: Layout, pieces: [GradientExchange.Segment], ends: [StageEnds], tables: CostTables,
        _ figures: SpreadFigures
    ) {
        peers = tables.peers
        var seconds = figures.seconds
        if !tables.plainLinks.isEmpty {
            for link in seconds.indices { seconds[link] *= tables.exchangeFactor(link: link) }
        }
        self.seconds = seconds
        latency = figures.latency
        let factor = tables.plainLinks.isEmpty ? tables.compression.gradientFactor : 1
        bytes = pieces.map { $0.bytes * factor }
        var parts: [Part] = []
        holders = pieces.enumerated().map { index, piece in
            piece.holders(in: layout, layers: tables.layers).enumerated().map { position, holder in
                let stage = layout.pipelines[holder.rank][holder.stage]
                let time = tables.readySeconds(
                    holder.layers, of: stage.layers, inputs: ends[holder.rank].inputs[holder.stage],
                    finish: ends[holder.rank].finishes[holder.stage])
                parts.append(Part(time: time, piece: index, holder: position, peer: stage.peer))
                return stage.peer
            }
        }
        self.parts = parts.sorted { ($0.time, $0.piece, $0.peer) < ($1.time, $1.piece, $1.peer) }
        var busy = Array(repeating: 0.0, count: peers * peers)
        var finishes = Array(repeating: 0.0, count: peers)
        var steps = finishes
        for (rank, pipeline) in layout.pipelines.enumerated() {
            for (index, stage) in pipeline.enumerated() {
                finishes[stage.peer] = ends[rank].finishes[index]
                steps[stage.peer] = tables.optimizerSeconds(stage.layers, on: stage.peer)
                guard index > 0 else { continue }
                // The last tensors of neighbouring stages go before.
                let before = pipeline[index - 1].peer
                busy[before * peers + stage.peer] = ends[rank].forwardLinks[index - 1]
                busy[stage.peer * peers + before] = ends[rank].backwardLinks[index]
            }
        }
        busyBefore = busy
        self.finishes = finishes
        self.steps = steps
    }

    /// What a run leaves behind for `prices`.
    struct Record: ExchangeRecord {
        fileprivate struct Row {
            var isTotal: Bool
            var piece: Int
            var peer: Int
        }

        /// In the order in which transfers begin.
        fileprivate var rows: [Row] = []
        /// By transfer of the rows: whether it waits for its link.
        fileprivate var waits: [UInt8] = []
        /// By transfer of the totals.
        fileprivate var arrivals: [Double] = []
        /// By piece and peer: the holder whose part came last.
        fileprivate var last: [Int] = []
        /// When the last peer has stepped, and when the first has begun to send.
        fileprivate(set) var end = 0.0
        fileprivate(set) var begin = 0.0

        /// Forgets everything but the room that it took.
        fileprivate mutating func clear(pieces: Int, peers: Int) {
            rows.removeAll(keepingCapacity: true)
            waits.removeAll(keepingCapacity: true)
            arrivals.removeAll(keepingCapacity: true)
            if last.count != pieces * peers { last = Array(repeating: 0, count: pieces * peers) }
            end = 0
        }
    }

    /// By peer: when it has the sums of all its layers.
    ///
    /// - Parameter slices: by piece and peer.
    func ends(_ slices: [[Double]]) -> [Double] {
        var unused = Record()
        return run(slices, records: false, &unused)
    }

    /// Runs the exchange and records how.
    func record(_ slices: [[Double]], _ record: inout Record) {
        record.clear(pieces: bytes.count, peers: peers)
        let ends = run(slices, records: true, &record)
        record.begin = parts.first?.time ?? 0
        for peer in 0..<peers { record.end = max(record.end, ends[peer] + steps[peer]) }
    }

    private func run(_ slices: [[Double]], records: Bool, _ record: inout Record) -> [Double] {
        var ends = finishes
        var parts = parts[...]
        var totals = EventQueue<(piece: Int, peer: Int)>()
        var missing = holders.map(\.count)
        withUnsafeTemporaryAllocation(of: Double.self, capacity: peers * (peers + bytes.count)) { memory in
            // By link: when it is free; by piece and peer: when the peer has all parts.
            guard let busy = memory.baseAddress else { return }
            memory.initialize(repeating: 0)
            for link in busyBefore.indices { busy[link] = busyBefore[link] }
            let added = busy + peers * peers
            while true {
                if let next = parts.first, next.time <= totals.nextTime ?? .infinity {
                    parts.removeFirst()
                    send(
                        next, slices[next.piece], busy + next.peer * peers, added + next.piece * peers, records, &record
                    )
                    missing[next.piece] -= 1
                    guard missing[next.piece] == 0 else { continue }
                    for (peer, slice) in slices[next.piece].enumerated() where slice > 0 {
                        totals.push((next.piece, peer), at: added[next.piece * peers + peer])
                    }
                } else if let (time, next) = totals.pop() {
                    let sent = bytes[next.piece] * slices[next.piece][next.peer]
                    let row = next.peer * peers
                    if records { record.rows.append(Record.Row(isTotal: true, piece: next.piece, peer: next.peer)) }
                    for holder in holders[next.piece] {
                        let free = busy[row + holder]
                        busy[row + holder] = max(time, free) + sent * seconds[row + holder]
                        let arrival = busy[row + holder] + latency[row + holder]
                        ends[holder] = max(ends[holder], arrival)
                        guard records else { continue }
                        record.waits.append(free > time ? 1 : 0)
                        record.arrivals.append(arrival)
                    }
                } else {
                    break
                }
            }
        }
        return ends
    }

    /// Sends a holder's parts of a piece. What a link without a slice carries, nothing, makes no difference to later transfers,
    /// nor does what a peer keeps.
    private func send(
        _ part: Part, _ slices: [Double], _ busy: UnsafeMutablePointer<Double>, _ added: UnsafeMutablePointer<Double>,
        _ records: Bool, _ record: inout Record
    ) {
        let bytes = bytes[part.piece]
        let time = part.time
        let row = part.peer * peers
        slices.withUnsafeBufferPointer { slices in
            seconds.withUnsafeBufferPointer { seconds in
                latency.withUnsafeBufferPointer { latency in
                    guard let slices = slices.baseAddress, let seconds = seconds.baseAddress.map({ $0 + row }),
                        let latency = latency.baseAddress.map({ $0 + row })
                    else { return }
                    if records {
                        record.rows.append(Record.Row(isTotal: false, piece: part.piece, peer: part.peer))
                        let first = record.waits.count
                        record.waits.append(contentsOf: repeatElement(0, count: peers))
                        record.waits.withUnsafeMutableBufferPointer { waits in
                            for peer in 0..<peers { waits[first + peer] = busy[peer] > time ? 1 : 0 }
                        }
                        for peer in 0..<peers {
                            busy[peer] = max(time, busy[peer]) + bytes * slices[peer] * seconds[peer]
                            let arrival = slices[peer] > 0 ? busy[peer] + latency[peer] : 0
                            guard arrival > added[peer] else { continue }
                            added[peer] = arrival
                            record.last[part.piece * peers + peer] = part.peer
                        }
                    } else {
                        for peer in 0..<peers {
                            busy[peer] = max(time, busy[peer]) + bytes * slices[peer] * seconds[peer]
                            let arrival = slices[peer] > 0 ? busy[peer] + latency[peer] : 0
                            added[peer] = max(added[peer], arrival)
                        }
                    }
                }
            }
        }
    }

    /// By piece and peer: how many seconds later an exchange ends for each part of its slice that is added, where all that
    /// arrives near the end counts: with weight exp(−`sharpness` × how much sooner it arrives).
    func prices(_ record: Record, _ slices: [[Double]], sharpness: Double) -> [[Double]] {
        var prices = Array(repeating: Array(repeating: 0.0, count: peers), count: bytes.count)
        withUnsafeTemporaryAllocation(of: Double.self, capacity: peers * (peers + bytes.count)) { memory in
            // By link: what it costs to be free later; by piece and peer: what it costs to have all parts later.
            guard let busy = memory.baseAddress else { return }
            memory.initialize(repeating: 0)
            let added = busy + peers * peers
            var transfer = record.waits.count
            var total = record.arrivals.count
            for row in record.rows.reversed() {
                let bytes = bytes[row.piece]
                let position = row.piece * peers
                if row.isTotal {
                    let holders = holders[row.piece]
                    transfer -= holders.count
                    total -= holders.count
                    var price = 0.0
                    for (index, holder) in holders.enumerated() {
                        let sooner = record.end - record.arrivals[total + index] - steps[holder]
                        let weight = sooner * sharpness < Self.negligible ? Elementary.exp(-sooner * sharpness) : 0
                        guard holder != row.peer else {
                            added[position + row.peer] += weight
                            continue
                        }
                        let link = row.peer * peers + holder
                        let later = busy[link] + weight
                        price += later * seconds[link]
                        if record.waits[transfer + index] > 0 {
                            busy[link] = later
                        } else {
                            busy[link] = 0
                            added[position + row.peer] += later
                        }
                    }
                    prices[row.piece][row.peer] += price * bytes
                } else {
                    transfer -= peers
                    for peer in 0..<peers where slices[row.piece][peer] > 0 && peer != row.peer {
                        let link = row.peer * peers + peer
                        var later = busy[link]
                        if record.last[position + peer] == row.peer { later += added[position + peer] }
                        prices[row.piece][peer] += later * bytes * seconds[link]
                        busy[link] = record.waits[transfer + peer] > 0 ? later : 0
                    }
                }
            }
        }
        return prices
    }

    /// The exponent beyond which what arrives does not count.
    static let negligible = 8.0
}
