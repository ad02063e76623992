/// The exchange of gradients with the help of all peers, piece by piece (`SpreadExchange`).
extension IterationSimulator {
    /// What has come of a spread exchange.
    struct SpreadState {
        let exchange: SpreadExchange
        /// By segment.
        let holders: [[GradientExchange.Holder]]
        /// By segment and peer: holders, or relays, whose part of the peer's slice is there.
        var parts: [Int]
        /// By segment, peer and relay: parts that the relay has for the peer's slice.
        var gathered: [Int: [Int]] = [:]
        /// By segment and holder: slices of the total that are there.
        var totals: [[Int]]
        /// By segment and holder.
        var isStarted: [[Bool]]

        init(_ spread: SpreadExchange, _ exchange: GradientExchange) {
            self.exchange = spread
            holders = exchange.segments.map(exchange.holders(of:))
            parts = Array(repeating: 0, count: exchange.segments.count * exchange.tables.peers)
            totals = holders.map { $0.map { _ in 0 } }
            isStarted = holders.map { $0.map { _ in false } }
        }
    }

    func peer(of holder: GradientExchange.Holder) -> Int {
        stages[firstStageOfRank[holder.rank] + holder.stage].peer
    }

    /// Begins the exchange of a piece whose gradients a stage has complete.
    mutating func startPiece(_ segment: Int, stage: Int, at time: Double) {
        guard let exchange = spread?.exchange,
            let holder = spread?.holders[segment].firstIndex(where: {
                firstStageOfRank[$0.rank] + $0.stage == stage
            }), spread?.isStarted[segment][holder] == false
        else { return }
        spread?.isStarted[segment][holder] = true
        stages[stage].exchangeBegin = min(stages[stage].exchangeBegin, time)
        let source = stages[stage].peer
        for peer in exchange.adders[segment] where peer != source {
            guard let tree = exchange.tree(segment, peer), tree.relayOfHolder[holder] >= 0 else {
                sendSlice(
                    segment, addedUpBy: peer, from: source, to: peer, tag: .part(segment: segment, peer: peer), at: time
                )
                continue
            }
            sendToRelay(segment, addedUpBy: peer, from: source, relay: tree.relayOfHolder[holder], of: tree, at: time)
        }
        if exchange.slices[segment][source] > 0 { partDone(segment, peer: source, at: time) }
    }

    /// A holder's part of a peer's slice is there, or a relay's.
    mutating func partDone(_ segment: Int, peer: Int, at time: Double) {
        let position = segment * tables.peers + peer
        // The whole state must not be held here: what counts parts would be copied for every one of them.
        spread?.parts[position] += 1
        guard let holders = spread?.holders[segment] else { return }
        let tree = spread?.exchange.tree(segment, peer)
        guard spread?.parts[position] == tree?.children ?? holders.count else { return }
        for (index, relay) in (tree?.relays ?? []).enumerated() {
            sendSlice(
                segment, addedUpBy: peer, from: peer, to: relay,
                tag: .returned(segment: segment, adder: peer, relay: index), at: time)
        }
        for (index, holder) in holders.enumerated() where tree?.relayOfHolder[index] ?? -1 < 0 {
            let target = self.peer(of: holder)
            if target == peer {
                totalDone(segment, holder: index, at: time)
            } else {
                sendSlice(
                    segment, addedUpBy: peer, from: peer, to: target, tag: .total(segment: segment, holder: index),
                    at: time)
            }
        }
    }

    /// A slice of the total is there.
    mutating func totalDone(_ segment: Int, holder index: Int, at time: Double) {
        spread?.totals[segment][index] += 1
        guard let holder = spread?.holders[segment][index],
            spread?.totals[segment][index] == spread?.exchange.adders[segment].count
        else { return }
        segmentDone(firstStageOfRank[holder.rank] + holder.stage, at: time)
    }

    mutating func sendSlice(
        _ segment: Int, addedUpBy adder: Int, from source: Int, to target: Int, tag: Message, at time: Double
    ) {
        let share = spread?.exchange.slices[segment][adder] ?? 0
        let factor = tables.exchangeFactor(link: source * tables.peers + target)
        send(exchange.segments[segment].bytes * share * factor, from: source, to: target, tag: tag, at: time)
    }

    /// Does what has been put off, the last layers first, so that their gradients can be exchanged meanwhile.
    mutating func computeLastWeights(_ index: Int, at time: Double) {
        let stage = stages[index]
        let finish = time + Double(stage.backwards - stage.weights) * stage.weightSeconds
        for segment in stage.segments {
            guard let holder = spread?.holders[segment].first(where: { firstStageOfRank[$0.rank] + $0.stage == index })
            else { continue }
            let ready = tables.readySeconds(holder.layers, of: stage.layers, inputs: time, finish: finish)
            completePiece(segment, of: index, at: ready)
        }
        endLastWeights(index, at: finish)
    }
}
