extension GradientExchange {
    /// The four steps of an exchange in levels.
    enum Step {
        /// Gradients to the mates in the cluster.
        case gradients
        /// The cluster's sum to the other clusters.
        case sums
        /// The totals of the parts that a cluster adds up, to the other clusters.
        case totals
        /// The totals to the mates.
        case slices
    }

    /// `scatter` and `gather` for exchanges of which some are in levels: `gathered` becomes when each rank has all slices of
    /// each segment.
    ///
    /// Only the first and the last of the equal pieces of a segment need be followed. They are ready for the first step all at
    /// once, and take equally long over any link, so that piece k leaves a link at max over j ≤ k of r(j) + (k − j + 1) d, d
    /// being its time and r(j) when piece j is ready. If r is convex in j, one of j = 0 and j = k is the greatest, and the
    /// result is convex again; so is when the piece has come from all (a maximum), which is r of the next step.
    ///
    /// Exact where all pipelines are cut alike. Otherwise two neighbouring segments that the same two peers hold are taken to
    /// be sent step by step and in order, whichever is ready first.
    func exchangeInLevels(_ scratch: Scratch, holders: [Int]) {
        let replicas = layout.pipelines.count
        let all = segments.indices.map { index in
            forms[index] ?? ExchangeForm(slices: (0..<replicas).map { scratch.slices[index * replicas + $0] })
        }
        // Pieces of the same layers share their links, so they share what is known of them.
        var blocks: [Int] = []
        for index in segments.indices {
            blocks.append(isPiece(holders, index * replicas) ? blocks[index - 1] : index)
        }
        let shares = segments.indices.map { blocks[$0] == $0 && sharesHolders(holders, $0 - 1, $0) }
        for block in Set(blocks) {
            for pair in 0..<(replicas * replicas) { scratch.busy[block * replicas * replicas + pair] = 0 }
        }
        for position in holders.indices { scratch.gathered[position] = scratch.starts[position] }
        var row = Array(repeating: 0.0, count: replicas)
        for step in [Step.gradients, .sums, .totals, .slices] {
            for position in holders.indices { scratch.reduced[position] = scratch.gathered[position] }
            for index in segments.indices {
                if shares[index] { carry(scratch, holders, from: blocks[index - 1], to: index, keepingLater: true) }
                send(step, index, over: blocks[index], in: all[index], scratch, &row)
            }
            // What follows queues behind all that the pair still has to send.
            for index in stride(from: segments.count - 1, to: 0, by: -1) where shares[index] {
                carry(scratch, holders, from: index, to: blocks[index - 1], keepingLater: false)
            }
        }
    }

    /// Takes over when the links of the pairs that hold both of two neighbouring segments are free.
    private func carry(
        _ scratch: Scratch, _ holders: [Int], from source: Int, to target: Int, keepingLater: Bool
    ) {
        let replicas = layout.pipelines.count
        let same = (0..<replicas).filter { holders[source * replicas + $0] == holders[target * replicas + $0] }
        for rank in same {
            for other in same {
                let pair = rank * replicas + other
                let known = scratch.busy[source * replicas * replicas + pair]
                let position = target * replicas * replicas + pair
                scratch.busy[position] = keepingLater ? max(scratch.busy[position], known) : known
            }
        }
    }

    /// One step of a segment's exchange, from `reduced` to `gathered`.
    ///
    /// - Parameters:
    ///   - block: the segment under which the links are kept.
    ///   - row: scratch memory for what a holder sends to each.
    private func send(
        _ step: Step, _ index: Int, over block: Int, in form: ExchangeForm, _ scratch: Scratch, _ row: inout [Double]
    ) {
        let replicas = layout.pipelines.count
        if step == .totals, form.swaps { return }
        let factor = tables.plainLinks.isEmpty ? tables.compression.gradientFactor : 1
        let bytes = segments[index].bytes * factor
        let omitted = Double(segments[index].omitted)
        let gathered = scratch.gathered + index * replicas
        for cluster in form.sizes.indices {
            if step == .gradients || step == .slices, form.sizes[cluster] == 1 { continue }
            form.row(step, of: cluster, bytes: bytes, into: &row)
            for rank in 0..<replicas where form.clusters[rank] == cluster {
                let ready = scratch.reduced[index * replicas + rank]
                let first = (block * replicas + rank) * replicas
                let busy = scratch.busy + first
                let seconds = scratch.seconds + first
                let latency = scratch.latency + first
                // What the rank sends to itself takes no time and ends no later than it is ready.
                row.withUnsafeBufferPointer { row in
                    for other in 0..<replicas {
                        let sent = row[other]
                        let free = busy[other]
                        let takes = sent * seconds[other]
                        let idle = free + omitted * takes
                        let from = ready > idle ? ready : idle
                        let end = from + takes
                        let arrival = end + latency[other]
                        let known = gathered[other]
                        busy[other] = sent >= 0 ? end : free
                        gathered[other] = sent >= 0 && arrival > known ? arrival : known
                    }
                }
            }
        }
    }
}

extension ExchangeForm {
    /// What a member of a cluster sends to each rank in a step; negative where it sends nothing.
    fileprivate func row(
        _ step: GradientExchange.Step, of cluster: Int, bytes: Double, into row: inout [Double]
    ) {
        let mate = step == .gradients || step == .slices ? bytes * mateShare(cluster) : -1
        switch step {
        case .gradients, .slices:
            for other in clusters.indices { row[other] = clusters[other] == cluster ? mate : -1 }
        case .sums:
            for other in clusters.indices {
                row[other] = clusters[other] == cluster ? -1 : bytes * share(from: cluster, addedUpBy: clusters[other])
            }
        case .totals:
            for other in clusters.indices {
                row[other] = clusters[other] == cluster ? -1 : bytes * share(from: clusters[other], addedUpBy: cluster)
            }
        }
    }
}
