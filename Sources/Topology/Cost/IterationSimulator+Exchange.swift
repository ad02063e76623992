/// The exchange of gradients, step by step (`ExchangeForm`).
extension IterationSimulator {
    mutating func startExchange(_ index: Int, at time: Double) {
        let stage = stages[index]
        guard exchanges else {
            exchangeDone(index, at: time)
            return
        }
        guard spread == nil else {
            for segment in stage.segments { startPiece(segment, stage: index, at: time) }
            return
        }
        // All segments' first tensors queue before any that follow from them.
        for segment in stage.segments { sendToMates(segment, rank: stage.rank, .gradients, at: time) }
        for segment in stage.segments { addUpIfComplete(segment, rank: stage.rank, at: time) }
        for segment in stage.segments { proceed(segment, rank: stage.rank, at: time) }
    }

    /// The other ranks, starting with the next one, so that not all send to the same peer first.
    private func peersOf(_ rank: Int) -> [Int] { (1..<replicas).map { (rank + $0) % replicas } }

    /// Sends every mate in the cluster a slice: of its own gradients that the mate adds up, or of the total.
    private mutating func sendToMates(_ segment: Int, rank: Int, _ step: ExchangeStep, at time: Double) {
        let form = forms[segment]
        let cluster = form.clusters[rank]
        guard form.sizes[cluster] > 1 else { return }
        for other in peersOf(rank) where form.clusters[other] == cluster {
            send(step, segment, from: rank, to: other, share: form.mateShare(cluster), at: time)
        }
    }

    private mutating func send(
        _ step: ExchangeStep, _ segment: Int, from rank: Int, to other: Int, share: Double, at time: Double
    ) {
        let source = exchange.holder(of: exchange.segments[segment], rank: rank)
        let target = exchange.holder(of: exchange.segments[segment], rank: other)
        send(
            exchange.segments[segment].bytes * share
                * tables.exchangeFactor(link: source * tables.peers + target),
            from: source, to: target, tag: .exchanged(step, segment: segment, rank: other), at: time)
    }

    private func hasReceived(_ step: ExchangeStep, _ segment: Int, _ rank: Int) -> Bool {
        let form = forms[segment]
        let mates = form.sizes[form.clusters[rank]] - 1
        let expected = step == .gradients || step == .slices ? mates : replicas - 1 - mates
        return received[step.rawValue][segment * replicas + rank] == expected
    }

    /// Sends the cluster's sum to the other clusters as soon as all mates' gradients are there.
    private mutating func addUpIfComplete(_ segment: Int, rank: Int, at time: Double) {
        let index = firstStageOfRank[rank] + exchange.segments[segment].stages[rank]
        let position = segment * replicas + rank
        guard steps[position] == .gradients, stages[index].isFinished, hasReceived(.gradients, segment, rank) else {
            return
        }
        steps[position] = .sums
        let form = forms[segment]
        let cluster = form.clusters[rank]
        for other in peersOf(rank) where form.clusters[other] != cluster {
            let share = form.share(from: cluster, addedUpBy: form.clusters[other])
            send(.sums, segment, from: rank, to: other, share: share * exchange.partials[rank], at: time)
        }
    }

    /// Goes through as many steps of the exchange as what has come allows.
    mutating func proceed(_ segment: Int, rank: Int, at time: Double) {
        addUpIfComplete(segment, rank: rank, at: time)
        let position = segment * replicas + rank
        let form = forms[segment]
        let cluster = form.clusters[rank]
        if steps[position] == .sums, hasReceived(.sums, segment, rank) {
            steps[position] = .totals
            if !form.swaps {
                for other in peersOf(rank) where form.clusters[other] != cluster {
                    let share = form.share(from: form.clusters[other], addedUpBy: cluster)
                    send(.totals, segment, from: rank, to: other, share: share, at: time)
                }
            }
        }
        if steps[position] == .totals, form.swaps || hasReceived(.totals, segment, rank) {
            steps[position] = .slices
            sendToMates(segment, rank: rank, .slices, at: time)
        }
        guard steps[position] == .slices, hasReceived(.slices, segment, rank) else { return }
        steps[position] = nil
        segmentDone(firstStageOfRank[rank] + exchange.segments[segment].stages[rank], at: time)
    }

    /// A stage has the sums of a segment's layers.
    mutating func segmentDone(_ index: Int, at time: Double) {
        stages[index].segmentsDone += 1
        if stages[index].segmentsDone == stages[index].segments.count { exchangeDone(index, at: time) }
    }

    mutating func exchangeDone(_ index: Int, at time: Double) {
        stages[index].exchanged = time
        let stage = stages[index]
        if tables.tiedParameters > 0, spread == nil, let other = tiedPartner(of: index) {
            let link = stage.peer * tables.peers + stages[other].peer
            send(
                tables.tiedBytes(replicas: replicas) * tables.exchangeFactor(link: link), from: stage.peer,
                to: stages[other].peer,
                tag: .tied(stage: other), at: time)
        } else {
            stages[index].hasTied = true
        }
        stages[index].segmentsDone = -1
        stepIfReady(index, at: time)
    }

    /// The stage that shares the tied embedding, if this is the first or last of several.
    private func tiedPartner(of index: Int) -> Int? {
        let stage = stages[index]
        if stage.position == 0, stage.isLast { return nil }
        if stage.isLast { return index - stage.position }
        guard stage.position == 0 else { return nil }
        return stages[index...].firstIndex { $0.isLast }
    }

    mutating func stepIfReady(_ index: Int, at time: Double) {
        let stage = stages[index]
        guard stage.segmentsDone == -1, stage.hasTied else { return }
        stages[index].exchanged = time
        events.push(.stepped(stage: index), at: time + tables.optimizerSeconds(stage.layers, on: stage.peer))
    }
}
